//! Real components in the real sandbox, under a kernel that does what each test
//! tells it. One file for each thing that a guest can do, or can try.

mod compile;
mod fake;
mod files;
mod hostile;
mod itself;
mod ledger;
mod lines;
mod many;
mod natives;
mod orchestration;
mod parking;
mod replay;
mod roles;
mod signals;
mod walker;
mod wasi;
mod wrong;

//! Real components in the real sandbox, under a kernel that does what each test
//! tells it. One file for each thing that a guest can do, or can try.

mod compile;
mod fake;
mod files;
mod hostile;
mod itself;
mod many;
mod orchestration;
mod roles;
mod signals;
mod wasi;
mod wrong;

//! The store's tests. `contract` holds every store to the same rules; the rest is
//! what only a file can do: last, break, and be shared.

mod contract;
mod damage;
mod fixture;
mod golden;
mod hosts;
mod kill;
mod lasting;

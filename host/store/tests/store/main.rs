//! The store's tests. `contract` holds every store to the same rules, and `callback`
//! to what it calls; the rest is what only a file can do: last, break, and be shared.

mod backup;
mod callback;
mod compaction;
mod contract;
mod damage;
mod fixture;
mod flipped;
mod golden;
mod hosts;
mod kill;
mod lasting;
mod removal;
mod torn;
mod unwritable;

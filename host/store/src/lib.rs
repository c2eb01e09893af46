//! What happened: the durable log of every tree, and what hosts share besides.
//!
//! One small trait, [`Store`], with two implementations behind [`open`]: SQLite
//! for everything that has to last, memory for everything that need not. Events
//! are bytes here. What they mean, which row sums a tree up and what to do after
//! a crash is decided elsewhere.

mod address;
mod append;
mod callback;
mod error;
mod frame;
mod memory;
mod plugin;
mod sqlite;
mod store;
mod upkeep;

use std::sync::Arc;

use address::Address;

pub use append::{Append, Blob, Done, JournalEntry, StoredEvent, TreeFilter, TreeSummary};
pub use error::Error;
pub use frame::EVENT_LIMIT_BYTES;
pub use plugin::{PluginRow, digest};
pub use sqlite::{QUEUE_HIGH_WATER_BYTES, QUEUE_LIMIT_BYTES};
pub use store::{BoxFuture, Messages, Owner, Snapshot, Stats, Store};
pub use upkeep::{Problem, Removed, TreeSize};

/// Opens the store that `url` names to look at what is there; a SQLite file has to be
/// there already, and then it is opened also where it, or its folder, may not be
/// written to. Whatever would write fails there, with [`Error::Unusable`].
pub async fn look(url: &str) -> Result<Arc<dyn Store>, Error> {
    match Address::parse(url)? {
        Address::Memory => Ok(Arc::new(memory::Memory::open())),
        Address::Sqlite(path) => Ok(Arc::new(sqlite::Sqlite::look(path).await?)),
    }
}

/// Opens the store that `url` names: `sqlite:PATH` or `memory:`.
///
/// A SQLite file and the folders above it are created where there are none, and
/// brought to the newest schema. Needs a Tokio runtime.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    match Address::parse(url)? {
        Address::Memory => Ok(Arc::new(memory::Memory::open())),
        Address::Sqlite(path) => Ok(Arc::new(sqlite::Sqlite::open(path).await?)),
    }
}

//! What whoever looks after a store is told: how large a tree is, what a removal
//! freed, what a check found. Finding it out is in `memory/` and `sqlite/`.

use std::fmt;

use pleach_kernel::RootId;

/// What a tree takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeSize {
    pub events: u64,
    pub log_bytes: u64,
    /// Of all its runs' journals.
    pub journal_entries: u64,
    pub journal_bytes: u64,
    /// Of the blobs that its journals mention, each counted once.
    pub blob_bytes: u64,
    /// Where its snapshot is, if it has one.
    pub snapshot_seq: Option<u64>,
    pub snapshot_bytes: u64,
}

impl TreeSize {
    /// What it counts for in its tenant's stored bytes.
    pub fn bytes(&self) -> u64 {
        self.log_bytes + self.journal_bytes + self.blob_bytes + self.snapshot_bytes
    }
}

/// What a removed tree took up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    pub events: u64,
    /// Off its tenant's stored bytes.
    pub bytes: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// None where no single tree is concerned.
    pub tree: Option<RootId>,
    /// The part that is damaged, for a person.
    pub what: String,
    /// How it is damaged.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.detail)
    }
}

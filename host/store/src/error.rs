//! Everything that can go wrong in a store. Where SQLite's codes become these is
//! `sqlite/fault.rs`.

use pleach_kernel::{RootId, Tenant};

/// What went wrong, to what, and what to do next.
///
/// Cheap to clone: one failed commit answers every append that was in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`{url}` names no store: write `sqlite:PATH` for a file, or `memory:`")]
    Address { url: String },

    #[error(
        "cannot open the store {path}: {detail}; check that the folder exists, that it is not \
         read-only and that you may write there"
    )]
    Unusable { path: String, detail: String },

    #[error(
        "the store {path} is locked by another program; end what holds it (another tool with the \
         file open, a backup), then try again"
    )]
    Locked { path: String },

    #[error(
        "no room left to write to the store {path}: {detail}; nothing that was confirmed is lost, \
         free some space and try again"
    )]
    Full { path: String, detail: String },

    #[error(
        "{what} is damaged: {detail}; keep a copy of the file as it is, and restore it from a \
         backup or start with another store"
    )]
    Corrupt { what: String, detail: String },

    #[error(
        "the file {path} is empty, so it is no store; restore it from a backup if it was one, or remove it: a \
         new store is made where there is no file"
    )]
    Empty { path: String },

    #[error("{path} is a database of another program; name another file as the store")]
    Foreign { path: String },

    #[error(
        "the store {path} has schema {found}, this program knows up to {known}; upgrade pleach to \
         use it (the file was not changed)"
    )]
    NewerSchema { path: String, found: i64, known: i64 },

    #[error(
        "cannot append to tree {tree} after seq {expected}: its log is at {found}; somebody else \
         wrote to it, load the tree again"
    )]
    Fenced { tree: RootId, expected: u64, found: u64 },

    #[error(
        "cannot append to tree {tree}: an append before this one failed, so it does not follow; \
         load the tree again"
    )]
    AfterFailure { tree: RootId },

    #[error("cannot write to tree {tree}: another host owns it; adopt it first")]
    NotOwner { tree: RootId },

    #[error("there is no tree {tree} in this store; check the id, or name the store it is in")]
    NoSuchTree { tree: RootId },

    #[error(
        "cannot keep a snapshot of tree {tree} at seq {seq}: its log ends at {last_seq}; append \
         first what the snapshot was folded from"
    )]
    SnapshotAhead { tree: RootId, seq: u64, last_seq: u64 },

    #[error("cannot remove tree {tree}: it has not ended; cancel it and wait for its end first")]
    NotEnded { tree: RootId },

    #[error("cannot back up to {path}: there is a file already; name a new one, or move that one away")]
    BackupExists { path: String },

    #[error("cannot write the backup {path}: {detail}; nothing was left there, mend that and try again")]
    BackupFailed { path: String, detail: String },

    #[error("a store in memory has no backup; use `sqlite:PATH` for what has to last")]
    NoBackup,

    #[error("cannot append to tree {tree}: {detail}")]
    Refused { tree: RootId, detail: String },

    #[error(
        "cannot append to tree {tree}: {queued_bytes} bytes wait to be written already; wait until \
         the store has room"
    )]
    Overloaded { tree: RootId, queued_bytes: u64 },

    #[error(
        "{name}@{version} of tenant {tenant} exists with other contents ({stored}); raise the \
         version to publish {offered}"
    )]
    VersionTaken { tenant: Tenant, name: String, version: String, stored: String, offered: String },

    #[error("the component of {name}@{version} does not match its row: {detail}; describe it anew")]
    Mismatch { name: String, version: String, detail: String },

    #[error("tenant {tenant} has no plugin {name}@{version}; list its plugins to see what there is")]
    NoSuchPlugin { tenant: Tenant, name: String, version: String },

    #[error("the store is closed; open it again")]
    Closed,

    #[error("{doing} failed in the store {path}: {detail}; try again, and report it if it stays")]
    Failed { doing: &'static str, path: String, detail: String },
}

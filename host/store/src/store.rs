//! What every store can do. Each rule stated here is held by the contract suite,
//! `tests/store/contract.rs`, for every store.

use std::path::Path;
use std::pin::Pin;

use pleach_kernel::{RootId, Tenant, Timestamp};

use crate::{Append, Done, Error, PluginRow, Problem, Removed, StoredEvent, TreeFilter, TreeSize, TreeSummary};

/// A future that a store hands out.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes messages for this host's trees as they arrive: hand them on and return. It is
/// called on a thread of the store or, where there is nothing to wait for, by
/// [`Store::post`] and [`Store::watch`] before they return, so it must call neither.
pub type Messages = Box<dyn Fn(Vec<(RootId, Vec<u8>)>) + Send + Sync>;

/// The seq that a snapshot is of, and the state after it.
pub type Snapshot = (u64, Vec<u8>);

/// Who owns a tree: the one host that may append to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This store's host.
    Mine,
    /// Another host, which lives.
    Live,
    /// A host that has ended, or died; the tree can be adopted.
    Dead,
    /// There is no such tree.
    Unknown,
}

/// Counters of one open store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed, each of which stands for one wait for the disk; in
    /// memory, changes made.
    pub commits: u64,
    /// Events made durable.
    pub events: u64,
    /// What waits to be written.
    pub queued_bytes: u64,
}

/// The log of all trees, and what hosts share besides.
///
/// Everything is written in call order. Writes take their place when they are called,
/// not when their future is polled: in a queue where there is a disk to wait for. Where
/// there is none they are made before the call returns.
pub trait Store: Send + Sync + 'static {
    /// Writes the events of one decision, and does not wait for a disk.
    ///
    /// `done` is called exactly once, after the append is durable or has failed: on a
    /// thread of the store or, where there is nothing to wait for (in memory, or on a
    /// closed store), before `append` returns. So hold no lock across this call that
    /// `done` takes. It may call the store and must not block: every tree waits for it.
    ///
    /// The owner of a tree makes one append after the other, on one thread at a time,
    /// and is answered in that order. If two threads append to one tree at once, the
    /// fence decides.
    ///
    /// After one append of a tree has failed, every append of that tree that was
    /// queued before `done` was told fails too.
    fn append(&self, append: Append, done: Done);

    /// What waits to be written, in bytes. Above
    /// [`QUEUE_HIGH_WATER_BYTES`](crate::QUEUE_HIGH_WATER_BYTES) stop taking new
    /// work; above [`QUEUE_LIMIT_BYTES`](crate::QUEUE_LIMIT_BYTES) appends fail with
    /// [`Error::Overloaded`].
    fn queued_bytes(&self) -> u64 {
        self.stats().queued_bytes
    }

    /// None while less than the high-water mark waits to be written; else it resolves as
    /// soon as that is so.
    fn room(&self) -> Option<BoxFuture<'_, ()>>;

    /// The events of a tree from `from_seq` on, at most `limit`, without a gap.
    /// Empty past the end, and for a tree that does not exist.
    fn events(&self, root: RootId, from_seq: u64, limit: usize) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>>;

    /// What a run was answered, in order from position 0; verified, or
    /// [`Error::Corrupt`], which names the tree and the run. Empty for a run without
    /// a journal, and for a tree that does not exist.
    fn journal(&self, root: RootId, run: u32) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Error>>;

    /// A large answer by its digest; verified, or [`Error::Corrupt`].
    fn blob(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>>;

    /// Keeps the state of a tree after `seq`, in the place of an older one. It takes
    /// its turn behind the appends that were called before.
    ///
    /// [`Error::SnapshotAhead`] where the log does not reach `seq`, and
    /// [`Error::NotOwner`] where the tree is another host's.
    fn put_snapshot(&self, root: RootId, seq: u64, body: Vec<u8>) -> BoxFuture<'_, Result<(), Error>>;

    /// A tree's snapshot and its seq; verified, or [`Error::Corrupt`], which names
    /// the tree: the whole log says the same as the snapshot did.
    fn snapshot(&self, root: RootId) -> BoxFuture<'_, Result<Option<Snapshot>, Error>>;

    /// The summary of a tree.
    fn tree(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSummary>, Error>>;

    /// The trees of a tenant, newest first.
    fn trees(&self, tenant: &Tenant, filter: TreeFilter) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>>;

    /// Every tenant's trees that have not ended, oldest first.
    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>>;

    /// Every tenant's ended trees that may go: those that ended before `before` (any
    /// time, where there is none) and are not among the `keep` of their tenant that
    /// ended last. The one that ended first comes first; at most `limit`.
    fn ended(
        &self,
        before: Option<Timestamp>,
        keep: usize,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>>;

    /// What a tree takes up.
    fn tree_size(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSize>, Error>>;

    /// Removes an ended tree, whoever owns it: its log, journals, blobs that nobody
    /// else mentions, snapshot, messages, and what it counted for.
    ///
    /// It is out of sight at once and for good, as soon as this call's turn has come;
    /// what it took up is given free in steps, which the future waits for. Where that
    /// is cut off, the next removal or opening goes on with it.
    ///
    /// [`Error::NotEnded`] where the tree has not ended.
    fn remove(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>>;

    /// Removes a tree of this host as [`Store::remove`] does, also where it has not
    /// ended: for one that can neither go on nor be cancelled.
    ///
    /// [`Error::NotOwner`] where the tree is another host's; adopt it first.
    fn discard(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>>;

    /// Keeps a version of a plugin and its component. False where the same version
    /// with the same digest is there already, and then nothing is changed; other
    /// contents under the same version are [`Error::VersionTaken`].
    fn put_plugin(&self, row: PluginRow, component: Vec<u8>) -> BoxFuture<'_, Result<bool, Error>>;

    /// Keeps a component that is no version of a plugin, and gives its digest: a
    /// graph that runs are pinned to. The same one twice is kept once.
    fn put_component(&self, component: Vec<u8>) -> BoxFuture<'_, Result<String, Error>>;

    /// Says whether new runs may use a version.
    fn set_published(
        &self,
        tenant: &Tenant,
        name: &str,
        version: &str,
        published: bool,
    ) -> BoxFuture<'_, Result<(), Error>>;

    /// The plugins of a tenant, by name and then by version, as text.
    fn plugins(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<PluginRow>, Error>>;

    /// A component by its digest; verified, or [`Error::Corrupt`].
    fn component(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>>;

    /// Keeps a policy document as the tenant's newest; its version: 1, 2, …
    fn put_policy(&self, tenant: &Tenant, document: String) -> BoxFuture<'_, Result<u64, Error>>;

    /// A tenant's newest policy and its version.
    fn policy(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Option<(u64, String)>, Error>>;

    /// All policies a tenant has had, oldest first.
    fn policies(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<(u64, String)>, Error>>;

    /// What a tenant has stored: its events, journals and snapshots, the blobs that
    /// its journals mention, each counted once a tree, and its plugins' components,
    /// each counted once a version.
    fn stored_bytes(&self, tenant: &Tenant) -> BoxFuture<'_, Result<u64, Error>>;

    /// Who owns a tree.
    fn owner(&self, root: RootId) -> BoxFuture<'_, Result<Owner, Error>>;

    /// Becomes the owner of a tree whose owner is dead. True where the tree is this
    /// host's afterwards; false where its owner lives, or there is no such tree.
    fn adopt(&self, root: RootId) -> BoxFuture<'_, Result<bool, Error>>;

    /// Leaves a message for a tree's owner, which keeps until the owner, or whoever
    /// adopts the tree, takes it.
    fn post(&self, root: RootId, message: Vec<u8>) -> BoxFuture<'_, Result<(), Error>>;

    /// Takes the messages for this host's trees from now on, in the order in which
    /// they were posted. Each is handed over once. Another call replaces `messages`.
    fn watch(&self, messages: Messages);

    /// Resolves once anything was committed after this call, by this process or
    /// another one; now and then without reason. So that nothing is missed: call
    /// it, then look, then await it.
    fn changed(&self) -> BoxFuture<'static, ()>;

    /// Copies everything that is committed by now to a new file, while this and other
    /// processes write; its size in bytes. The copy is on disk when it is answered,
    /// and is a store like any other.
    ///
    /// [`Error::BackupExists`] where there is a file, [`Error::NoBackup`] in memory.
    /// A process that is killed meanwhile leaves a file beside it that ends in
    /// `.partial` and is of no use.
    fn backup(&self, file: &Path) -> BoxFuture<'_, Result<u64, Error>>;

    /// Verifies everything that the store can verify by itself, and goes on after
    /// the first problem. None found, the answer is empty.
    fn check(&self) -> BoxFuture<'_, Result<Vec<Problem>, Error>>;

    /// Gives the room of what was removed back to the file system. Writes wait for
    /// it, other processes' too, and it needs as much room again while it lasts: for
    /// quiet hours.
    fn vacuum(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Counters since the store was opened.
    fn stats(&self) -> Stats;

    /// Writes out what is queued, then lets go of the file, or of the memory. Whatever
    /// is asked for afterwards is [`Error::Closed`]. A store that is dropped instead
    /// does the same in its own time.
    fn close(&self) -> BoxFuture<'_, Result<(), Error>>;
}

//! What the tests are written with: a store, trees with telling bodies, and a way
//! to hold the writer still. Rules are not checked here.

use std::path::PathBuf;
use std::sync::{Arc, mpsc};

use pleach_kernel::{RootId, Tenant, Timestamp};
use pleach_store::{Append, Blob, Error, JournalEntry, Store, TreeSummary, digest};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Which store a rule is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Sqlite,
}

pub struct Fixture {
    pub store: Arc<dyn Store>,
    folder: TempDir,
}

impl Fixture {
    pub async fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match kind {
            Kind::Memory => "memory:".to_owned(),
            Kind::Sqlite => format!("sqlite:{}", folder.path().join("pleach.db").display()),
        };
        Self { store: pleach_store::open(&url).await.unwrap(), folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("pleach.db")
    }

    /// One more store on the same file.
    pub async fn open_again(&self) -> Arc<dyn Store> {
        open(&self.path()).await.unwrap()
    }

    /// The store by itself, and the folder that its file is in.
    pub fn take_apart(self) -> (Arc<dyn Store>, TempDir) {
        (self.store, self.folder)
    }

    /// Closes the store and opens it again.
    pub async fn reopen(&mut self) {
        self.store.close().await.unwrap();
        self.store = self.open_again().await;
    }
}

pub async fn open(path: &std::path::Path) -> Result<Arc<dyn Store>, Error> {
    pleach_store::open(&format!("sqlite:{}", path.display())).await
}

pub fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

/// The nth tree.
pub fn tree(n: u128) -> RootId {
    RootId(0x0193_8f2e_7c00_7000_8000_0000_0000_0000 + n)
}

/// What event `seq` of a tree says, so that a wrong one is known by sight.
pub fn body(root: RootId, seq: u64) -> Vec<u8> {
    format!("event {seq} of {root}").into_bytes()
}

pub fn summary(root: RootId, last_seq: u64) -> TreeSummary {
    TreeSummary {
        root,
        tenant: Tenant::default_tenant(),
        plugin: "lead@1.0.0".into(),
        status: "running".into(),
        created_at: Timestamp(1_000),
        finished_at: None,
        run_count: 40,
        last_seq,
        policy_version: 1,
    }
}

/// Events `after + 1` to `after + count` of a tree.
pub fn append(root: RootId, after: u64, count: u64) -> Append {
    Append {
        root,
        tenant: Tenant::default_tenant(),
        expected_seq: after,
        events: (after + 1..=after + count).map(|seq| body(root, seq).into()).collect(),
        summary: summary(root, after + count),
        forget: vec![],
        journal: vec![],
    }
}

/// The same, of another tenant.
pub fn append_of(owner: &str, root: RootId, after: u64, count: u64) -> Append {
    let mut append = append(root, after, count);
    append.tenant = tenant(owner);
    append.summary.tenant = tenant(owner);
    append
}

/// What a run was told the nth time, so that a wrong answer is known by sight.
pub fn answer(root: RootId, run: u32, position: u32) -> Vec<u8> {
    format!("answer {position} to {run} of {root}").into_bytes()
}

pub fn entry(root: RootId, run: u32, position: u32) -> JournalEntry {
    JournalEntry { run, position, body: answer(root, run, position), blob: None }
}

/// An append with `count` answers to a run more.
pub fn answers(mut append: Append, run: u32, from: u32, count: u32) -> Append {
    let root = append.root;
    append.journal.extend((from..from + count).map(|position| entry(root, run, position)));
    append
}

pub fn blob(text: &str) -> Blob {
    Blob { digest: digest(text.as_bytes()), body: text.as_bytes().to_vec() }
}

/// Appends now; what comes of it can be awaited.
pub fn queue(store: &dyn Store, append: Append) -> oneshot::Receiver<Result<(), Error>> {
    let (told, answer) = oneshot::channel();
    // A test that does not look at the answer has dropped the other end.
    store.append(append, Box::new(move |result| drop(told.send(result))));
    answer
}

pub async fn write(store: &dyn Store, append: Append) -> Result<(), Error> {
    queue(store, append).await.expect("an append is always answered")
}

/// Awaits what has to come by itself, so that a test fails where it would hang.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, what).await.expect("it should have come long ago")
}

/// Checks that the log of a tree is exactly events 1 to `last_seq`.
pub async fn check_log(store: &dyn Store, root: RootId, last_seq: u64) {
    let events = store.events(root, 1, usize::MAX).await.unwrap();
    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=last_seq).collect::<Vec<_>>(), "the seqs of {root}");
    assert!(events.iter().all(|event| *event.body == body(root, event.seq)), "the bodies of {root}");
    let found = store.tree(root).await.unwrap().map(|summary| summary.last_seq);
    assert_eq!(found, (last_seq > 0).then_some(last_seq), "the summary of {root}");
}

/// Checks that the journal of a run is exactly answers 0 to `count - 1`.
pub async fn check_journal(store: &dyn Store, root: RootId, run: u32, count: u32) {
    let found = store.journal(root, run).await.unwrap();
    assert_eq!(found.len(), count as usize, "the journal of run {run} of {root}");
    assert!((0..count).zip(found).all(|(at, body)| body == answer(root, run, at)), "the answers to {run} of {root}");
}

/// Checks that the store finds nothing wrong with itself.
pub async fn check_sound(store: &dyn Store) {
    let problems = store.check().await.unwrap();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// The writer of a store that queues, held still: what is queued meanwhile waits and
/// becomes one group.
pub struct Held {
    _release: mpsc::Sender<()>,
}

/// Holds the writer until the returned value is dropped.
pub async fn hold(store: &dyn Store) -> Held {
    let (release, released) = mpsc::channel::<()>();
    let (reached, holding) = oneshot::channel();
    let root = RootId(u128::MAX - store.stats().commits as u128);
    store.append(
        append(root, 0, 1),
        Box::new(move |result| {
            result.unwrap();
            reached.send(()).unwrap();
            // Ends with an error as soon as the other end is dropped.
            let _ = released.recv();
        }),
    );
    holding.await.unwrap();
    Held { _release: release }
}

//! The store in one SQLite file: one thread writes, a few connections read.
//!
//! This file is the handle and nothing but wiring. The write path is `writer.rs`
//! (thread, answers) behind `queue.rs` and over `batch.rs` (the SQL of appends) and
//! `task.rs` (all other writes), with `doomed.rs` for what a failure takes along;
//! reading is `readers.rs` (connections). The SQL of each thing that is kept
//! is in a file of its name: `tree.rs`, `journal.rs`, `blobs.rs`, `snapshot.rs`,
//! `plugins.rs`, `policies.rs`, `mail.rs`. `open.rs`, `look.rs` and `schema.rs` find out what a
//! file is, `hosts.rs` who is alive, `watch.rs` what other processes do. Looking after
//! a file is `remove.rs`, `size.rs`, `backup.rs` and `check.rs`.

mod backup;
mod batch;
mod blobs;
mod check;
mod doomed;
mod fault;
mod hosts;
mod journal;
mod look;
mod mail;
mod open;
mod plugins;
mod policies;
mod queue;
mod readers;
mod remove;
mod schema;
mod size;
mod snapshot;
mod task;
mod tree;
mod watch;
mod writer;

use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use pleach_kernel::{RootId, Tenant, Timestamp};
use rusqlite::Connection;

use crate::store::{BoxFuture, Messages, Owner, Snapshot, Stats, Store};
use crate::{Append, Done, Error, PluginRow, Problem, Removed, StoredEvent, TreeFilter, TreeSize, TreeSummary};

use hosts::Hosts;
use open::Opened;
use queue::Queue;
use readers::Readers;
use task::{alone, task};
use watch::Watcher;

pub use queue::{QUEUE_HIGH_WATER_BYTES, QUEUE_LIMIT_BYTES};

/// A store in a file, as long as this value lives.
pub(crate) struct Sqlite {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the handle and its threads have in common.
struct Shared {
    path: String,
    queue: Queue,
    readers: Readers,
    hosts: Hosts,
    watcher: Watcher,
    commits: AtomicU64,
    events: AtomicU64,
}

impl Sqlite {
    /// Opens a file, and makes it where there is none.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, Error> {
        Self::open_by(path, open::open).await
    }

    /// Opens a file that is there, also where it cannot be written to.
    pub(crate) async fn look(path: PathBuf) -> Result<Self, Error> {
        Self::open_by(path, |path| match path.exists().then(|| open::open(path)) {
            None | Some(Err(Error::Unusable { .. })) => look::open(path),
            Some(opened) => opened,
        })
        .await
    }

    async fn open_by(path: PathBuf, open: fn(&Path) -> Result<Opened, Error>) -> Result<Self, Error> {
        let name = path.display().to_string();
        // A history of migrations that was damaged makes their runner panic.
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let opened = opened.unwrap_or_else(|_| {
            Err(Error::Corrupt {
                what: format!("the store {name}"),
                detail: "its history of migrations cannot be read".into(),
            })
        })?;
        let shared = Arc::new(Shared {
            readers: Readers::new(opened.reading),
            path: opened.path,
            queue: Queue::new(),
            hosts: opened.hosts,
            watcher: Watcher::new(),
            commits: AtomicU64::new(0),
            events: AtomicU64::new(0),
        });
        // From here on the threads end with the handle, whichever of them started.
        let store = Self { shared: shared.clone(), threads: Mutex::default() };
        store.start("pleach-writer", {
            let shared = shared.clone();
            move || writer::run(opened.connection, &shared)
        })?;
        store.start("pleach-watcher", {
            let shared = shared.clone();
            move || watch::run(&shared)
        })?;
        if opened.can_write && shared.readers.read(remove::is_left).await? {
            // Nobody waits for it: what is removed is out of sight already.
            tokio::spawn(async move {
                if let Err(error) = shared.finish_removals().await {
                    tracing::debug!(%error, "a removal that was cut off is left for later");
                }
            });
        }
        Ok(store)
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        let thread = thread.map_err(|error| Error::Failed {
            doing: "starting a thread",
            path: self.shared.path.clone(),
            detail: error.to_string(),
        })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Error>> {
        Box::pin(self.shared.readers.read(ask))
    }

    fn write<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Error>> {
        Box::pin(self.shared.write(ask))
    }

    /// What is left of a tree goes once it is out of sight.
    fn finish_removal(
        &self,
        begun: impl Future<Output = Result<Removed, Error>> + Send + 'static,
    ) -> BoxFuture<'_, Result<Removed, Error>> {
        Box::pin(async move {
            let removed = begun.await?;
            self.shared.finish_removals().await?;
            Ok(removed)
        })
    }
}

impl Shared {
    /// Queues a write of its own, now; the future only waits for it.
    fn write<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let (task, answer) = task(ask);
        self.queue.task(task, 0);
        async move { answer.await.unwrap_or(Err(Error::Closed)) }
    }

    /// Goes on with removals until nothing is left of them.
    async fn finish_removals(&self) -> Result<(), Error> {
        while self.write(remove::step).await? {}
        Ok(())
    }

    /// Takes nothing more; the threads end once everything queued is written.
    fn close(&self) {
        self.queue.close();
        self.watcher.close();
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Store for Sqlite {
    fn append(&self, append: Append, done: Done) {
        self.shared.queue.append(append, done);
    }

    fn room(&self) -> Option<BoxFuture<'_, ()>> {
        let queue = &self.shared.queue;
        (!queue.has_room()).then(|| -> BoxFuture<'_, ()> { Box::pin(queue.room()) })
    }

    fn events(&self, root: RootId, from_seq: u64, limit: usize) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>> {
        self.read(move |conn| tree::events(conn, root, from_seq, limit))
    }

    fn journal(&self, root: RootId, run: u32) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Error>> {
        self.read(move |conn| journal::read(conn, root, run))
    }

    fn blob(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        let digest = digest.to_owned();
        self.read(move |conn| blobs::read(conn, &digest))
    }

    fn put_snapshot(&self, root: RootId, seq: u64, body: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        let (shared, bytes) = (self.shared.clone(), body.len());
        let (task, answer) = task(move |conn| snapshot::put(conn, shared.hosts.id(), root, seq, &body));
        self.shared.queue.task(task, bytes);
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }

    fn snapshot(&self, root: RootId) -> BoxFuture<'_, Result<Option<Snapshot>, Error>> {
        self.read(move |conn| snapshot::read(conn, root))
    }

    fn tree(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSummary>, Error>> {
        self.read(move |conn| tree::summary(conn, root))
    }

    fn trees(&self, tenant: &Tenant, filter: TreeFilter) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        let tenant = tenant.clone();
        self.read(move |conn| tree::list(conn, &tenant, &filter))
    }

    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.read(tree::unfinished)
    }

    fn ended(
        &self,
        before: Option<Timestamp>,
        keep: usize,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.read(move |conn| tree::ended(conn, before, keep, limit))
    }

    fn tree_size(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSize>, Error>> {
        self.read(move |conn| size::read(conn, root))
    }

    fn remove(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        self.finish_removal(self.shared.write(move |conn| remove::ended(conn, root)))
    }

    fn discard(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        let shared = self.shared.clone();
        self.finish_removal(self.shared.write(move |conn| remove::owned(conn, root, shared.hosts.id())))
    }

    fn put_plugin(&self, row: PluginRow, component: Vec<u8>) -> BoxFuture<'_, Result<bool, Error>> {
        // Hashing a large component would hold up every tree on the writer's thread.
        match row.check(&component) {
            Ok(()) => self.write(move |conn| plugins::put(conn, &row, &component)),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }

    fn put_component(&self, component: Vec<u8>) -> BoxFuture<'_, Result<String, Error>> {
        let digest = crate::plugin::digest(&component);
        self.write(move |conn| plugins::put_component(conn, &digest, &component).map(|()| digest))
    }

    fn set_published(
        &self,
        tenant: &Tenant,
        name: &str,
        version: &str,
        published: bool,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let (tenant, name, version) = (tenant.clone(), name.to_owned(), version.to_owned());
        self.write(move |conn| plugins::set_published(conn, tenant, name, version, published))
    }

    fn plugins(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<PluginRow>, Error>> {
        let tenant = tenant.clone();
        self.read(move |conn| plugins::list(conn, &tenant))
    }

    fn component(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        let digest = digest.to_owned();
        self.read(move |conn| plugins::component(conn, &digest))
    }

    fn put_policy(&self, tenant: &Tenant, document: String) -> BoxFuture<'_, Result<u64, Error>> {
        let tenant = tenant.clone();
        self.write(move |conn| policies::put(conn, &tenant, &document))
    }

    fn policy(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Option<(u64, String)>, Error>> {
        let tenant = tenant.clone();
        self.read(move |conn| policies::newest(conn, &tenant))
    }

    fn policies(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<(u64, String)>, Error>> {
        let tenant = tenant.clone();
        self.read(move |conn| policies::list(conn, &tenant))
    }

    fn stored_bytes(&self, tenant: &Tenant) -> BoxFuture<'_, Result<u64, Error>> {
        let tenant = tenant.clone();
        self.read(move |conn| tree::stored_bytes(conn, &tenant))
    }

    fn owner(&self, root: RootId) -> BoxFuture<'_, Result<Owner, Error>> {
        let shared = self.shared.clone();
        self.read(move |conn| shared.hosts.owner(tree::owner(conn, root)?.as_deref()))
    }

    fn adopt(&self, root: RootId) -> BoxFuture<'_, Result<bool, Error>> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let asked = shared.clone();
            let adopted = shared.write(move |conn| match asked.hosts.owner(tree::owner(conn, root)?.as_deref())? {
                Owner::Mine => Ok(true),
                Owner::Live | Owner::Unknown => Ok(false),
                Owner::Dead => tree::set_owner(conn, root, asked.hosts.id()).map(|()| true),
            });
            let adopted = adopted.await;
            // Messages may have waited for somebody to take the tree over.
            shared.watcher.nudge();
            adopted
        })
    }

    fn post(&self, root: RootId, message: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        let posted = self.shared.write(move |conn| mail::post(conn, root, &message));
        Box::pin(async move {
            let posted = posted.await;
            self.shared.watcher.nudge();
            posted
        })
    }

    fn watch(&self, messages: Messages) {
        self.shared.watcher.receive(messages);
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        self.shared.watcher.changed()
    }

    fn backup(&self, file: &Path) -> BoxFuture<'_, Result<u64, Error>> {
        let file = file.to_owned();
        self.read(move |conn| backup::write(conn, &file))
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<Problem>, Error>> {
        self.read(check::run)
    }

    fn vacuum(&self) -> BoxFuture<'_, Result<(), Error>> {
        let (task, answer) = alone(backup::vacuum);
        self.shared.queue.task(task, 0);
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Closed)) })
    }

    fn stats(&self) -> Stats {
        Stats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            events: self.shared.events.load(Ordering::Relaxed),
            queued_bytes: self.shared.queue.queued_bytes(),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.shared.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            // Readers first: the writer's is the connection that can empty the
            // write-ahead log, and it can only do so alone.
            self.shared.readers.close().await;
            let shared = self.shared.clone();
            let failed =
                |detail: &str| Error::Failed { doing: "closing", path: shared.path.clone(), detail: detail.to_owned() };
            let joined = tokio::task::spawn_blocking(|| {
                threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count()
            });
            let panicked = joined.await.map_err(|error| failed(&error.to_string()))?;
            self.shared.hosts.release();
            match panicked {
                0 => Ok(()),
                _ => Err(failed("a thread of the store has panicked")),
            }
        })
    }
}

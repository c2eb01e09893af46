//! The store that forgets: everything in memory, gone when it is dropped. The rules
//! are the same as for one that lasts, but there is nothing to wait for: whoever
//! calls it does the work, and all is done when the call returns. What it holds is in
//! `content.rs` and `journal.rs`.

mod check;
mod content;
mod journal;

use std::future::ready;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pleach_kernel::{RootId, Tenant, Timestamp};
use tokio::sync::watch;

use crate::callback::{hand_over, tell};
use crate::store::{BoxFuture, Messages, Owner, Snapshot, Stats, Store};
use crate::{Append, Done, Error, PluginRow, Problem, Removed, StoredEvent, TreeFilter, TreeSize, TreeSummary, plugin};
use content::Content;

/// A store in memory.
pub(crate) struct Memory {
    /// None once the store is closed. Never locked while a callback runs.
    content: Mutex<Option<Content>>,
    /// Who takes messages. Locked while they are handed over, so that they arrive in
    /// order, and before `content`.
    receiver: Mutex<Option<Messages>>,
    /// Counts changes, and wakes those who wait for one.
    commits: watch::Sender<u64>,
    events: AtomicU64,
}

impl Memory {
    pub(crate) fn open() -> Self {
        Self {
            content: Mutex::new(Some(Content::default())),
            receiver: Mutex::default(),
            commits: watch::Sender::new(0),
            events: AtomicU64::new(0),
        }
    }

    fn content(&self) -> MutexGuard<'_, Option<Content>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receiver(&self) -> MutexGuard<'_, Option<Messages>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the content now, unless the store is closed.
    fn ask<T>(&self, ask: impl FnOnce(&mut Content) -> Result<T, Error>) -> Result<T, Error> {
        self.content().as_mut().map_or(Err(Error::Closed), ask)
    }

    /// The same for what changes it.
    fn commit<T>(&self, change: impl FnOnce(&mut Content) -> Result<T, Error>) -> Result<T, Error> {
        let changed = self.ask(change)?;
        self.commits.send_modify(|commits| *commits += 1);
        Ok(changed)
    }

    fn look<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Content) -> Result<T, Error>,
    ) -> BoxFuture<'static, Result<T, Error>> {
        Box::pin(ready(self.ask(ask)))
    }

    fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Content) -> Result<T, Error>,
    ) -> BoxFuture<'static, Result<T, Error>> {
        Box::pin(ready(self.commit(change)))
    }

    /// Hands over the messages that wait, if there is somebody to take them.
    fn deliver(&self, receiver: Option<&Messages>) {
        if let Some(messages) = receiver
            && let Ok(waiting) = self.ask(|content| Ok(std::mem::take(&mut content.messages)))
        {
            hand_over(messages, waiting);
        }
    }
}

impl Store for Memory {
    fn append(&self, append: Append, done: Done) {
        // Digests are computed before anybody has to wait for the content.
        let checked = append.check_blobs().and_then(|()| append.check());
        let events = append.events.len() as u64;
        let result = self.commit(|content| checked.and_then(|()| content.append(append)));
        if result.is_ok() {
            self.events.fetch_add(events, Ordering::Relaxed);
        }
        tell(done, result);
    }

    fn room(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    fn events(&self, root: RootId, from_seq: u64, limit: usize) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>> {
        self.look(|content| Ok(content.tree(root).map_or(Vec::new(), |tree| tree.read(from_seq, limit))))
    }

    fn journal(&self, root: RootId, run: u32) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Error>> {
        self.look(|content| Ok(content.tree(root).map_or_else(Vec::new, |tree| tree.journals.read(run))))
    }

    fn blob(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        self.look(|content| Ok(content.blobs.get(digest)))
    }

    fn put_snapshot(&self, root: RootId, seq: u64, body: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        self.change(|content| content.put_snapshot(root, seq, body))
    }

    fn snapshot(&self, root: RootId) -> BoxFuture<'_, Result<Option<Snapshot>, Error>> {
        self.look(|content| Ok(content.tree(root).and_then(|tree| tree.snapshot.clone())))
    }

    fn tree(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSummary>, Error>> {
        self.look(|content| Ok(content.tree(root).map(|tree| tree.summary.clone())))
    }

    fn trees(&self, tenant: &Tenant, filter: TreeFilter) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.look(|content| content.list(tenant, &filter))
    }

    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.look(|content| Ok(content.unfinished()))
    }

    fn ended(
        &self,
        before: Option<Timestamp>,
        keep: usize,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.look(|content| Ok(content.ended(before, keep, limit)))
    }

    fn tree_size(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSize>, Error>> {
        self.look(|content| Ok(content.tree(root).map(|tree| content.size(tree))))
    }

    fn remove(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        self.change(|content| content.remove(root))
    }

    fn discard(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        self.change(|content| content.discard(root))
    }

    fn put_plugin(&self, row: PluginRow, component: Vec<u8>) -> BoxFuture<'_, Result<bool, Error>> {
        let checked = row.check(&component);
        self.change(|content| checked.and_then(|()| content.put_plugin(row, component)))
    }

    fn put_component(&self, component: Vec<u8>) -> BoxFuture<'_, Result<String, Error>> {
        let digest = crate::plugin::digest(&component);
        self.change(|content| {
            content.components.entry(digest.clone()).or_insert(component);
            Ok(digest)
        })
    }

    fn set_published(
        &self,
        tenant: &Tenant,
        name: &str,
        version: &str,
        published: bool,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let key = (tenant.clone(), name.to_owned(), version.to_owned());
        self.change(|content| content.set_published(key, published))
    }

    fn plugins(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<PluginRow>, Error>> {
        self.look(|content| {
            let rows = content.plugins.values().filter(|row| row.tenant == *tenant);
            Ok(rows.cloned().collect())
        })
    }

    fn component(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        let found = self.ask(|content| Ok(content.components.get(digest).cloned()));
        let verified = |component: Option<_>| component.map(|body| plugin::verified(body, digest)).transpose();
        Box::pin(ready(found.and_then(verified)))
    }

    fn put_policy(&self, tenant: &Tenant, document: String) -> BoxFuture<'_, Result<u64, Error>> {
        self.change(|content| Ok(content.put_policy(tenant.clone(), document)))
    }

    fn policy(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Option<(u64, String)>, Error>> {
        self.look(|content| Ok(content.policies(tenant).pop()))
    }

    fn policies(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<(u64, String)>, Error>> {
        self.look(|content| Ok(content.policies(tenant)))
    }

    fn stored_bytes(&self, tenant: &Tenant) -> BoxFuture<'_, Result<u64, Error>> {
        self.look(|content| Ok(content.bytes.get(tenant).copied().unwrap_or(0)))
    }

    fn owner(&self, root: RootId) -> BoxFuture<'_, Result<Owner, Error>> {
        self.look(|content| Ok(content.tree(root).map_or(Owner::Unknown, |_| Owner::Mine)))
    }

    fn adopt(&self, root: RootId) -> BoxFuture<'_, Result<bool, Error>> {
        self.look(|content| Ok(content.tree(root).is_some()))
    }

    fn post(&self, root: RootId, message: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        let receiver = self.receiver();
        let posted = self.commit(|content| content.post(root, message));
        self.deliver(receiver.as_ref());
        Box::pin(ready(posted))
    }

    fn watch(&self, messages: Messages) {
        let mut receiver = self.receiver();
        self.deliver(Some(receiver.insert(messages)));
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut commits = self.commits.subscribe();
        if self.content().is_none() {
            return Box::pin(ready(()));
        }
        Box::pin(async move {
            // An error means that the store is gone, which is a change too.
            let _ = commits.changed().await;
        })
    }

    fn backup(&self, _file: &Path) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(ready(Err(Error::NoBackup)))
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<Problem>, Error>> {
        self.look(|content| Ok(content.check()))
    }

    fn vacuum(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.look(|_| Ok(()))
    }

    fn stats(&self) -> Stats {
        Stats { commits: *self.commits.borrow(), events: self.events.load(Ordering::Relaxed), queued_bytes: 0 }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        let content = self.content().take();
        // Nobody waits for a change that cannot come.
        self.commits.send_modify(|_| {});
        drop(content);
        Box::pin(ready(Ok(())))
    }
}

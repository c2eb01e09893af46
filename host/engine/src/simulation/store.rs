//! A store on a world's disk: appends wait, are written together, fail or get
//! lost as the world has it.

use std::future::{Ready, pending, ready};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pleach_kernel::{RootId, Tenant, Timestamp};
use pleach_store::{
    Append, BoxFuture, Done, Error, Messages, Owner, PluginRow, Problem, Removed, Stats, Store, StoredEvent,
    TreeFilter, TreeSize, TreeSummary,
};
use tokio::sync::Notify;

use super::world::{Inner, OnDisk, World};

/// The store as one host has it open.
pub(super) struct SimStore {
    world: Arc<World>,
    life: u32,
    /// There is something to write.
    filled: Notify,
}

impl SimStore {
    /// Opens the world's disk for the host of this number. `delays` says how long
    /// each write takes, over and over.
    pub(super) fn open(world: &Arc<World>, life: u32, delays: Vec<u64>) -> Arc<Self> {
        let store = Arc::new(Self { world: world.clone(), life, filled: Notify::new() });
        tokio::spawn(write(store.clone(), delays));
        store
    }

    /// Looks at the disk; the answer never comes where the host has ended.
    fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Inner) -> Result<T, Error>,
    ) -> BoxFuture<'_, Result<T, Error>> {
        match self.world.step(self.life, look) {
            Some(found) => Box::pin(ready(found)),
            None => Box::pin(pending()),
        }
    }

    fn tree<T: Send + 'static>(
        &self,
        root: RootId,
        look: impl FnOnce(&mut OnDisk) -> T,
    ) -> BoxFuture<'_, Result<Option<T>, Error>> {
        self.look(|inner| Ok(inner.disk.get_mut(&root).filter(|tree| tree.summary.is_some()).map(look)))
    }
}

/// The writer: one write after the other, each of everything that waits.
async fn write(store: Arc<SimStore>, delays: Vec<u64>) {
    for delay in delays.iter().cycle() {
        if store.world.lock().waiting.is_empty() {
            store.filled.notified().await;
        }
        tokio::time::sleep(Duration::from_millis(*delay)).await;
        // Taken as one step: a host that ends here has written all or nothing.
        let Some(told) = store.world.step(store.life, |inner| inner.commit(usize::MAX)) else { return };
        for (done, result) in told {
            done(result);
        }
    }
}

impl Store for SimStore {
    fn append(&self, append: Append, done: Done) {
        if self.world.step(self.life, |inner| inner.waiting.push_back((append, done))).is_some() {
            self.filled.notify_one();
        }
    }

    fn room(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    fn events(&self, root: RootId, from_seq: u64, limit: usize) -> BoxFuture<'_, Result<Vec<StoredEvent>, Error>> {
        let page = self.tree(root, move |tree| {
            let events = (1..).zip(&tree.events).filter(|(seq, _)| *seq >= from_seq).take(limit);
            events.map(|(seq, body)| StoredEvent { seq, body: body.clone() }).collect()
        });
        Box::pin(async { Ok(page.await?.unwrap_or_default()) })
    }

    fn tree(&self, root: RootId) -> BoxFuture<'_, Result<Option<TreeSummary>, Error>> {
        let summary = self.tree(root, |tree| tree.summary.clone());
        Box::pin(async { Ok(summary.await?.flatten()) })
    }

    fn trees(&self, _: &Tenant, _: TreeFilter) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.look(|inner| Ok(inner.disk.values().filter_map(|tree| tree.summary.clone()).collect()))
    }

    fn put_component(&self, body: Vec<u8>) -> BoxFuture<'_, Result<String, Error>> {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = format!("sha256:{:016x}", hasher.finish());
        self.look(move |inner| {
            inner.components.insert(digest.clone(), body);
            Ok(digest)
        })
    }

    fn put_plugin(&self, row: PluginRow, _: Vec<u8>) -> BoxFuture<'_, Result<bool, Error>> {
        self.look(|inner| {
            inner.plugins.push(row);
            Ok(true)
        })
    }

    fn set_published(
        &self,
        _: &Tenant,
        name: &str,
        version: &str,
        published: bool,
    ) -> BoxFuture<'_, Result<(), Error>> {
        self.look(|inner| {
            let rows = inner.plugins.iter_mut().filter(|row| row.name == name && row.version == version);
            rows.for_each(|row| row.published = published);
            Ok(())
        })
    }

    fn plugins(&self, _: &Tenant) -> BoxFuture<'_, Result<Vec<PluginRow>, Error>> {
        self.look(|inner| Ok(inner.plugins.clone()))
    }

    fn component(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        self.look(|inner| Ok(inner.components.get(digest).cloned()))
    }

    fn put_policy(&self, _: &Tenant, _: String) -> BoxFuture<'_, Result<u64, Error>> {
        not_here()
    }

    fn policy(&self, _: &Tenant) -> BoxFuture<'_, Result<Option<(u64, String)>, Error>> {
        self.look(|_| Ok(None))
    }

    fn policies(&self, _: &Tenant) -> BoxFuture<'_, Result<Vec<(u64, String)>, Error>> {
        self.look(|_| Ok(Vec::new()))
    }

    fn stored_bytes(&self, _: &Tenant) -> BoxFuture<'_, Result<u64, Error>> {
        self.look(|_| Ok(0))
    }

    fn owner(&self, root: RootId) -> BoxFuture<'_, Result<Owner, Error>> {
        let life = self.life;
        let owner = self.tree(root, move |tree| if tree.owner == life { Owner::Mine } else { Owner::Dead });
        Box::pin(async { Ok(owner.await?.unwrap_or(Owner::Unknown)) })
    }

    fn adopt(&self, root: RootId) -> BoxFuture<'_, Result<bool, Error>> {
        self.look(move |inner| {
            let there = inner.disk.get(&root).is_some_and(|tree| tree.summary.is_some());
            if there {
                inner.adopt(root);
            }
            Ok(there)
        })
    }

    fn post(&self, _: RootId, _: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        not_here()
    }

    fn watch(&self, _: Messages) {}

    fn changed(&self) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(Duration::from_millis(50)))
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(ready(Ok(())))
    }

    fn journal(&self, root: RootId, run: u32) -> BoxFuture<'_, Result<Vec<Vec<u8>>, Error>> {
        let journal = self.tree(root, move |tree| tree.journals.get(&run).cloned().unwrap_or_default());
        Box::pin(async { Ok(journal.await?.unwrap_or_default()) })
    }

    fn blob(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        self.look(|inner| Ok(inner.blobs.get(digest).cloned()))
    }

    fn put_snapshot(&self, root: RootId, seq: u64, body: Vec<u8>) -> BoxFuture<'_, Result<(), Error>> {
        let told = self.world.step(self.life, move |inner| {
            // Behind the appends that were called before it.
            let told = inner.commit(usize::MAX);
            let tree = inner.disk.entry(root).or_default();
            if tree.events.len() as u64 >= seq {
                tree.snapshot = Some((seq, body));
            }
            told
        });
        let Some(told) = told else { return Box::pin(pending()) };
        // At once: nobody hears of a later append first.
        for (done, result) in told {
            done(result);
        }
        Box::pin(ready(Ok(())))
    }

    fn snapshot(&self, root: RootId) -> BoxFuture<'_, Result<Option<(u64, Vec<u8>)>, Error>> {
        let snapshot = self.tree(root, |tree| tree.snapshot.clone());
        Box::pin(async { Ok(snapshot.await?.flatten()) })
    }

    fn unfinished(&self) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        self.look(|inner| {
            let all = inner.disk.values().filter_map(|tree| tree.summary.clone());
            Ok(all.filter(|summary| summary.finished_at.is_none()).collect())
        })
    }

    fn ended(&self, _: Option<Timestamp>, _: usize, _: usize) -> BoxFuture<'_, Result<Vec<TreeSummary>, Error>> {
        not_here()
    }

    fn tree_size(&self, _: RootId) -> BoxFuture<'_, Result<Option<TreeSize>, Error>> {
        not_here()
    }

    fn remove(&self, _: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        not_here()
    }

    fn discard(&self, _: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        not_here()
    }

    fn backup(&self, _: &Path) -> BoxFuture<'_, Result<u64, Error>> {
        not_here()
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<Problem>, Error>> {
        not_here()
    }

    fn vacuum(&self) -> BoxFuture<'_, Result<(), Error>> {
        not_here()
    }
}

/// What no simulation asks for.
fn not_here<T: Send + 'static>() -> BoxFuture<'static, Result<T, Error>> {
    let error =
        Error::Failed { doing: "asking for it", path: "simulated".into(), detail: "there is no such thing".into() };
    let answer: Ready<Result<T, Error>> = ready(Err(error));
    Box::pin(answer)
}

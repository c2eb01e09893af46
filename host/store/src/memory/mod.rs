//! The store that forgets: everything in memory, gone when it is dropped. The rules
//! are the same as for one that lasts; only the disk is left out. What it holds is
//! in `content.rs` and `journal.rs`.

mod check;
mod content;
mod journal;

use std::future::ready;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use pleach_kernel::{RootId, Tenant, Timestamp};
use tokio::sync::{oneshot, watch};

use crate::callback::hand_over;
use crate::doomed::Doomed;
use crate::queue::{AbandonOnExit, Job, Queue, Queued};
use crate::store::{BoxFuture, Messages, Owner, Snapshot, Stats, Store};
use crate::{Append, Done, Error, PluginRow, Problem, Removed, StoredEvent, TreeFilter, TreeSize, TreeSummary, plugin};
use content::Content;

/// A store in memory, with one writer thread like any other store.
pub(crate) struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue<Work>,
    content: Mutex<Content>,
    commits: AtomicU64,
    events: AtomicU64,
    changed: watch::Sender<u64>,
}

/// What the writer does besides appending.
enum Work {
    /// Changes the content, and says what to answer when the group has ended.
    Change(Box<dyn FnOnce(&mut Content) -> Reply + Send>),
    Deliver(RootId, Vec<u8>, oneshot::Sender<Result<(), Error>>),
    Watch(Messages),
    Close(oneshot::Sender<()>),
}

/// Answers whoever asked, who may have gone away.
type Reply = Box<dyn FnOnce() + Send>;

/// Somebody to tell when a group has ended.
enum Answer {
    Append(RootId, Done, Result<(), Error>),
    Work(Reply),
}

impl Memory {
    pub(crate) fn open() -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            content: Mutex::default(),
            commits: AtomicU64::new(0),
            events: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        });
        let writer = shared.clone();
        thread::Builder::new().name("pleach-memory".into()).spawn(move || writer.write()).map_err(|error| {
            Error::Failed { doing: "starting the writer thread", path: "memory:".into(), detail: error.to_string() }
        })?;
        Ok(Self { shared })
    }

    /// Answers from the content, or that the store is closed.
    fn look<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Content) -> Result<T, Error>,
    ) -> BoxFuture<'_, Result<T, Error>> {
        let answer = match self.shared.queue.is_closed() {
            true => Err(Error::Closed),
            false => ask(&mut self.shared.content()),
        };
        Box::pin(ready(answer))
    }

    /// Like [`Self::look`], for what is written: it waits its turn.
    fn change<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Content) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Error>> {
        self.heavy_change(0, ask)
    }

    /// The same for a change that holds so many bytes.
    fn heavy_change<T: Send + 'static>(
        &self,
        bytes: usize,
        ask: impl FnOnce(&mut Content) -> Result<T, Error> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, Error>> {
        let (answer, answered) = oneshot::channel();
        let change = move |content: &mut Content| reply(answer, ask(content));
        self.ask(Work::Change(Box::new(change)), bytes, answered)
    }

    /// Queues work, now; the future only waits for its answer.
    fn ask<T: Send + 'static>(
        &self,
        work: Work,
        bytes: usize,
        answered: oneshot::Receiver<Result<T, Error>>,
    ) -> BoxFuture<'_, Result<T, Error>> {
        // Work that is refused is dropped, which its answer shows.
        let _ = self.shared.queue.heavy_work(work, bytes);
        Box::pin(async move { answered.await.unwrap_or(Err(Error::Closed)) })
    }
}

fn reply<T: Send + 'static>(answer: oneshot::Sender<T>, value: T) -> Reply {
    Box::new(move || drop(answer.send(value)))
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Store for Memory {
    fn append(&self, append: Append, done: Done) {
        self.shared.queue.append(append, done);
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.queue.room())
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
        self.heavy_change(body.len(), move |content| content.put_snapshot(root, seq, body))
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
        self.change(move |content| content.remove(root))
    }

    fn discard(&self, root: RootId) -> BoxFuture<'_, Result<Removed, Error>> {
        self.change(move |content| content.discard(root))
    }

    fn put_plugin(&self, row: PluginRow, component: Vec<u8>) -> BoxFuture<'_, Result<bool, Error>> {
        self.change(move |content| content.put_plugin(row, component))
    }

    fn set_published(
        &self,
        tenant: &Tenant,
        name: &str,
        version: &str,
        published: bool,
    ) -> BoxFuture<'_, Result<(), Error>> {
        let key = (tenant.clone(), name.to_owned(), version.to_owned());
        self.change(move |content| content.set_published(key, published))
    }

    fn plugins(&self, tenant: &Tenant) -> BoxFuture<'_, Result<Vec<PluginRow>, Error>> {
        self.look(|content| {
            let rows = content.plugins.values().filter(|row| row.tenant == *tenant);
            Ok(rows.cloned().collect())
        })
    }

    fn component(&self, digest: &str) -> BoxFuture<'_, Result<Option<Vec<u8>>, Error>> {
        self.look(|content| {
            let found = content.components.get(digest).cloned();
            found.map(|component| plugin::verified(component, digest)).transpose()
        })
    }

    fn put_policy(&self, tenant: &Tenant, document: String) -> BoxFuture<'_, Result<u64, Error>> {
        let tenant = tenant.clone();
        self.change(move |content| Ok(content.put_policy(tenant, document)))
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
        let (answer, answered) = oneshot::channel();
        self.ask(Work::Deliver(root, message, answer), 0, answered)
    }

    fn watch(&self, messages: Messages) {
        // Where the store is closed, no message will come.
        let _ = self.shared.queue.work(Work::Watch(messages));
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let mut changed = self.shared.changed.subscribe();
        if self.shared.queue.is_closed() {
            return Box::pin(ready(()));
        }
        Box::pin(async move {
            // An error means that the store is gone, which is a change too.
            let _ = changed.changed().await;
        })
    }

    fn backup(&self, _file: &Path) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(ready(Err(Error::NoBackup)))
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<Problem>, Error>> {
        self.look(|content| Ok(content.check()))
    }

    fn vacuum(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.change(|_| Ok(()))
    }

    fn stats(&self) -> Stats {
        Stats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            events: self.shared.events.load(Ordering::Relaxed),
            queued_bytes: self.shared.queue.queued_bytes(),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Error>> {
        let (answer, answered) = oneshot::channel();
        // Only the first to close has anything to wait for.
        let queued = self.shared.queue.work(Work::Close(answer)).is_ok();
        self.shared.queue.close();
        Box::pin(async move {
            if queued {
                // Dropped unanswered, it says that the writer has ended, which will do.
                let _ = answered.await;
            }
            Ok(())
        })
    }
}

impl Shared {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committed(&self) {
        self.changed.send_modify(|commits| *commits += 1);
    }

    /// The writer thread, until the queue is closed and empty.
    fn write(&self) {
        let _abandon = AbandonOnExit(&self.queue);
        let mut doomed = Doomed::default();
        let mut mail = Mail::default();
        while let Some(group) = self.queue.next_group() {
            let bytes = group.bytes();
            let mut answers = Vec::with_capacity(group.jobs.len());
            let mut served = 0;
            for job in group.jobs {
                match job {
                    Job::Append(queued) => {
                        served = queued.ticket;
                        answers.push(self.append(*queued, &mut doomed));
                    }
                    Job::Work(work) => answers.extend(self.work(work, &mut mail).map(Answer::Work)),
                }
            }
            self.commits.fetch_add(1, Ordering::Relaxed);
            self.committed();
            for answer in answers {
                match answer {
                    Answer::Append(root, done, result) => {
                        doomed.tell(root, done, result, &self.queue);
                    }
                    Answer::Work(reply) => reply(),
                }
            }
            doomed.end_group(served);
            self.queue.finished(bytes);
        }
    }

    fn work(&self, work: Work, mail: &mut Mail) -> Option<Reply> {
        match work {
            Work::Change(change) => Some(change(&mut self.content())),
            Work::Deliver(root, message, answer) => Some(reply(answer, self.deliver(root, message, mail))),
            Work::Watch(messages) => {
                // What was left for a tree went with it.
                mail.waiting.retain(|(root, _)| self.content().tree(*root).is_some());
                mail.watch(messages);
                None
            }
            Work::Close(answer) => Some(reply(answer, ())),
        }
    }

    fn deliver(&self, root: RootId, message: Vec<u8>, mail: &mut Mail) -> Result<(), Error> {
        if self.content().tree(root).is_none() {
            return Err(Error::NoSuchTree { tree: root });
        }
        mail.deliver(root, message);
        Ok(())
    }

    fn append(&self, mut queued: Queued, doomed: &mut Doomed) -> Answer {
        let (root, events) = (queued.append.root, queued.append.events.len() as u64);
        let appended = doomed.check(&queued);
        let appended = appended.and_then(|()| queued.refused.map_or(Ok(()), Err));
        let appended = appended.and_then(|()| queued.append.check());
        let result = appended.and_then(|()| self.content().append(&mut queued.append));
        match &result {
            Ok(()) => {
                self.events.fetch_add(events, Ordering::Relaxed);
            }
            Err(error) => doomed.failed(root, error, &self.queue),
        }
        Answer::Append(root, queued.done, result)
    }
}

/// Messages, and who takes them.
#[derive(Default)]
struct Mail {
    messages: Option<Messages>,
    waiting: Vec<(RootId, Vec<u8>)>,
}

impl Mail {
    fn watch(&mut self, messages: Messages) {
        hand_over(&messages, std::mem::take(&mut self.waiting));
        self.messages = Some(messages);
    }

    fn deliver(&mut self, root: RootId, message: Vec<u8>) {
        match &self.messages {
            Some(messages) => hand_over(messages, vec![(root, message)]),
            None => self.waiting.push((root, message)),
        }
    }
}

//! Event streams: a tree's log from any place on, and on as it grows.
//!
//! What is in the log comes from the store; what has just become durable comes
//! from the tree's feed, so that somebody who watches does not go to disk for
//! each event. Nothing is shown before it is durable.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pleach_kernel::{RootId, Tenant};
use pleach_store::{Owner, Store};
use tokio::sync::watch;

use crate::error::Error;
use crate::record::EventRecord;

/// Events read from the store at once.
const PAGE: usize = 256;

/// What the feed remembers, in bytes.
const FEED_BYTES: usize = 1 << 20;

/// How far a tree's log is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    pub seq: u64,
    /// Nothing more will come.
    pub ended: bool,
}

/// Between two looks whether another process that owns a tree still lives.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Waits for a commit, or until the owner of a tree is gone: a process that is
/// killed commits nothing.
pub(crate) async fn changed_or_orphaned(
    store: &dyn Store,
    root: RootId,
    changed: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut changed = std::pin::pin!(changed);
    while tokio::time::timeout(BETWEEN_LOOKS, changed.as_mut()).await.is_err() {
        if store.owner(root).await? == Owner::Dead {
            break;
        }
    }
    Ok(())
}

/// What a driver tells those who watch its tree.
pub(crate) struct Feed {
    reached: watch::Sender<Reached>,
    watchers: AtomicUsize,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    events: VecDeque<(u64, Arc<[u8]>)>,
    bytes: usize,
}

impl Default for Feed {
    fn default() -> Self {
        let recent = Mutex::new(Recent::default());
        Self { reached: watch::Sender::new(Reached::default()), watchers: AtomicUsize::new(0), recent }
    }
}

impl Feed {
    /// Whether anybody watches, so that events are worth remembering.
    pub(crate) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Remembers events that are about to become durable.
    pub(crate) fn remember(&self, first_seq: u64, bodies: &[Arc<[u8]>]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for (seq, body) in (first_seq..).zip(bodies) {
            recent.bytes += body.len();
            recent.events.push_back((seq, body.clone()));
        }
        while recent.bytes > FEED_BYTES {
            let Some((_, body)) = recent.events.pop_front() else { break };
            recent.bytes -= body.len();
        }
    }

    /// Up to here the log is on disk. Whoever watches is told by the store's callback,
    /// without a turn of the driver in between.
    pub(crate) fn reach(&self, seq: u64) {
        self.reached.send_if_modified(|reached| {
            let is_news = seq > reached.seq;
            reached.seq = reached.seq.max(seq);
            is_news
        });
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        self.reached.send_modify(|reached| reached.ended = true);
    }

    /// Remembered events from `seq` to `last`, if all from `seq` on are there.
    fn recall(&self, seq: u64, last: u64) -> Vec<Arc<[u8]>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        // Events are remembered in order, though not without a gap: nobody may
        // have watched for a while.
        let from = recent.events.partition_point(|(at, _)| *at < seq);
        let run = recent.events.range(from..).zip(seq..=last).take_while(|((at, _), wanted)| at == wanted);
        run.take(PAGE).map(|((_, body), _)| body.clone()).collect()
    }
}

/// Where news of a tree come from.
enum Source {
    /// It runs in this process.
    Feed(Arc<Feed>, watch::Receiver<Reached>),
    /// It runs in another process, or ended.
    Store,
}

/// A tree's events, one after the other.
pub struct Events {
    store: Arc<dyn Store>,
    root: RootId,
    tenant: Tenant,
    next_seq: u64,
    page: VecDeque<EventRecord>,
    source: Source,
}

impl Events {
    pub(crate) fn live(store: Arc<dyn Store>, feed: Arc<Feed>, root: RootId, tenant: Tenant, from_seq: u64) -> Self {
        feed.watchers.fetch_add(1, Ordering::Relaxed);
        let reached = feed.reached.subscribe();
        let source = Source::Feed(feed, reached);
        Self { store, root, tenant, next_seq: from_seq.max(1), page: VecDeque::new(), source }
    }

    pub(crate) fn stored(store: Arc<dyn Store>, root: RootId, tenant: Tenant, from_seq: u64) -> Self {
        Self { store, root, tenant, next_seq: from_seq.max(1), page: VecDeque::new(), source: Source::Store }
    }

    /// The next event; none after the last of a tree that has ended, or whose
    /// host has.
    ///
    /// Can be dropped while it waits without losing an event.
    pub async fn next(&mut self) -> Option<Result<EventRecord, Error>> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.next_seq = event.seq + 1;
                return Some(Ok(event));
            }
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Gets more events, waiting where there are none yet. False at the end.
    async fn fill(&mut self) -> Result<bool, Error> {
        match &mut self.source {
            Source::Feed(feed, reached) => {
                let now = *reached.borrow_and_update();
                if now.seq < self.next_seq {
                    if now.ended {
                        return Ok(false);
                    }
                    return Ok(reached.changed().await.is_ok());
                }
                let recent = feed.recall(self.next_seq, now.seq);
                if recent.is_empty() {
                    self.read_page().await?;
                    if self.page.is_empty() {
                        return Err(self.is_missing().into());
                    }
                } else {
                    for body in recent {
                        self.page.push_back(EventRecord::read(&self.tenant, &body)?);
                    }
                }
                Ok(true)
            }
            Source::Store => {
                let changed = self.store.changed();
                // In this order: what is committed between the two looks is in
                // the second.
                let ended = self.has_ended().await?;
                self.read_page().await?;
                if !self.page.is_empty() {
                    return Ok(true);
                }
                if ended {
                    return Ok(false);
                }
                changed_or_orphaned(self.store.as_ref(), self.root, changed).await?;
                Ok(true)
            }
        }
    }

    /// Whether nothing more will be written: the last run has ended, which is
    /// when its owner writes the time of the end, or the owner is gone. So is
    /// this host as an owner, since the tree did not run here when this began.
    async fn has_ended(&self) -> Result<bool, Error> {
        match self.store.owner(self.root).await? {
            Owner::Dead | Owner::Mine => return Ok(true),
            Owner::Live | Owner::Unknown => {}
        }
        let summary = self.store.tree(self.root).await?;
        Ok(summary.is_none_or(|summary| summary.finished_at.is_some()))
    }

    /// The store has confirmed an event and does not have it.
    fn is_missing(&self) -> pleach_store::Error {
        pleach_store::Error::Corrupt {
            what: format!("the log of tree {} at seq {}", self.root, self.next_seq),
            detail: "the event was confirmed and is not there".into(),
        }
    }

    async fn read_page(&mut self) -> Result<(), Error> {
        for event in self.store.events(self.root, self.next_seq, PAGE).await? {
            self.page.push_back(EventRecord::read(&self.tenant, &event.body)?);
        }
        Ok(())
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Source::Feed(feed, _) = &self.source {
            feed.watchers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

//! The log: queue what was decided, and let out what waited for the disk.

use std::sync::{Arc, Mutex, PoisonError};

use pleach_kernel::{Event, Fact, Tree};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Driver;
use super::waiting::Answer;
use crate::append::append;
use crate::ended::Ended;
use crate::error::Error;
use crate::mailbox::Input;
use crate::stage;

/// What a store has said to an append. One without a disk says it before the append
/// returns: to write that to the driver's own mailbox would wake it once more, and a
/// second thread to help it.
enum StoreAnswer {
    Awaited,
    Given(Result<(), pleach_store::Error>),
    NotAwaited,
}

/// What one run adds to a snapshot takes about as long to read as so many events
/// take to fold.
const EVENTS_A_RUN: u64 = 4;

/// A tree as a snapshot has it; none where the host is shutting down.
async fn encoded(tree: Tree) -> Option<Vec<u8>> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Some(tree.snapshot());
    }
    // Copying the tree is cheap beside this, which would hold up others here.
    tokio::task::spawn_blocking(move || tree.snapshot()).await.ok()
}

impl Driver {
    /// Queues in the store what was decided since the last time. Guests were told of it in
    /// this turn; what they do of that comes after it.
    pub(super) fn commit(&mut self) {
        let events = self.tree.take_events();
        if (events.is_empty() && self.journals.is_empty()) || self.broken.is_some() {
            return;
        }
        let journals = std::mem::take(&mut self.journals);
        let append = stage::serialise().in_scope(|| append(&self.tree, self.queued_seq, &events, journals));
        self.queued_seq = self.tree.seq();
        self.appends_queued += 1;
        if self.mailbox.feed.is_watched() {
            self.mailbox.feed.remember(append.expected_seq + 1, &append.events);
        }
        let (mailbox, number, seq) = (self.mailbox.clone(), self.appends_queued, self.queued_seq);
        let answer = Arc::new(Mutex::new(StoreAnswer::Awaited));
        let told = answer.clone();
        let done = move |result: Result<(), pleach_store::Error>| {
            if result.is_ok() {
                mailbox.feed.reach(seq);
            }
            let mut answer = told.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *answer {
                StoreAnswer::Awaited => *answer = StoreAnswer::Given(result),
                // The driver may be gone: then nobody waits for this.
                _ => drop(mailbox.send(Input::Durable { append: number, seq, result })),
            }
        };
        stage::append().in_scope(|| self.shared.store.append(append, Box::new(done)));
        self.take_snapshot();
        let answer =
            std::mem::replace(&mut *answer.lock().unwrap_or_else(PoisonError::into_inner), StoreAnswer::NotAwaited);
        match answer {
            // What it has said to the append before is known: answers are taken in order.
            StoreAnswer::Given(result) if self.appends_durable + 1 == number => {
                self.has_news |= self.durable(number, seq, result);
            }
            StoreAnswer::Given(result) => drop(self.mailbox.send(Input::Durable { append: number, seq, result })),
            StoreAnswer::Awaited | StoreAnswer::NotAwaited => {}
        }
    }

    /// Has the state written down beside the log, now and then, so that a host
    /// that starts over need not fold all of it. What is folded after it is in
    /// proportion to what is read with it.
    fn take_snapshot(&mut self) {
        let growth = self.shared.habits.snapshot_every.max(EVENTS_A_RUN * self.tree.runs().len() as u64);
        if self.snapshotting || self.tree.seq() - self.snapshot_seq < growth || self.tree.is_ended() {
            return;
        }
        self.snapshotting = true;
        self.snapshot = Some((self.appends_queued, self.tree.clone()));
    }

    /// Puts a snapshot beside the log that leads to it, once that is on disk: what
    /// the disk refuses was never so.
    fn put_snapshot(&mut self) {
        let Some((_, tree)) = self.snapshot.take_if(|(append, _)| *append <= self.appends_durable) else { return };
        let (seq, root) = (tree.seq(), tree.id());
        let (store, mailbox) = (self.shared.store.clone(), self.mailbox.clone());
        self.shared.runtime.spawn(async move {
            let body = encoded(tree).await;
            if let Some(body) = body
                && let Err(error) = store.put_snapshot(root, seq, body).await
            {
                // The log is whole without it.
                tracing::warn!(run_id = %root, seq, %error, "no snapshot was made");
            }
            mailbox.send(Input::Snapshot { seq });
        });
    }

    pub(super) fn snapshot_made(&mut self, seq: u64) {
        self.snapshotting = false;
        self.snapshot_seq = seq;
    }

    /// What decisions mean for the meters of running guests: before these are told, or one
    /// could use what it has just given to a child.
    pub(super) fn note_decisions(&mut self) {
        let moved = |event: &Event| matches!(event.fact, Fact::Budget(_) | Fact::SpawnDecision(_));
        if !self.pools.is_empty() && self.tree.decided().iter().any(moved) {
            self.pools.refresh(&self.tree);
        }
    }

    /// The store has answered. Whoever has waited for that is told here, so that almost
    /// always nothing more follows: whether it may.
    pub(super) fn durable(&mut self, append: u64, seq: u64, result: Result<(), pleach_store::Error>) -> bool {
        match result {
            Ok(()) => {
                self.appends_durable = append;
                self.durable_seq = seq;
                while self.held.front().is_some_and(|(wanted, _)| *wanted <= seq) {
                    if let Some((_, answer)) = self.held.pop_front() {
                        answer.send();
                    }
                }
                self.answer_ends();
                while let Some(intent) = self.intents.pop_front_if(|intent| intent.append <= append) {
                    let _ = intent.reply.send(Ok(()));
                }
                self.wake_written();
                self.put_snapshot();
                self.parking.woken().next().is_some()
            }
            Err(cause) => {
                self.break_off(cause);
                true
            }
        }
    }

    /// The log cannot be written, so nothing that was decided since can be true; or
    /// a journal cannot be read. Guests are stopped, and nothing more is decided
    /// here.
    pub(super) fn break_off(&mut self, cause: pleach_store::Error) {
        if self.broken.is_some() {
            return;
        }
        let error = self.stopped_by(&cause);
        // Whoever waits for it is told, and so is whoever asks for `unrecovered`.
        tracing::info!(run_id = %self.tree.id(), %cause, "the store failed the tree; it is stopped");
        self.broken = Some(cause);
        for (_, answer) in std::mem::take(&mut self.held) {
            answer.fail(error.clone());
        }
        // Killed before their replies are dropped: then they take no notice.
        for guest in self.guests.values() {
            guest.stop.kill();
        }
        self.starting.clear();
        self.granted.clear();
        self.waiting.clear();
        self.parking.clear();
        self.intents.clear();
    }

    /// Tells whoever waits for runs whose end is on disk.
    pub(super) fn answer_ends(&mut self) {
        let (tree, on_disk) = (&self.tree, self.durable_seq);
        self.ends.retain(|id, waiting| {
            let ended = tree.run(*id).filter(|run| run.ended_seq().is_some_and(|seq| seq <= on_disk));
            let Some(ended) = ended else { return true };
            for reply in waiting.drain(..) {
                let _ = reply.send(Ok(Ended::of(ended)));
            }
            false
        });
    }

    /// Lets out what had to wait for its events to be on disk, where they are.
    pub(super) fn let_out(&mut self) {
        let on_disk = self.durable_seq;
        while self.held.front().is_some_and(|(wanted, _)| *wanted <= on_disk) {
            if let Some((_, answer)) = self.held.pop_front() {
                answer.send();
            }
        }
    }
}

impl Answer {
    /// Sends an error in its place, where it was for an operator.
    fn fail(self, error: Error) {
        match self {
            Self::Cancelled(reply, _) => drop(reply.send(Err(error))),
            Self::Viewed(reply, _) => drop(reply.send(Err(error))),
            Self::Opened(reply) => drop(reply.send(Err(error))),
            other => drop(other),
        }
    }
}

//! The log: queue what was decided, and let out what waited for the disk.

use pleach_kernel::{Event, Fact};

use super::Driver;
use super::waiting::Answer;
use crate::append::append;
use crate::events::Reached;
use crate::mailbox::Input;
use crate::run::Ended;

impl Driver {
    /// Queues in the store what was decided since the last time. From here on
    /// the decision stands in order, and guests may be told.
    pub(super) fn commit(&mut self) {
        let events = self.tree.take_events();
        if events.is_empty() || self.broken.is_some() {
            return;
        }
        self.note_decisions(&events);
        let append = append(&self.tree, self.queued_seq, &events);
        self.queued_seq = self.tree.seq();
        if self.mailbox.feed.is_watched() {
            self.mailbox.feed.remember(append.expected_seq + 1, &append.events);
        }
        let (mailbox, seq) = (self.mailbox.clone(), self.queued_seq);
        let done = move |result| {
            // The driver may be gone: then nobody waits for this.
            let _ = mailbox.send(Input::Durable { seq, result });
        };
        self.shared.store.append(append, Box::new(done));
    }

    /// What decisions mean for the meters of running guests.
    fn note_decisions(&mut self, events: &[Event]) {
        let moved = |event: &Event| matches!(event.fact, Fact::Budget(_) | Fact::SpawnDecision(_));
        if events.iter().any(moved) {
            self.pools.refresh(&self.tree);
        }
    }

    /// The store has answered.
    pub(super) fn durable(&mut self, seq: u64, result: Result<(), pleach_store::Error>) {
        match result {
            Ok(()) => {
                self.durable_seq = seq;
                self.mailbox.feed.advance(Reached { seq, ended: false });
                while self.held.front().is_some_and(|(wanted, _)| *wanted <= seq) {
                    if let Some((_, answer)) = self.held.pop_front() {
                        answer.send();
                    }
                }
                self.answer_ends();
            }
            Err(cause) => self.break_off(cause),
        }
    }

    /// The log cannot be written, so nothing that was decided since can be true.
    /// Guests are stopped, and nothing more is decided here.
    fn break_off(&mut self, cause: pleach_store::Error) {
        if self.broken.is_some() {
            return;
        }
        tracing::error!(run_id = %self.tree.id(), %cause, "the log cannot be written; the tree is stopped");
        let error = self.stopped_by(&cause);
        self.broken = Some(cause);
        for (_, answer) in std::mem::take(&mut self.held) {
            answer.fail(error.clone());
        }
        self.waiting.clear();
        for guest in self.guests.values() {
            guest.stop.kill();
        }
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

    /// Lets out the answers that only had to wait for their events to be queued,
    /// and those that need not wait at all.
    pub(super) fn let_out(&mut self) {
        for answer in std::mem::take(&mut self.answers) {
            answer.send();
        }
        let on_disk = self.durable_seq;
        while self.held.front().is_some_and(|(wanted, _)| *wanted <= on_disk) {
            if let Some((_, answer)) = self.held.pop_front() {
                answer.send();
            }
        }
        if self.broken.is_none() {
            self.start_guests();
        }
    }
}

impl Answer {
    /// Sends an error in its place, where it was for an operator.
    fn fail(self, error: crate::error::Error) {
        match self {
            Self::Cancelled(reply, _) => drop(reply.send(Err(error))),
            Self::Viewed(reply, _) => drop(reply.send(Err(error))),
            Self::Opened(reply) => drop(reply.send(Err(error))),
            other => drop(other),
        }
    }
}

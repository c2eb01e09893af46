//! The journal: what guests were answered that a replay could not work out.
//!
//! An entry is written with the events of its turn, or by itself. It goes when
//! the try that it belongs to has ended.

use pleach_kernel::RunId;
use pleach_sandbox::{Asked, CallError, Encoded, FailureCode, Replay, Reply, journal};
use pleach_store::{Blob, JournalEntry};
use serde::Serialize;

use super::Driver;
use crate::mailbox::Input;

/// An effect that is not begun before what leads to it is on disk.
pub(super) struct Intent {
    /// The append that has its entry.
    pub append: u64,
    pub reply: Reply<()>,
}

impl Driver {
    /// Adds to a run's journal.
    pub(super) fn record(&mut self, run: RunId, Encoded { body, blob }: Encoded) {
        let Some(guest) = self.guests.get_mut(&run) else { return };
        let blob = blob.map(|(digest, body)| Blob { digest, body });
        self.journals.entries.push(JournalEntry { run: run.index, position: guest.journal_len, body, blob });
        guest.journal_len += 1;
        guest.journal_in = self.appends_queued + 1;
    }

    /// Records an answer that the engine gives.
    pub(super) fn record_answer<T: Serialize>(&mut self, run: RunId, asked: Asked, answer: &Result<T, CallError>) {
        self.record(run, asked.entry(answer));
    }

    /// Records an answer only where it is a refusal: the rest is in the log.
    pub(super) fn record_refusal<T>(
        &mut self,
        run: RunId,
        asked: impl FnOnce() -> Asked,
        answer: &Result<T, CallError>,
    ) {
        if let Err(error) = answer {
            self.record_answer(run, asked(), &Err::<(), _>(error.clone()));
        }
    }

    pub(super) fn intend(&mut self, run: RunId, entry: Encoded, reply: Reply<()>) {
        self.record(run, entry);
        self.intents.push_back(Intent { append: self.appends_queued + 1, reply });
    }

    /// A large answer of before, from the store.
    pub(super) fn fetch(&self, digest: String, reply: Reply<Vec<u8>>) {
        let store = self.shared.store.clone();
        self.shared.runtime.spawn(async move {
            let why = match store.blob(&digest).await {
                Ok(Some(bytes)) => return drop(reply.send(Ok(bytes))),
                Ok(None) => "the store does not have it".to_owned(),
                Err(error) => error.to_string(),
            };
            let message = format!("what the journal keeps as {digest} cannot be read: {why}");
            let _ = reply.send(Err(CallError::failed(FailureCode::HostFailure, message)));
        });
    }

    /// A try has ended, and its journal with it.
    pub(super) fn forget_journal(&mut self, run: RunId, length: u32, last_in: u64) {
        if length == 0 {
            return;
        }
        let mut here = 0;
        if last_in == self.appends_queued + 1 {
            let before = self.journals.entries.len();
            self.journals.entries.retain(|entry| entry.run != run.index);
            here = before - self.journals.entries.len();
        }
        // What was to be written in this turn need not be written at all.
        if (here as u64) < u64::from(length) {
            self.journals.forget.push(run.index);
        }
    }

    /// Reads what a guest was answered, once all of it is on disk.
    pub(super) fn load_journal(&self, run: RunId) {
        let (store, mailbox, root) = (self.shared.store.clone(), self.mailbox.clone(), self.tree.id());
        self.shared.runtime.spawn(async move {
            let result = store.journal(root, run.index).await;
            mailbox.send(Input::Journal { run, result });
        });
    }

    /// What a guest that is run again has to be answered.
    pub(super) fn replay(&self, run: RunId, bodies: &[Vec<u8>]) -> Result<Replay, pleach_store::Error> {
        let entries = bodies.iter().enumerate().map(|(position, body)| {
            journal::decode(body).map_err(|error| pleach_store::Error::Corrupt {
                what: format!("the journal of run {run} at position {position}"),
                detail: error.to_string(),
            })
        });
        let made = self.tree.calls_made(run).collect();
        Ok(Replay {
            entries: entries.collect::<Result<_, _>>()?,
            made,
            reached: self.tree.calls_reached(run),
            cpu_us: None,
        })
    }
}

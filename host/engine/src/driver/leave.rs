//! Leave: a driver stops, because its tree has ended, is left to another host, or cannot
//! go on.

use super::Driver;
use super::nodes::Listeners;
use crate::error::Error;

impl Driver {
    /// Stops here: what was decided stands, and guests are run again by whoever
    /// recovers the tree.
    pub(super) fn detach(&mut self) {
        self.detached = true;
        // In this order: a guest that was killed takes no notice of a reply that
        // was dropped.
        for guest in self.guests.values() {
            guest.stop.kill();
        }
        self.starting.clear();
        self.granted.clear();
        self.waiting.clear();
        self.listeners = Listeners::default();
        self.parking.clear();
    }

    /// The last thing a driver does: whoever still waits hears how it ended.
    pub(super) fn leave(&mut self) {
        self.line.queued(self.queued_runs, 0);
        self.granted.clear();
        self.shared.dispatcher.leave(&self.line, self.mailbox.root);
        self.codes.forget(&self.shared.missing);
        // It may have been sent a place after its last turn, which is the next one's.
        self.inbox.close();
        while let Ok(input) = self.inbox.try_recv() {
            drop(input);
        }
        for (run_id, waiting) in std::mem::take(&mut self.ends) {
            let why = self.undecided().unwrap_or(Error::Detached { run_id });
            for reply in waiting {
                let _ = reply.send(Err(why.clone()));
            }
        }
        self.mailbox.feed.end();
    }

    /// Why nothing more is decided here, if so.
    pub(super) fn undecided(&self) -> Option<Error> {
        match &self.broken {
            Some(cause) => Some(self.stopped_by(cause)),
            None if self.detached => Some(Error::Detached { run_id: self.tree.id().run() }),
            None => None,
        }
    }

    /// What the store's failure means for the tree: what cannot be read stays so,
    /// what could not be written may be able to go on later.
    pub(super) fn stopped_by(&self, cause: &pleach_store::Error) -> Error {
        let run_id = self.tree.id().run();
        match cause {
            pleach_store::Error::Corrupt { .. } => {
                // A journal: the log has been read.
                Error::Unrecovered { run_id, cause: Box::new(Error::Store(cause.clone())), is_readable: true }
            }
            cause => Error::TreeStopped { run_id, cause: Box::new(cause.clone()) },
        }
    }
}

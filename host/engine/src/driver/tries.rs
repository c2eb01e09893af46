//! Tries: whether one may start, and what its end shows about its plugin.

use pleach_kernel::{Outcome, RunError, RunId, Timestamp, Tried};
use pleach_sandbox::Plugin;

use super::Driver;
use crate::breakers::{Trial, tried};

impl Driver {
    /// Whether a try of this run may start, or why not. A graph has no circuit: it
    /// fails because of what it runs.
    pub(super) fn ask_circuit(&self, run: RunId, plugin: &Plugin, now: Timestamp) -> Result<Option<Trial>, RunError> {
        match self.tree.run(run).filter(|_| !plugin.is_graph()) {
            Some(run) => self.circuits.ask(&run.plugin().name, now),
            None => Ok(None),
        }
    }

    /// The guest of a try has stopped; to be told before the kernel is, which may turn
    /// to the next try at once.
    pub(super) fn try_ended(&self, run: RunId, outcome: &Outcome, trial: Option<Trial>) {
        let Some(run) = self.tree.run(run) else { return };
        let (plugin, now, started_at) = (&run.plugin().name, self.shared.clock.now(), run.attempt_started_at());
        let tried = tried(run.settled(), outcome);
        if tried == Tried::Succeeded {
            self.line.durations.record(plugin, now.since_ms(started_at));
        }
        self.circuits.ended(plugin, now, started_at, tried, trial);
    }
}

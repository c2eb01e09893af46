//! Start: let a ready run's guest begin.

use crate::fact::Step;
use crate::id::{RunId, Timestamp};
use crate::tree::{RunIx, Tree};

impl Tree {
    /// How many more guests of this tree may run, where `waiting` of those that
    /// do are waiting in a join and so take no place.
    pub fn room(&self, waiting: u32) -> u32 {
        let limit = self.runs.first().map_or(0, |root| root.spec.limits.max_concurrency);
        limit.saturating_sub(self.active.saturating_sub(waiting))
    }

    /// Decides to start a run. False where it is no longer ready: it was
    /// cancelled, or has started already.
    pub fn start(&mut self, now: Timestamp, run: RunId) -> bool {
        let ix = run.index as RunIx;
        if self.run(run).is_none_or(|run| run.spot.is_none()) {
            return false;
        }
        let life = self.lifecycle(ix, Step::Started);
        self.emit_life(now, ix, life);
        true
    }
}

//! Timers: what happens because time has passed.

use crate::fact::{RunStatus, Step};
use crate::id::Timestamp;
use crate::tree::{RunIx, Timer, Tree};

impl Tree {
    /// Decides everything that is due, earliest first.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((_, timer)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            // What each decision writes takes its own timer away.
            match timer {
                Timer::RunDeadline(ix) => self.run_timed_out(now, ix),
                Timer::JoinTimeout(group) => self.join_timed_out(now, group),
                Timer::RetryDue(ix) => self.retry_due(now, ix),
                Timer::WallSpent(account) => self.exhaust(now, account),
            }
            self.settle(now);
        }
    }

    fn run_timed_out(&mut self, now: Timestamp, ix: RunIx) {
        let mut life = self.lifecycle(ix, Step::Closing);
        life.fate = Some(RunStatus::TimedOut);
        self.close(now, ix, life);
    }
}

//! Time: looking at the run's clock, and waiting.

use pleach_kernel::{RunError, Timestamp};

use super::{Begun, HostCalls};
use crate::call::{Call, CallError};
use crate::journal::{self, Answer, Asked, NO_ARGUMENTS, bytes_of, what};

impl HostCalls {
    /// Milliseconds since 1970 by the run's logical clock.
    pub fn now_ms(&mut self) -> u64 {
        self.look_at_clock() / 1_000_000
    }

    /// Nanoseconds since 1970 by the run's logical clock, which each look moves
    /// on by a microsecond.
    pub fn look_at_clock(&mut self) -> u64 {
        // What a run that is being cancelled sees is not seen again.
        if self.clock.is_stale() && !self.is_gone() {
            let now = self.host_time();
            self.clock.advance_to(now);
        }
        self.clock.look()
    }

    /// The clock since the run's start, for guests that measure durations.
    pub(crate) fn look_at_elapsed(&mut self) -> u64 {
        let now = self.look_at_clock();
        self.clock.elapsed(now)
    }

    /// What an instant that a guest counts from its start is for the clock.
    pub(crate) fn instant(&self, elapsed: u64) -> u64 {
        self.clock.instant(elapsed)
    }

    /// Waits. The clock then shows the time to wake at.
    pub async fn sleep_ms(&mut self, duration_ms: u64) -> Result<(), CallError> {
        let begun = self.begin(what::SLEEP, || journal::hash(&duration_ms)).await?;
        self.sleep(begun, duration_ms).await
    }

    /// Waits until the clock shows `instant`. It is never refused, and a run that
    /// is being cancelled does not wait: to it the wait was as long as it asked.
    pub(crate) async fn sleep_until(&mut self, instant: u64) {
        if !self.is_gone() {
            self.charged();
            let duration_ms = instant.saturating_sub(self.clock.now()).div_ceil(1_000_000);
            let begun = self.begin_unrefused(what::SLEEP, || journal::hash(&duration_ms)).await;
            // A cancel is all that can keep it from waiting.
            let _ = self.sleep(begun, duration_ms).await;
        }
        self.clock.advance_to(instant);
    }

    async fn sleep(&mut self, begun: Begun, duration_ms: u64) -> Result<(), CallError> {
        let earliest = self.clock.now().saturating_add(duration_ms.saturating_mul(1_000_000));
        let Begun { call, answer, is_past } = begun;
        let until = match answer {
            // Apart: a replay is seldom, and many sleep.
            Some(answer) => Some(Box::pin(self.recall::<Timestamp>(answer)).await?),
            None => None,
        };
        let woken_at = match until {
            Some(woken_at) if is_past => woken_at,
            until => {
                let asked = Asked { call, what: what::SLEEP, hash: journal::hash(&duration_ms) };
                if until.is_none() {
                    self.count(bytes_of(what::SLEEP, &Ok(Timestamp(u64::MAX))));
                }
                self.ask(false, |reply| Call::Sleep { duration_ms, until, asked, reply }).await?
            }
        };
        self.clock.advance_to(earliest.max(woken_at.0.saturating_mul(1_000_000)));
        Ok(())
    }

    /// The host's time: recorded before, or now.
    fn host_time(&mut self) -> u64 {
        let begun = match self.number(what::NOW, || NO_ARGUMENTS) {
            Ok(begun) => begun,
            Err(error) => return self.fail_at_once(error),
        };
        match begun.answer {
            Some(Answer::Given(json)) => match serde_json::from_slice(&json) {
                Ok(nanos) => nanos,
                Err(error) => self.fail_at_once(self.unreadable_error(error.to_string())),
            },
            Some(_) => self.fail_at_once(self.unreadable_error("it is not the time")),
            None => {
                let nanos = self.kernel.now_nanos();
                let asked = Asked { call: begun.call, what: what::NOW, hash: NO_ARGUMENTS };
                self.record(asked.entry(&Ok(nanos)));
                nanos
            }
        }
    }

    /// Fails a run that cannot be kept waiting here; what it sees does not matter
    /// any more.
    fn fail_at_once(&self, error: RunError) -> u64 {
        self.vitals.fail(error);
        0
    }
}

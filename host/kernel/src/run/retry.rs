//! Retry: another try after a failure that is marked as retryable.

use super::cancel::Reach;
use crate::command::{Backoff, Retry};
use crate::fact::{ChildLifecycle, RunError, Step};
use crate::id::{Timestamp, seed};
use crate::tree::{Run, RunIx, Tree};

impl Tree {
    pub(crate) fn may_retry(&self, ix: RunIx, error: &RunError) -> bool {
        let run = &self.runs[ix];
        error.retryable && run.spec.request.retry.is_some_and(|retry| tries(run) < retry.max_attempts)
    }

    /// Writes that this try is over and when the next may start. Children that
    /// this try spawned without a key cannot be found again and are cancelled;
    /// those with a key are the next try's too.
    pub(crate) fn retry(&mut self, now: Timestamp, ix: RunIx, life: ChildLifecycle) {
        let not_before = now.plus_ms(wait_ms(&self.runs[ix]));
        self.try_again(now, ix, life, not_before);
    }

    /// As [`Tree::retry`], at that time.
    pub(super) fn try_again(&mut self, now: Timestamp, ix: RunIx, mut life: ChildLifecycle, not_before: Timestamp) {
        life.status = Step::Retrying;
        life.guest_stopped = false;
        life.not_before = Some(not_before);
        self.emit_life(now, ix, life);
        let orphans: Vec<RunIx> = self.runs[ix]
            .children
            .iter()
            .copied()
            .filter(|child| self.runs[*child].spec.key_derived && !self.runs[*child].status.is_terminal())
            .filter(|child| !self.runs[*child].is_abandoned())
            .collect();
        if !orphans.is_empty() {
            let surface = self.runs[ix].surface;
            self.mark_cancelled(now, surface, ix, &orphans, Reach::NotAbandoned, "attempt_ended");
        }
    }

    /// The wait before a next try is over.
    pub(crate) fn retry_due(&mut self, now: Timestamp, ix: RunIx) {
        let life = self.lifecycle(ix, Step::Queued);
        self.emit_life(now, ix, life);
    }
}

/// How many tries its plugin has had.
fn tries(run: &Run) -> u32 {
    run.attempt + 1 - run.first_attempt
}

/// The wait after the try that just failed.
fn wait_ms(run: &Run) -> u64 {
    let Some(retry) = run.spec.request.retry else { return 0 };
    let salt = u64::from(run.id.index) << 32 | u64::from(run.attempt);
    backoff_ms(&retry, tries(run), seed(run.id.root, salt))
}

fn backoff_ms(retry: &Retry, attempt: u32, chance: u64) -> u64 {
    let grown = match retry.backoff {
        Backoff::Fixed => retry.initial_ms,
        Backoff::Exponential => {
            let doublings = attempt.saturating_sub(1).min(63);
            retry.initial_ms.saturating_mul(1 << doublings)
        }
    };
    let wait = grown.min(retry.max_ms.unwrap_or(u64::MAX));
    // 53 bits of chance, so that the quotient is exact and below 1.
    let part = (chance >> 11) as f64 / (1u64 << 53) as f64;
    wait.saturating_sub((wait as f64 * retry.jitter * part) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(backoff: Backoff, jitter: f64) -> Retry {
        Retry { max_attempts: 9, backoff, initial_ms: 100, max_ms: Some(1000), jitter }
    }

    #[test]
    fn a_wait_grows_to_its_bound() {
        let waits = |backoff| (1..7).map(|n| backoff_ms(&retry(backoff, 0.0), n, 0)).collect::<Vec<_>>();
        assert_eq!(waits(Backoff::Fixed), [100; 6]);
        assert_eq!(waits(Backoff::Exponential), [100, 200, 400, 800, 1000, 1000]);
        let unbounded = Retry { max_ms: None, ..retry(Backoff::Exponential, 0.0) };
        assert_eq!(backoff_ms(&unbounded, 500, 0), u64::MAX);
    }

    #[test]
    fn jitter_takes_away_at_most_its_part() {
        for chance in [0, 1, u64::MAX / 2, u64::MAX] {
            let wait = backoff_ms(&retry(Backoff::Fixed, 0.5), 1, chance);
            assert!((50..=100).contains(&wait), "{wait}");
        }
        assert_ne!(backoff_ms(&retry(Backoff::Fixed, 1.0), 1, u64::MAX), backoff_ms(&retry(Backoff::Fixed, 1.0), 1, 0));
    }
}

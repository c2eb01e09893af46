//! What a running guest shares with whoever watches it: the signals to stop,
//! the logical clock, and the count of its calls.
//!
//! It outlives the guest's store, so that a guest that was interrupted in the
//! middle of anything still leaves its usage behind.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use pleach_kernel::Timestamp;
use tokio::sync::Notify;

/// By how much each look at the clock moves it on. A guest that spins until the
/// clock shows a later time has to come to an end, and the same one in a replay.
const NANOS_A_LOOK: u64 = 1_000;

pub(crate) struct Vitals {
    cancelled: AtomicBool,
    cancel: Notify,
    killed: AtomicBool,
    kill: Notify,
    host_calls: AtomicU64,
    /// The logical clock, in nanoseconds since 1970. Only ever grows.
    clock: AtomicU64,
    started: u64,
}

impl Vitals {
    pub(crate) fn new(started_at: Timestamp) -> Self {
        let started = started_at.0.saturating_mul(1_000_000).min(u64::MAX / 2);
        Self {
            cancelled: AtomicBool::new(false),
            cancel: Notify::new(),
            killed: AtomicBool::new(false),
            kill: Notify::new(),
            host_calls: AtomicU64::new(0),
            clock: AtomicU64::new(started),
            started,
        }
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.cancel.notify_waiters();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Waits until the run is being cancelled.
    pub(crate) async fn cancelled(&self) {
        wait_for(&self.cancelled, &self.cancel).await;
    }

    /// Not a cancel as well: a guest is not told that it is interrupted.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
        self.kill.notify_waiters();
    }

    /// Waits until the guest is to be interrupted.
    pub(crate) async fn killed(&self) {
        wait_for(&self.killed, &self.kill).await;
    }

    pub(crate) fn count_host_call(&self) {
        self.host_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn host_calls(&self) -> u64 {
        self.host_calls.load(Ordering::Relaxed)
    }

    /// The clock as a guest sees it, in nanoseconds since 1970.
    pub(crate) fn look_at_clock(&self) -> u64 {
        self.clock.fetch_add(NANOS_A_LOOK, Ordering::Relaxed)
    }

    /// The clock since the run's start, for guests that measure durations.
    pub(crate) fn look_at_elapsed(&self) -> u64 {
        self.look_at_clock() - self.started
    }

    /// Moves the clock on to the host's time; it never goes back.
    pub(crate) fn catch_up(&self) {
        self.advance_to(nanos_now());
    }

    /// Moves the clock on to `nanos` after the run's start.
    pub(crate) fn advance_to_elapsed(&self, nanos: u64) {
        self.advance_to(self.started.saturating_add(nanos));
    }

    /// Moves the clock on to an instant, in nanoseconds since 1970.
    pub(crate) fn advance_to(&self, nanos: u64) {
        // Looks add to the clock for ever; half of the range is theirs.
        self.clock.fetch_max(nanos.min(u64::MAX / 2), Ordering::Relaxed);
    }
}

async fn wait_for(flag: &AtomicBool, change: &Notify) {
    // Listening begins before the look at the flag, so that no change is missed.
    let changed = change.notified();
    if !flag.load(Ordering::SeqCst) {
        changed.await;
    }
}

fn nanos_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_still_but_for_looks_and_never_goes_back() {
        let vitals = Vitals::new(Timestamp(1_000));
        assert_eq!(vitals.look_at_clock(), 1_000_000_000);
        assert_eq!(vitals.look_at_clock(), 1_000_001_000);
        vitals.advance_to(5);
        assert_eq!(vitals.look_at_clock(), 1_000_002_000);
        vitals.advance_to(2_000_000_000);
        assert_eq!(vitals.look_at_elapsed(), 1_000_000_000);
        vitals.advance_to(u64::MAX);
        assert!(vitals.look_at_clock() < vitals.look_at_clock(), "it does not wrap");
    }

    #[tokio::test]
    async fn a_signal_given_before_anyone_waits_is_seen() {
        let vitals = Vitals::new(Timestamp(0));
        vitals.kill();
        vitals.killed().await;
        assert!(!vitals.is_cancelled());
        vitals.cancel();
        vitals.cancelled().await;
    }
}

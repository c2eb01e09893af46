//! What a running guest shares with whoever watches it: the signals to stop,
//! what it is known to have done before, and the count of its calls.
//!
//! It outlives the guest's store, so that a guest that was interrupted in the
//! middle of anything still leaves its usage behind.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use pleach_kernel::RunError;
use tokio::sync::Notify;

use crate::replay::{Known, Replaying};

pub(crate) struct Vitals {
    cancelled: AtomicBool,
    cancel: Notify,
    /// Killed, parked or failed: the guest is not polled again.
    interrupted: AtomicBool,
    interrupt: Notify,
    killed: AtomicBool,
    parked: AtomicBool,
    /// Boxed, for few fail so.
    failure: OnceLock<Box<RunError>>,
    host_calls: AtomicU64,
    /// The guest waits for an answer of the kernel's.
    waits: AtomicBool,
    /// Numbered calls that the guest has begun.
    begun: AtomicU32,
    /// When its turn on the processor began: microseconds since `made_at`.
    turn_us: AtomicU64,
    made_at: Instant,
    /// Whether calls are ahead that the guest made before.
    is_replaying: AtomicBool,
    /// None once there is nothing left to replay; boxed, for few begin with anything.
    replaying: Mutex<Option<Box<Replaying>>>,
}

/// Why a guest is not polled again.
pub(crate) enum Interruption {
    Failed(RunError),
    Killed,
    Parked,
}

impl Vitals {
    pub(crate) fn new(replaying: Option<Replaying>) -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            cancel: Notify::new(),
            interrupted: AtomicBool::new(false),
            interrupt: Notify::new(),
            killed: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            failure: OnceLock::new(),
            host_calls: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            begun: AtomicU32::new(0),
            turn_us: AtomicU64::new(0),
            made_at: Instant::now(),
            is_replaying: AtomicBool::new(replaying.is_some()),
            replaying: Mutex::new(replaying.map(Box::new)),
        }
    }

    pub(crate) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
    }

    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    pub(crate) fn begin_turn(&self, now: Instant) {
        self.turn_us.store(self.since_made(now), Ordering::Relaxed);
    }

    /// How long its turn has taken by now.
    pub(crate) fn turn(&self, now: Instant) -> Duration {
        Duration::from_micros(self.since_made(now).saturating_sub(self.turn_us.load(Ordering::Relaxed)))
    }

    fn since_made(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.made_at).as_micros() as u64
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
        self.interrupt();
    }

    pub(crate) fn park(&self) {
        self.parked.store(true, Ordering::SeqCst);
        self.interrupt();
    }

    /// Like a kill, but the run fails with `error`; the first one counts. A host
    /// function cannot trap the guest that called it.
    pub(crate) fn fail(&self, error: RunError) {
        let _ = self.failure.set(Box::new(error));
        self.interrupt();
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        self.interrupt.notify_waiters();
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    pub(crate) fn failure(&self) -> Option<RunError> {
        self.failure.get().map(|error| (**error).clone())
    }

    /// Waits until the guest is to be interrupted.
    pub(crate) async fn interrupted(&self) {
        wait_for(&self.interrupted, &self.interrupt).await;
    }

    /// Why the guest is interrupted. Being stopped for good goes before being
    /// parked.
    pub(crate) fn interruption(&self) -> Interruption {
        match self.failure() {
            Some(error) => Interruption::Failed(error),
            None if self.parked.load(Ordering::SeqCst) && !self.killed.load(Ordering::SeqCst) => Interruption::Parked,
            None => Interruption::Killed,
        }
    }

    /// The guest has begun so many numbered calls.
    pub(crate) fn begin_call(&self, begun: u32) {
        self.begun.store(begun, Ordering::Relaxed);
    }

    pub(crate) fn calls_begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn count_host_call(&self) {
        self.host_calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn host_calls(&self) -> u64 {
        self.host_calls.load(Ordering::Relaxed)
    }

    /// Whether the guest does again what it did before.
    pub(crate) fn is_replaying(&self) -> bool {
        self.is_replaying.load(Ordering::Relaxed)
    }

    /// What is known of a call that the guest makes now. None: there is nothing
    /// to replay.
    pub(crate) fn known(&self, call: u32, what: &str, hash: impl FnOnce() -> u64) -> Option<Result<Known, RunError>> {
        let mut replaying = self.replaying.lock().unwrap_or_else(PoisonError::into_inner);
        let known = replaying.as_mut()?.take(call, what, hash);
        if known.as_ref().is_ok_and(|known| known.last) {
            *replaying = None;
            self.is_replaying.store(false, Ordering::Relaxed);
        }
        Some(known)
    }

    /// Whether the guest is known to have made another call than this one.
    pub(crate) fn is_other(&self, call: u32, what: &str) -> bool {
        let replaying = self.replaying.lock().unwrap_or_else(PoisonError::into_inner);
        replaying.as_ref().is_some_and(|replaying| replaying.is_other(call, what))
    }

    /// What is wrong with a guest that ended now: none where it did all that it
    /// is known to have done.
    pub(crate) fn ended_early(&self, how: &str) -> Option<RunError> {
        let replaying = self.replaying.lock().unwrap_or_else(PoisonError::into_inner);
        replaying.as_ref().map(|replaying| replaying.ended_early(how))
    }
}

async fn wait_for(flag: &AtomicBool, change: &Notify) {
    // Listening begins before the look at the flag, so that no change is missed.
    let changed = change.notified();
    if !flag.load(Ordering::SeqCst) {
        changed.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_given_before_anyone_waits_is_seen() {
        let vitals = Vitals::new(None);
        vitals.kill();
        vitals.interrupted().await;
        assert!(!vitals.is_cancelled());
        vitals.cancel();
        vitals.cancelled().await;
    }

    #[test]
    fn a_failure_goes_before_a_kill_and_a_kill_before_parking() {
        let vitals = Vitals::new(None);
        vitals.park();
        assert!(matches!(vitals.interruption(), Interruption::Parked));
        vitals.kill();
        assert!(matches!(vitals.interruption(), Interruption::Killed));
        vitals.fail(RunError::new("a", "m"));
        vitals.fail(RunError::new("b", "m"));
        assert!(matches!(vitals.interruption(), Interruption::Failed(error) if &*error.code == "a"));
    }
}

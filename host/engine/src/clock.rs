//! The host's clock: UTC where it starts, and never backwards from there.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pleach_kernel::Timestamp;

/// Wall-clock time at the start of the host, and steady time since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Timestamp,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Timestamp(since.as_millis() as u64), started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.origin.plus_ms(self.started.elapsed().as_millis() as u64)
    }

    /// The first moment at which [`Clock::now`] is `at` or later.
    pub(crate) fn instant_of(&self, at: Timestamp) -> Instant {
        let ahead = std::time::Duration::from_millis(at.since_ms(self.origin));
        // A timer that lies beyond what the machine can count never fires.
        self.started.checked_add(ahead).unwrap_or_else(|| self.started + std::time::Duration::from_secs(1 << 31))
    }
}

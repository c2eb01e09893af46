//! The host's clock: UTC where it starts, and never backwards from there.
//!
//! Steady time is tokio's, so that a test which holds tokio's clock holds this
//! one too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pleach_kernel::Timestamp;
use tokio::time::Instant;

const NANOS_A_MILLISECOND: u64 = 1_000_000;

/// Wall-clock time at the start of the host, and steady time since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Since 1970.
    origin_nanos: u64,
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// A clock that shows so many nanoseconds since 1970 now.
    pub(crate) fn from(origin_nanos: u64) -> Self {
        Self { origin_nanos, started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.now_nanos() / NANOS_A_MILLISECOND)
    }

    /// Since 1970.
    pub(crate) fn now_nanos(&self) -> u64 {
        let since = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.origin_nanos.saturating_add(since)
    }

    /// The first moment at which [`Clock::now`] is `at` or later.
    pub(crate) fn instant_of(&self, at: Timestamp) -> Instant {
        let nanos = at.0.saturating_mul(NANOS_A_MILLISECOND).saturating_sub(self.origin_nanos);
        // A timer that lies beyond what the machine can count never fires.
        let never = || self.started + Duration::from_secs(1 << 31);
        self.started.checked_add(Duration::from_nanos(nanos)).unwrap_or_else(never)
    }
}

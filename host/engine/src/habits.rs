//! Habits: how a host goes about its work, where that is a matter of taste.

use std::time::Duration;

use pleach_kernel::CircuitBreaker;

/// How a host goes about its work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// How long a guest that was told to stop may take to.
    pub grace: Duration,
    /// How long a guest waits before it is dropped from memory.
    pub park_after: Duration,
    /// So many events after a snapshot, there may be another.
    pub snapshot_every: u64,
    /// When plugins that fail are not tried for a while.
    pub circuit_breaker: Option<CircuitBreaker>,
}

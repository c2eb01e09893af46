//! The logical clock of one run. What a guest sees of it depends on what was
//! recorded and on nothing else, so that a replay sees the same.
//!
//! It begins at the run's start and each look moves it on by a little. A call
//! that took host time makes it stale; the next look then has to bring the
//! host's time, which is recorded. A sleep moves it to the time to wake at.

/// By how much each look at the clock moves it on. A guest that spins until the
/// clock shows a later time has to come to an end, and the same one in a replay.
const NANOS_A_LOOK: u64 = 1_000;

/// Looks add to the clock for ever; half of the range is theirs.
const LATEST: u64 = u64::MAX / 2;

/// In nanoseconds since 1970. Only ever grows.
#[derive(Debug)]
pub(crate) struct Clock {
    now: u64,
    started: u64,
    stale: bool,
}

impl Clock {
    pub(crate) fn new(started_ms: u64) -> Self {
        let started = started_ms.saturating_mul(1_000_000).min(LATEST);
        Self { now: started, started, stale: false }
    }

    /// What it shows, which is not a look.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    pub(crate) fn look(&mut self) -> u64 {
        let shown = self.now;
        self.now += NANOS_A_LOOK;
        shown
    }

    /// An instant, given as nanoseconds since the run's start.
    pub(crate) fn instant(&self, elapsed: u64) -> u64 {
        self.started.saturating_add(elapsed).min(LATEST)
    }

    /// Nanoseconds from the run's start to an instant.
    pub(crate) fn elapsed(&self, instant: u64) -> u64 {
        instant.saturating_sub(self.started)
    }

    /// A call took time that the clock knows nothing of.
    pub(crate) fn outdate(&mut self) {
        self.stale = true;
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Moves on to an instant; it never goes back, and it is not stale any more.
    pub(crate) fn advance_to(&mut self, instant: u64) {
        self.now = self.now.max(instant.min(LATEST));
        self.stale = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_stands_still_but_for_looks_and_never_goes_back() {
        let mut clock = Clock::new(1_000);
        assert_eq!([clock.look(), clock.look()], [1_000_000_000, 1_000_001_000]);
        clock.advance_to(5);
        assert_eq!(clock.look(), 1_000_002_000);
        clock.advance_to(clock.instant(1_000_000_000));
        let look = clock.look();
        assert_eq!(clock.elapsed(look), 1_000_000_000);
        clock.advance_to(u64::MAX);
        assert!(clock.look() < clock.look(), "it does not wrap");
    }

    #[test]
    fn a_clock_is_stale_until_it_is_moved_on() {
        let mut clock = Clock::new(0);
        assert!(!clock.is_stale());
        clock.outdate();
        clock.look();
        assert!(clock.is_stale());
        clock.advance_to(0);
        assert!(!clock.is_stale());
    }
}

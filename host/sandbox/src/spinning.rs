//! How many guests compute for longer than a call takes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A guest that had the processor for so long and is not done is one that computes: a
/// turn lasts about a millisecond, and most guests need a few hundredths of one.
const LONG: Duration = Duration::from_micros(200);

/// Guests whose last turn was long.
#[derive(Default)]
pub(crate) struct Spinning(AtomicUsize);

impl Spinning {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// A guest that is not known to compute.
    pub(crate) fn guest(&self) -> Turns<'_> {
        Turns { spinning: self, is_long: false }
    }
}

/// The turns of one guest.
pub(crate) struct Turns<'a> {
    spinning: &'a Spinning,
    is_long: bool,
}

impl Turns<'_> {
    /// It had a turn, and is to have another.
    pub(crate) fn took(&mut self, turn: Duration) {
        let is_long = turn >= LONG;
        if is_long != self.is_long {
            self.is_long = is_long;
            match is_long {
                true => self.spinning.0.fetch_add(1, Ordering::Relaxed),
                false => self.spinning.0.fetch_sub(1, Ordering::Relaxed),
            };
        }
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        self.took(Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_counts_from_its_first_long_turn_to_a_short_one_or_its_end() {
        let spinning = Spinning::default();
        let mut one = spinning.guest();
        let mut other = spinning.guest();
        for turn in [LONG, LONG] {
            one.took(turn);
            other.took(turn);
            assert_eq!(spinning.count(), 2);
        }
        one.took(LONG / 2);
        assert_eq!(spinning.count(), 1);
        drop(other);
        assert_eq!(spinning.count(), 0);
        drop(one);
        assert_eq!(spinning.count(), 0);
    }
}

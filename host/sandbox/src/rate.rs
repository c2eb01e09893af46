//! Bounds on what a guest can make the host write: so much at once, so much a
//! second, and a count of what was left out.

/// A token bucket.
#[derive(Debug)]
pub(crate) struct Rate {
    burst: f64,
    a_second: f64,
    tokens: f64,
    /// None until it was first used: most guests never do.
    filled: Option<u64>,
    dropped: u32,
}

impl Rate {
    pub(crate) fn new(burst: u32, a_second: u32) -> Self {
        Self {
            burst: f64::from(burst),
            a_second: f64::from(a_second),
            tokens: f64::from(burst),
            filled: None,
            dropped: 0,
        }
    }

    /// Asks for one at `now`, in nanoseconds. Where it may pass, the answer is
    /// how many before it could not.
    pub(crate) fn take(&mut self, now: u64) -> Option<u32> {
        let since = self.filled.map_or(0.0, |filled| now.saturating_sub(filled) as f64 / 1e9);
        self.filled = Some(now);
        self.tokens = (self.tokens + since * self.a_second).min(self.burst);
        if self.tokens < 1.0 {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

/// The beginning of `text`, of at most `max` bytes and whole characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_rate_is_counted_and_told_later() {
        let mut rate = Rate::new(2, 10);
        let start = 5_000_000_000;
        assert_eq!([rate.take(start), rate.take(start), rate.take(start)], [Some(0), Some(0), None]);
        assert_eq!(rate.take(start + 50_000_000), None);
        assert_eq!(rate.take(start + 150_000_000), Some(2));
        let later = start + 60_000_000_000;
        assert_eq!([rate.take(later), rate.take(later), rate.take(later)], [Some(0), Some(0), None]);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}

//! What was not reviewed, by reason: how much, and the first of it by name.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::plain;

/// The most paths that are named for one reason.
const MAX_NAMED: usize = 20;

/// The most reasons; a reviewer may be anybody's.
const MAX_REASONS: usize = 30;

/// The longest reason or path, in bytes.
const MAX_TEXT_BYTES: usize = 200;

/// Whatever was left out.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct LeftOut(BTreeMap<String, Those>);

/// What was left out for one reason.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Those {
    pub count: u64,
    pub paths: Vec<String>,
}

impl LeftOut {
    /// One more, by name.
    pub fn note(&mut self, reason: &str, path: &str) {
        let those = self.those(reason);
        those.count += 1;
        if those.paths.len() < MAX_NAMED {
            those.paths.push(plain::line(path, MAX_TEXT_BYTES));
        }
    }

    /// Some more, without a name.
    pub fn count(&mut self, reason: &str, count: u64) {
        if count > 0 {
            self.those(reason).count += count;
        }
    }

    pub fn merge(&mut self, other: Self) {
        for (reason, more) in other.0 {
            let those = self.those(&reason);
            those.count += more.count;
            those.paths.extend(more.paths);
            those.paths.truncate(MAX_NAMED);
        }
    }

    pub fn by_reason(&self) -> &BTreeMap<String, Those> {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn total(&self) -> u64 {
        self.0.values().map(|those| those.count).sum()
    }

    fn those(&mut self, reason: &str) -> &mut Those {
        let reason = plain::line(reason, MAX_TEXT_BYTES);
        let full = self.0.len() >= MAX_REASONS && !self.0.contains_key(&reason);
        self.0.entry(if full { "other reasons".to_owned() } else { reason }).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_the_first_are_named() {
        let mut left_out = LeftOut::default();
        for number in 0..100 {
            left_out.note("link", &format!("r/{number}"));
        }
        left_out.count("link", 5);
        left_out.count("binary", 0);
        let mut more = LeftOut::default();
        more.note("link", "r/x");
        left_out.merge(more);
        assert_eq!((left_out.total(), left_out.by_reason().len()), (106, 1));
        assert_eq!(left_out.by_reason()["link"].paths.len(), MAX_NAMED);
    }

    #[test]
    fn no_number_of_reasons_makes_it_large() {
        let mut left_out = LeftOut::default();
        for number in 0..500 {
            left_out.note(&format!("reason {number}"), &"p".repeat(4_000));
        }
        assert_eq!((left_out.by_reason().len(), left_out.total()), (MAX_REASONS + 1, 500));
        assert!(serde_json::to_string(&left_out).unwrap().len() < 20_000);
    }
}

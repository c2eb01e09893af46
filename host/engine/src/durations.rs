//! Durations: how long the plugins of one tenant take, for trees in which the shortest
//! goes first.
//!
//! What is kept is a mean in which each try that completed counts an eighth, and what
//! came before the rest: a plugin that has become slower is known as such soon. Nothing
//! of it is on disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What a try counts: one part in so many.
const WEIGHT: u64 = 8;

/// Means are kept in parts of a millisecond, so that short ones do not become 0.
const PARTS: u64 = 256;

/// By the plugin's name.
#[derive(Default)]
pub(crate) struct Durations(RwLock<HashMap<Arc<str>, AtomicU64>>);

impl Durations {
    /// A try has completed.
    pub(crate) fn record(&self, plugin: &Arc<str>, ms: u64) {
        let took = ms.saturating_mul(PARTS).max(1);
        let grown = |mean: u64| Some(mean - mean / WEIGHT + took / WEIGHT);
        if let Some(mean) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(plugin) {
            let _ = mean.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
            return;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(plugin.clone()).or_insert_with(|| AtomicU64::new(took));
    }

    /// The mean, in a unit of its own; 0 where no try has completed.
    pub(crate) fn mean(&self, plugin: &str) -> u64 {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(plugin).map_or(0, |mean| mean.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_begins_with_the_first_and_follows_the_later() {
        let durations = Durations::default();
        let (plugin, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!(durations.mean("a"), 0, "unknown");
        durations.record(&plugin, 80);
        assert_eq!(durations.mean("a"), 80 * PARTS);
        durations.record(&plugin, 0);
        assert_eq!(durations.mean("a"), 70 * PARTS);
        durations.record(&other, 71);
        assert!(durations.mean("b") > durations.mean("a"));
        for _ in 0..100 {
            durations.record(&plugin, 1_000);
        }
        assert!(durations.mean("a") > 990 * PARTS, "{}", durations.mean("a"));
    }
}

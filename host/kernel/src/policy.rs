//! Policy: what a tenant allows, and what each of its orchestrators may do.
//!
//! A tree is decided under the policy that its root was admitted with; a new
//! version is for new trees. Nothing is allowed by leaving it out: a missing
//! list is the empty list.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::command::Surface;
use crate::scope::Scope;

/// How far a tree may grow. `0` is a limit like any other and means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The depth of the deepest run; the root is at 0.
    pub max_depth: u32,
    /// Direct children of one run, over its lifetime.
    pub max_fanout: u32,
    /// Descendants of one root, over its lifetime.
    pub max_children_total: u32,
    /// Runs of one tree running at once; more are queued. A run that waits in a
    /// join does not count.
    pub max_concurrency: u32,
    /// How long a group that names no timeout waits.
    pub join_timeout_ms: u64,
    /// Answers `replan` that one run may be given.
    pub max_replans: u32,
    /// Answers `replan` in a row that one run may be given although nothing has
    /// changed for the better since the one before. The first answer has none
    /// before it, and is no stall.
    pub max_stalls: u32,
}

impl Limits {
    /// What holds where a policy says nothing.
    pub const SEED: Self = Self {
        max_depth: 3,
        max_fanout: 8,
        max_children_total: 32,
        max_concurrency: 256,
        join_timeout_ms: 60_000,
        max_replans: 3,
        max_stalls: 1,
    };

    /// What no policy of this host goes beyond unless its operator says so.
    pub const CEILING: Self = Self {
        max_depth: 256,
        max_fanout: 100_000,
        max_children_total: 1_000_000,
        max_concurrency: 10_000,
        join_timeout_ms: 7 * 24 * 3_600_000,
        max_replans: 100,
        max_stalls: 100,
    };

    /// The tighter of two, limit by limit.
    pub fn tightest(&self, other: &Self) -> Self {
        Self {
            max_depth: self.max_depth.min(other.max_depth),
            max_fanout: self.max_fanout.min(other.max_fanout),
            max_children_total: self.max_children_total.min(other.max_children_total),
            max_concurrency: self.max_concurrency.min(other.max_concurrency),
            join_timeout_ms: self.join_timeout_ms.min(other.join_timeout_ms),
            max_replans: self.max_replans.min(other.max_replans),
            max_stalls: self.max_stalls.min(other.max_stalls),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::SEED
    }
}

/// Limits that somebody wants tightened; what is left out stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tightening {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_fanout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_children_total: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replans: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_stalls: Option<u32>,
}

impl Tightening {
    /// `limits`, with each limit that is named here and lower.
    pub fn apply(&self, limits: &Limits) -> Limits {
        limits.tightest(&Limits {
            max_depth: self.max_depth.unwrap_or(u32::MAX),
            max_fanout: self.max_fanout.unwrap_or(u32::MAX),
            max_children_total: self.max_children_total.unwrap_or(u32::MAX),
            max_concurrency: self.max_concurrency.unwrap_or(u32::MAX),
            join_timeout_ms: self.join_timeout_ms.unwrap_or(u64::MAX),
            max_replans: self.max_replans.unwrap_or(u32::MAX),
            max_stalls: self.max_stalls.unwrap_or(u32::MAX),
        })
    }
}

/// Which ways in are open to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Surfaces {
    pub graph: bool,
    pub guest: bool,
    pub api: bool,
}

impl Default for Surfaces {
    fn default() -> Self {
        Self { graph: true, guest: true, api: true }
    }
}

impl Surfaces {
    pub fn enabled(&self, surface: Surface) -> bool {
        match surface {
            Surface::Graph => self.graph,
            Surface::Guest => self.guest,
            Surface::Api => self.api,
        }
    }
}

/// What one orchestrator plugin may do, within what the tenant may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orchestrator {
    /// The plugins it may spawn; see [`Policy::targets`].
    pub targets: Vec<String>,
    /// The most that it may hand on.
    pub scopes: Vec<Scope>,
    pub limits: Tightening,
}

/// How much of the host a tenant may take. None: no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Runs running at once over all trees; more are queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_running: Option<u32>,
    /// Runs waiting to start over all trees; more are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queued: Option<u32>,
    /// Linear memory of all running guests; a run that might not fit is queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Bytes of logs and plugins; at the limit new trees and plugins are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
}

/// What a tenant allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Counted by the host: 0 for the built-in policy, which allows no spawn.
    pub version: u64,
    pub surfaces: Surfaces,
    /// Plugins that may be spawned by an orchestrator without an entry of its
    /// own: names, of which the last character may be a `*` for any rest.
    pub targets: Vec<String>,
    /// The most that any run of the tenant may hold.
    pub scopes: Vec<Scope>,
    pub limits: Limits,
    /// The most that one tree may spend.
    pub budget: Budget,
    pub orchestrators: BTreeMap<String, Orchestrator>,
    pub quotas: Quotas,
}

impl Policy {
    /// The allowlist of an orchestrator plugin.
    pub fn targets_of(&self, plugin: &str) -> &[String] {
        match self.orchestrators.get(plugin) {
            Some(own) => &own.targets,
            None => &self.targets,
        }
    }

    /// Whether policy lets runs of `plugin` hand on `scope`.
    pub fn hands_on(&self, plugin: &str, scope: &Scope) -> bool {
        crate::scope::covered(&self.scopes, scope)
            && match self.orchestrators.get(plugin) {
                Some(own) => crate::scope::covered(&own.scopes, scope),
                None => true,
            }
    }

    /// `limits` as they hold for a run of `plugin`.
    pub fn tighten(&self, plugin: &str, limits: &Limits) -> Limits {
        match self.orchestrators.get(plugin) {
            Some(own) => own.limits.apply(limits),
            None => *limits,
        }
    }
}

/// Whether an allowlist entry names `plugin`.
pub fn target_matches(pattern: &str, plugin: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => plugin.starts_with(prefix),
        None => pattern == plugin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policy_allows_no_spawn_and_no_scope() {
        let policy = Policy::default();
        assert!(policy.targets_of("lead").is_empty());
        assert!(!policy.hands_on("lead", &"spawn:x".parse().unwrap()));
        assert_eq!((policy.limits.max_depth, policy.limits.max_fanout), (3, 8));
        assert_eq!((policy.limits.max_children_total, policy.limits.join_timeout_ms), (32, 60_000));
    }

    #[test]
    fn an_orchestrator_of_its_own_lists_everything_itself() {
        let policy: Policy = serde_json::from_str(
            r#"{"targets":["a"],"scopes":["fs.read:*"],"orchestrators":{"lead":{"limits":{"max_fanout":2}}}}"#,
        )
        .unwrap();
        let read = "fs.read:x".parse().unwrap();
        assert_eq!(policy.targets_of("other"), ["a"]);
        assert!(policy.targets_of("lead").is_empty(), "a missing list is the empty list");
        assert!(policy.hands_on("other", &read) && !policy.hands_on("lead", &read));
        assert_eq!(policy.tighten("lead", &Limits::SEED).max_fanout, 2);
    }

    #[test]
    fn an_entry_tightens_and_never_loosens() {
        let wide = Tightening { max_depth: Some(99), max_fanout: Some(1), ..Tightening::default() };
        let limits = wide.apply(&Limits::SEED);
        assert_eq!((limits.max_depth, limits.max_fanout), (3, 1));
    }

    #[test]
    fn a_word_that_policy_does_not_know_is_refused() {
        assert!(serde_json::from_str::<Policy>(r#"{"target":["a"]}"#).is_err());
        assert!(serde_json::from_str::<Policy>(r#"{"limits":{"depth":1}}"#).is_err());
    }

    #[test]
    fn an_allowlist_entry_is_a_name_or_the_beginning_of_one() {
        assert!(target_matches("review*", "reviewer") && target_matches("*", "x"));
        assert!(!target_matches("review", "reviewer") && !target_matches("reviewer", "review"));
    }
}

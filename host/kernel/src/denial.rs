//! Denials: what policy refuses, in one shape for every surface.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::RunId;

/// Why something was refused. The wire form is the name in lower snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    FeatureDisabled,
    CallerCancelled,
    IdempotencyConflict,
    TargetNotFound,
    TargetNotPublished,
    AllowlistEmpty,
    TargetNotAllowlisted,
    ScopeRequired,
    ScopeNotHeld,
    ScopeExceedsPolicy,
    /// The request names something that no scope can name.
    ScopeInvalid,
    MaxDepth,
    MaxFanout,
    MaxChildrenTotal,
    QuotaExceeded,
    BudgetExhausted,
    InvalidQuorum,
    /// The request contradicts itself; the message says where.
    InvalidRequest,
    /// There is no such run in the caller's tree.
    RunNotFound,
    /// There is no such group in the caller's tree.
    GroupNotFound,
    /// The run or group is in the tree, but not below the caller.
    NotInLineage,
}

impl Code {
    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FeatureDisabled => "feature_disabled",
            Self::CallerCancelled => "caller_cancelled",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::TargetNotFound => "target_not_found",
            Self::TargetNotPublished => "target_not_published",
            Self::AllowlistEmpty => "allowlist_empty",
            Self::TargetNotAllowlisted => "target_not_allowlisted",
            Self::ScopeRequired => "scope_required",
            Self::ScopeNotHeld => "scope_not_held",
            Self::ScopeExceedsPolicy => "scope_exceeds_policy",
            Self::ScopeInvalid => "scope_invalid",
            Self::MaxDepth => "max_depth",
            Self::MaxFanout => "max_fanout",
            Self::MaxChildrenTotal => "max_children_total",
            Self::QuotaExceeded => "quota_exceeded",
            Self::BudgetExhausted => "budget_exhausted",
            Self::InvalidQuorum => "invalid_quorum",
            Self::InvalidRequest => "invalid_request",
            Self::RunNotFound => "run_not_found",
            Self::GroupNotFound => "group_not_found",
            Self::NotInLineage => "not_in_lineage",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal by policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{action} denied ({code}): {message}")]
pub struct Denial {
    pub code: Code,
    /// What was asked for: `spawn_run`, `join`, `files.read`, …
    pub action: Arc<str>,
    /// For people.
    pub message: String,
    /// The limit that was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How much was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<u64>,
    /// How much was in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// None where the host's operator asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_run_id: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Arc<str>>,
    pub policy_version: u64,
    /// Always false: asking again changes nothing.
    pub retryable: bool,
}

impl Denial {
    /// A denial that nothing more is known of; the kernel fills in who asked,
    /// under which policy.
    pub fn new(code: Code, action: impl Into<Arc<str>>, message: impl Into<String>) -> Self {
        Self {
            code,
            action: action.into(),
            message: message.into(),
            limit: None,
            requested: None,
            current: None,
            caller_run_id: None,
            target: None,
            policy_version: 0,
            retryable: false,
        }
    }

    pub(crate) fn counted(mut self, limit: u64, requested: u64, current: u64) -> Self {
        self.limit = Some(limit);
        self.requested = Some(requested);
        self.current = Some(current);
        self
    }

    /// Names the target that was asked for, unless a fallback was named already.
    pub fn of_target(mut self, target: &Arc<str>) -> Self {
        self.target.get_or_insert_with(|| target.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_it_is_printed() {
        for code in [Code::FeatureDisabled, Code::MaxChildrenTotal, Code::NotInLineage] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}

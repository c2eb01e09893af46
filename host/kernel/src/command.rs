//! What the kernel can be asked: requests as they come from a guest, a graph or
//! a client, and the answers.
//!
//! The requests are wire types too: they are written into the log with the
//! decision on them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Usage};
use crate::fact::RunError;
use crate::id::{GroupId, RunId};
use crate::lineage::{Lineage, PluginRef};
use crate::payload::Payload;
use crate::policy::Limits;
use crate::scope::Grant;

/// The way in that a request took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    Graph,
    Guest,
    Api,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A run, bound by its grant and its place in the tree.
    Run(RunId),
    /// Whoever operates the host or owns the tree: bound by neither.
    Operator,
}

/// What happens to a child that is live when its parent ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParentClose {
    #[default]
    Cancel,
    Wait,
    Abandon,
}

/// Which ready run goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    High,
    #[default]
    Medium,
    Low,
}

/// Which of a tree's ready runs goes first among those of one priority, and which of
/// a tenant's trees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fairness {
    /// In turn.
    #[default]
    RoundRobin,
    /// The one whose plugin takes the least time, as far as is known.
    ShortestFirst,
}

impl Fairness {
    pub(crate) fn is_round_robin(&self) -> bool {
        *self == Self::RoundRobin
    }
}

/// How the wait between tries grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    #[default]
    Fixed,
    Exponential,
}

/// How often, and after which wait, a failed run is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// All tries together; at least 1.
    pub max_attempts: u32,
    #[serde(default)]
    pub backoff: Backoff,
    #[serde(default)]
    pub initial_ms: u64,
    /// The longest wait between two tries; `initial_ms` where it is left out
    /// and the backoff is fixed, without a bound where it is exponential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
    /// The part of the wait that is left to chance, from 0 to 1.
    #[serde(default)]
    pub jitter: f64,
}

/// A run to spawn, as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpawnRequest {
    /// `name` or `name@requirement`.
    pub target: Arc<str>,
    pub input: Payload,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn_key: Option<Arc<str>>,
    #[serde(default)]
    pub scopes: Grant,
    /// Counted from the first start, over all tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    #[serde(default)]
    pub parent_close: ParentClose,
    #[serde(default)]
    pub priority: Priority,
    /// Plugins to go on with, in this order, where the target's circuit is open or
    /// its tries are used up; `name` or `name@requirement`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<Arc<str>>,
}

/// The most fallbacks of one run.
pub const MAX_FALLBACKS: usize = 8;

impl SpawnRequest {
    /// A request with nothing but a target and its input.
    pub fn new(target: impl Into<Arc<str>>, input: Payload) -> Self {
        Self {
            target: target.into(),
            input,
            spawn_key: None,
            scopes: Grant::default(),
            timeout_ms: None,
            retry: None,
            budget: Budget::default(),
            parent_close: ParentClose::default(),
            priority: Priority::default(),
            fallbacks: Vec::new(),
        }
    }
}

/// What looking for a target in the tenant's registry has found.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    Found(Arc<PluginRef>),
    /// What there is instead, for the message.
    NotFound {
        hint: String,
    },
    NotPublished,
}

/// A request that is ready to be decided: its target has been looked up.
#[derive(Clone, Debug, PartialEq)]
pub struct Spawn {
    pub request: Arc<SpawnRequest>,
    pub resolution: Resolution,
    /// What looking for each fallback has found.
    pub fallbacks: Vec<Resolution>,
    /// The node of a graph that asks, if one does.
    pub node_id: Option<Arc<str>>,
}

impl Spawn {
    pub fn new(request: impl Into<Arc<SpawnRequest>>, resolution: Resolution) -> Self {
        Self { request: request.into(), resolution, fallbacks: Vec::new(), node_id: None }
    }
}

/// When a group is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinMode {
    #[default]
    BestEffort,
    /// Another word for `best_effort`, accepted with a warning.
    All,
    FailFast,
    Quorum,
    FirstSuccess,
}

impl JoinMode {
    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "best_effort",
            Self::All => "all",
            Self::FailFast => "fail_fast",
            Self::Quorum => "quorum",
            Self::FirstSuccess => "first_success",
        }
    }
}

/// How a group is joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinPolicy {
    #[serde(default)]
    pub mode: JoinMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Counted from the spawn; none: the limit `join_timeout_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Where in its execution a guest asks. A guest that is run again from the start
/// asks the same questions at the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// The place among all host calls of this try, from 0.
    pub call: u32,
    /// How many spawns of this try before it came without a key of their own.
    pub keyless: u32,
}

/// Runs to spawn together, ready to be decided.
#[derive(Clone, Debug, PartialEq)]
pub struct SpawnGroup {
    pub members: Vec<Spawn>,
    pub key_prefix: Option<Arc<str>>,
    pub join: JoinPolicy,
    /// How many members it will have, where these are only its first; see
    /// [`Tree::extend_group`](crate::Tree::extend_group).
    pub size: Option<u32>,
    pub node_id: Option<Arc<str>>,
    /// Whether this is an agent call: one member, whose end the caller waits for.
    pub agent_call: bool,
}

impl SpawnGroup {
    /// What the caller has called, as refusals and replays name it.
    pub fn action(&self) -> &'static str {
        match self.agent_call {
            true => "agent_call",
            false => "spawn_group",
        }
    }
}

/// The most members of one group.
pub const MAX_GROUP: usize = 100_000;

/// What a root run is admitted with.
#[derive(Clone, Debug, PartialEq)]
pub struct Submit {
    pub spawn: Spawn,
    /// Limits that whoever submits wants tighter than policy.
    pub limits: Limits,
    pub fairness: Fairness,
}

/// The limits that a spawn was admitted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PolicySnapshot {
    pub policy_version: u64,
    #[serde(flatten)]
    pub limits: Limits,
}

/// A run that was spawned, or found again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spawned {
    pub run_id: RunId,
    pub idempotent: bool,
    /// The run as it was admitted, so that `attempt` is 1: a caller that asks again
    /// gets the same answer however often the run was tried since.
    pub lineage: Lineage,
    pub effective_scopes: Grant,
    pub policy_snapshot: PolicySnapshot,
}

/// A group that was spawned, or found again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpawnedGroup {
    pub group_id: GroupId,
    pub idempotent: bool,
    pub members: Vec<Spawned>,
    pub warnings: Vec<String>,
}

/// A subtree to cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    pub run_id: RunId,
    #[serde(default = "yes")]
    pub include_root: bool,
    #[serde(default = "cancelled_by_orchestration")]
    pub reason: Arc<str>,
}

fn yes() -> bool {
    true
}

fn cancelled_by_orchestration() -> Arc<str> {
    Cancel::REASON.into()
}

impl Cancel {
    /// The reason of whoever gives none.
    pub const REASON: &str = "cancelled_by_orchestration";

    pub fn of(run_id: RunId) -> Self {
        Self { run_id, include_root: true, reason: Self::REASON.into() }
    }
}

/// What a cancel found to cancel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    pub run_id: RunId,
    pub cancelled_count: u32,
    pub cancelled_run_ids: Vec<RunId>,
    pub scanned_count: u32,
    pub include_root: bool,
    pub reason: Arc<str>,
}

/// How one try of a guest ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Completed(Payload),
    Failed(RunError),
    /// It was stopped because the kernel said so; there is no result.
    Stopped,
}

/// A guest that has stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    pub run_id: RunId,
    pub attempt: u32,
    pub outcome: Outcome,
    /// Without `wall_ms`, which the kernel counts itself.
    pub usage: Usage,
}

//! Nodes: what a graph is made of.

use schemars::JsonSchema;
use serde::Deserialize;

use super::BudgetSpec;
use super::spawn::{JoinMode, Member, OnFailure, ParentClose, Priority, RetrySpec, spawning};
use crate::at::At;
use crate::text::{Cel, Json, Template};

/// A node of a graph: one of these, with what belongs to it below.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    SpawnRun(Box<SpawnRun>),
    SpawnGroup(Box<SpawnGroup>),
    Join(Box<Join>),
    AgentCall(Box<AgentCall>),
    Router(Box<Router>),
    Judge(Box<Judge>),
    Replan(Box<Replan>),
    CancelSubtree(Box<CancelSubtree>),
    Map(Box<MapOver>),
    Output(Box<Output>),
}

spawning! {
    /// Spawns a run. The node is done when the run has ended, and its output is the run's; with `wait: false` it is done at once, and its output is `{run_id}`.
    pub struct SpawnRun {
        /// The agent: `name` or `name@requirement`.
        pub target: At<String>,
        /// Whether the node is done only when the run has ended. `true` unless given.
        #[serde(default)]
        pub wait: Option<bool>,
        /// What its failure means for the rest.
        #[serde(default)]
        pub on_failure: Option<OnFailure>,
    }
}

spawning! {
    /// Calls an agent as a guest would: a run that is joined at once, within 60 s unless `timeout_ms` says otherwise. The node's output is the run's.
    pub struct AgentCall {
        /// The agent: `name` or `name@requirement`.
        pub target: At<String>,
        /// What its failure means for the rest.
        #[serde(default)]
        pub on_failure: Option<OnFailure>,
    }
}

spawning! {
    /// Spawns a run for each item of a list, as a group that a `join` waits for. In its `input`, `item` is the item and `index` its place from 0.
    pub struct MapOver {
        /// The list, as an expression.
        pub over: At<Cel>,
        /// The agent: `name` or `name@requirement`.
        pub target: At<String>,
        /// The most items that are in flight at once, and in memory. 64 unless given.
        #[serde(default)]
        pub window: Option<At<u32>>,
        /// What it means if the list is none, or a run is refused.
        #[serde(default)]
        pub on_failure: Option<OnFailure>,
    }
}

/// Spawns several runs together, all or none, which a `join` waits for. What is said here besides `targets` holds for each member that does not say otherwise.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpawnGroup {
    /// The runs.
    pub targets: Vec<At<Member>>,
    /// The scopes that each may use.
    #[serde(default)]
    pub scopes: Vec<At<String>>,
    /// The scopes that each may hand on to runs of its own.
    #[serde(default)]
    pub delegate: Vec<At<String>>,
    /// Each is ended with `timed_out` after so many milliseconds, over all its tries.
    #[serde(default)]
    pub timeout_ms: Option<At<u64>>,
    /// How often, and after which wait, a failed run is tried again.
    #[serde(default)]
    pub retry: Option<At<RetrySpec>>,
    /// What each and all below it may spend.
    #[serde(default)]
    pub budget: Option<At<BudgetSpec>>,
    /// Which ready run goes first.
    #[serde(default)]
    pub priority: Option<Priority>,
    /// What happens to runs that are live when the graph ends.
    #[serde(default)]
    pub parent_close: Option<ParentClose>,
    /// What it means if the group is refused.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// Waits for a group. Handles: `completed`, `completed_with_errors`, `failed`, `timed_out`. The output is the join's result, with the outputs of completed members as `values`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The `spawn_group` or `map`; the one that an edge comes from unless given.
    #[serde(default)]
    pub group: Option<At<String>>,
    /// When the group is decided.
    #[serde(default)]
    pub mode: Option<At<JoinMode>>,
    /// With mode `quorum`: how many have to complete.
    #[serde(default)]
    pub quorum: Option<At<u32>>,
    /// Counted from the group's spawn. The policy's `join_timeout_ms` unless given.
    #[serde(default)]
    pub timeout_ms: Option<At<u64>>,
}

/// Chooses one of several ways. Handles: the names of its routes, and `default`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// The ways there are, in order.
    pub routes: Vec<At<Route>>,
    /// An expression; the first route that equals its value is taken.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub route_key: Option<At<Cel>>,
    /// In place of `route_key`: a router plugin.
    #[serde(default)]
    pub target: Option<At<String>>,
    /// With `target`: what is routed.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub input: Option<At<Template>>,
    /// With `target`: settings for the plugin.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub config: Option<At<Template>>,
    /// With `target`: as in `spawn_run`.
    #[serde(default)]
    pub timeout_ms: Option<At<u64>>,
    /// With `target`: as in `spawn_run`.
    #[serde(default)]
    pub retry: Option<At<RetrySpec>>,
    /// What it means if the plugin fails, or the expression cannot be computed.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// One way of a router.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The handle.
    pub name: At<String>,
    /// With `route_key`: what that has to be, compared strictly: `1` is not `"1"`. The name unless given.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub equals: Option<At<Json>>,
}

/// Judges something. Handles: `pass` and `fail`. The output is `{outcome, score, rationale}`, without a `score` where the plugin gave none.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// An expression for a number.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub score: Option<At<Cel>>,
    /// With `score`: it passes from this number on.
    #[serde(default)]
    pub threshold: Option<At<f64>>,
    /// In place of `score`: a judge plugin. One that fails or traps has judged `fail`.
    #[serde(default)]
    pub target: Option<At<String>>,
    /// With `target`: what is judged.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub input: Option<At<Template>>,
    /// With `target`: by what it is judged.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub criteria: Option<At<Template>>,
    /// With `target`: as in `spawn_run`.
    #[serde(default)]
    pub timeout_ms: Option<At<u64>>,
    /// With `target`: as in `spawn_run`.
    #[serde(default)]
    pub retry: Option<At<RetrySpec>>,
    /// What it means if the expression cannot be computed, or the plugin is refused.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// Looks at what failed, and says whether to try again. Handles: `replan`, which may lead back, and `continue`. Bounded by `max_replans` and `max_stalls`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replan {
    /// The nodes whose runs are looked at; all before it unless given.
    #[serde(default)]
    pub of: Vec<At<String>>,
    /// The rule: replan where something failed and this holds. `failed` and `completed` are numbers of runs.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub when: Option<At<Cel>>,
    /// A replanner plugin, whose plan the kernel carries out; the node is done when the runs of that plan have ended.
    #[serde(default)]
    pub target: Option<At<String>>,
    /// With `target`: settings for the plugin.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub config: Option<At<Template>>,
    /// The most times that it answers `replan`. The policy's unless given.
    #[serde(default)]
    pub max_replans: Option<At<u32>>,
    /// The most times in a row that it answers `replan` although nothing has changed for the better. The policy's unless given.
    #[serde(default)]
    pub max_stalls: Option<At<u32>>,
    /// What it means if the rule cannot be computed, or the plugin is refused.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
}

/// Stops what another node has spawned, and all below it. The output is `{cancelled_count}`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelSubtree {
    /// The node whose runs are cancelled.
    pub node: At<String>,
    /// What the log says why. `cancelled_by_orchestration` unless given.
    #[serde(default)]
    pub reason: Option<At<String>>,
}

/// What the graph gives back. The graph ends when no node is left to run; where several outputs were reached, its output has each under its id.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The graph's output. `null` unless given.
    #[serde(default)]
    pub value: Option<At<Template>>,
    /// In place of `value`: the graph fails with this, at once.
    #[serde(default)]
    pub error: Option<At<Failing>>,
}

/// How a graph fails.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// Stable, lower snake case.
    pub code: At<String>,
    /// For people.
    #[serde(default)]
    pub message: Option<At<Template>>,
    /// Whether trying again may help.
    #[serde(default)]
    pub retryable: bool,
}

//! The language: what a graph file says, as types. The JSON Schema and the
//! tables of the documentation are made from them, so a field's comment is what
//! its users read.

mod node;
mod spawn;

pub use node::{
    AgentCall, CancelSubtree, Failing, Join, Judge, MapOver, Node, Output, Replan, Route, Router, SpawnGroup, SpawnRun,
};
pub use spawn::{Backoff, BudgetSpec, JoinMode, Member, OnFailure, ParentClose, Priority, RetrySpec, Task};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::at::At;
use crate::text::{Cel, Json};

/// The one version of the language that there is.
pub const SPEC_VERSION: &str = "2.0";

/// What is said of a graph as a whole: everything but its nodes, edges and tasks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The version of the language: `"2.0"`, in quotes.
    pub spec_version: At<String>,
    /// What the graph is called in lists of runs and in policies: 1 to 64 of `a-z`, `0-9` and `-`, beginning with a letter. The file's name unless given.
    #[serde(default)]
    pub name: Option<At<String>>,
    /// The version that the graph is published as, such as `1.0.0`. `0.0.0` unless given.
    #[serde(default)]
    pub version: Option<At<String>>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// A JSON Schema that the graph's input has to fit.
    #[serde(default)]
    pub input_schema: Option<At<Json>>,
    /// A JSON Schema that the graph's output has to fit.
    #[serde(default)]
    pub output_schema: Option<At<Json>>,
    /// Limits tighter than the tenant's policy. A looser one changes nothing.
    #[serde(default)]
    pub policy: Option<At<LimitsSpec>>,
    /// The most runs of the graph that run at once; more are queued.
    #[serde(default)]
    pub max_concurrency: Option<At<u32>>,
    /// The graph is ended with `timed_out` after so many milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<At<u64>>,
    /// Which of the graph's ready runs starts first, among those of one priority.
    #[serde(default)]
    pub fairness: Option<Fairness>,
    /// What the whole graph may spend.
    #[serde(default)]
    pub budget: Option<At<BudgetSpec>>,
    /// Given to expressions as `run.seed`. The run's own unless given.
    #[serde(default)]
    pub seed: Option<u64>,
}

/// Limits of one graph, each as in a policy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// The depth of the deepest run below the graph; the graph is at 0.
    #[serde(default)]
    pub max_depth: Option<At<u32>>,
    /// Direct children of one run, over its lifetime.
    #[serde(default)]
    pub max_fanout: Option<At<u32>>,
    /// Runs below the graph, over its lifetime.
    #[serde(default)]
    pub max_children_total: Option<At<u32>>,
    /// How long a join waits that names no time of its own.
    #[serde(default)]
    pub join_timeout_ms: Option<At<u64>>,
    /// Answers `replan` that the graph may be given.
    #[serde(default)]
    pub max_replans: Option<At<u32>>,
    /// Answers `replan` in a row without progress.
    #[serde(default)]
    pub max_stalls: Option<At<u32>>,
}

/// Which ready run goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fairness {
    /// In the order in which they became ready.
    #[default]
    RoundRobin,
    /// That of the plugin with the shortest mean duration so far.
    ShortestFirst,
}

/// A way from one node to another.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// A node's id, or its id and one of its handles: `gather` or `gather.completed`.
    pub from: At<String>,
    /// The id of the node that comes after it.
    pub to: At<String>,
    /// The edge is taken only where this holds. Only for edges without a handle.
    #[serde(default, deserialize_with = "crate::at::given")]
    pub when: Option<At<Cel>>,
}

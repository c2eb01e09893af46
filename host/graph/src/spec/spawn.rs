//! Spawning: what can be said of a run that a node makes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::at::At;

/// Adds the fields of a spawn to a struct of its own fields: the language has no
/// flattening, because a flattened field has no place.
macro_rules! spawning {
    ($(#[$attr:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$attr])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            /// What the run is given: JSON, in which any text may contain `${{ … }}`. `{}` unless given.
            #[serde(default, deserialize_with = "crate::at::given")]
            pub input: Option<At<$crate::text::Template>>,
            /// The scopes that the run may use.
            #[serde(default)]
            pub scopes: Vec<At<String>>,
            /// The scopes that it may hand on to runs of its own.
            #[serde(default)]
            pub delegate: Vec<At<String>>,
            /// The run is ended with `timed_out` after so many milliseconds, over all its tries.
            #[serde(default)]
            pub timeout_ms: Option<At<u64>>,
            /// How often, and after which wait, a failed run is tried again.
            #[serde(default)]
            pub retry: Option<At<$crate::spec::RetrySpec>>,
            /// What the run and all below it may spend.
            #[serde(default)]
            pub budget: Option<At<$crate::spec::BudgetSpec>>,
            /// Which ready run goes first.
            #[serde(default)]
            pub priority: Option<$crate::spec::Priority>,
            /// What happens to the run if it is live when the graph ends.
            #[serde(default)]
            pub parent_close: Option<$crate::spec::ParentClose>,
            /// Agents to run in its place, in this order, where it fails or its circuit is open.
            #[serde(default)]
            pub fallbacks: Vec<At<String>>,
            /// A JSON Schema that the input has to fit.
            #[serde(default)]
            pub input_schema: Option<At<$crate::text::Json>>,
            /// A JSON Schema that the output has to fit; else the run has failed, with `output_schema`.
            #[serde(default)]
            pub output_schema: Option<At<$crate::text::Json>>,
        }
    };
}
pub(crate) use spawning;

spawning! {
    /// One run of a group.
    pub struct Member {
        /// The agent: `name` or `name@requirement`.
        pub target: At<String>,
    }
}

spawning! {
    /// A task of the short form: a node that runs an agent.
    pub struct Task {
        /// The task's id.
        pub id: At<String>,
        /// The agent: `name` or `name@requirement`.
        pub agent: At<String>,
        /// The tasks that have to be completed before it.
        #[serde(default)]
        pub needs: Vec<At<String>>,
        /// What its failure means for the rest.
        #[serde(default)]
        pub on_failure: Option<OnFailure>,
    }
}

/// What a failed node means for the rest of the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Everything else is cancelled, and the graph has failed.
    #[default]
    Cascading,
    /// The nodes that depend on it are skipped, and the others go on.
    Isolated,
}

/// Which ready run goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    High,
    Medium,
    Low,
}

/// What happens to a run that is live when its parent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParentClose {
    /// It is cancelled.
    Cancel,
    /// The parent ends after it.
    Wait,
    /// It goes on by itself; needs the scope `run.abandon`.
    Abandon,
}

/// When a group is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinMode {
    /// When every member has ended.
    #[default]
    BestEffort,
    /// Another word for `best_effort`.
    All,
    /// At the first failure, or when every member has ended.
    FailFast,
    /// When `quorum` members have completed, or that has become impossible.
    Quorum,
    /// At the first success, or when every member has ended.
    FirstSuccess,
}

/// How the wait between tries grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// It does not.
    #[default]
    Fixed,
    /// It doubles.
    Exponential,
}

/// How often, and after which wait, a failed run is tried again.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// All tries together; at least 1.
    pub max_attempts: At<u32>,
    /// How the wait grows.
    #[serde(default)]
    pub backoff: Backoff,
    /// The first wait.
    #[serde(default)]
    pub initial_ms: u64,
    /// The longest wait.
    #[serde(default)]
    pub max_ms: Option<u64>,
    /// The part of a wait that is left to chance, from 0 to 1; the same in every replay.
    #[serde(default)]
    pub jitter: Option<At<f64>>,
}

/// Amounts; one that is left out is not limited.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSpec {
    /// Tokens of language models.
    #[serde(default)]
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    #[serde(default)]
    pub cost_microusd: Option<u64>,
    /// Milliseconds, of the run and of each below it together, from the start to the end of each.
    #[serde(default)]
    pub wall_ms: Option<u64>,
    /// Milliseconds of processor time.
    #[serde(default)]
    pub cpu_ms: Option<u64>,
    /// Calls of guests to their host.
    #[serde(default)]
    pub host_calls: Option<u64>,
}

//! Happened: what became of each node of a graph that was run.
//!
//! How that is found out is in `observe.rs`.

use std::sync::Arc;

use pleach_kernel::{RunStatus, Timestamp};
use serde::Serialize;

use crate::plan::{Edge, Kind, NodeIx, Plan};

/// How far a node has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// Its turn has not come, as far as is known.
    #[default]
    Waiting,
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
    /// The graph has ended without it.
    Skipped,
}

impl NodeStatus {
    pub const ALL: [Self; 7] =
        [Self::Waiting, Self::Running, Self::Completed, Self::Failed, Self::Cancelled, Self::TimedOut, Self::Skipped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
        }
    }

    /// Whether it was its turn and that is over.
    pub fn is_done(self) -> bool {
        match self {
            Self::Waiting | Self::Running | Self::Skipped => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut => true,
        }
    }
}

/// What became of one node. Of a node in a loop, status, handle and error are those
/// of its last round, and the times reach from its first round to its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeHappened {
    pub status: NodeStatus,
    /// The handle that it went on from, by its place among the node's handles.
    pub handle: Option<usize>,
    pub started_at: Option<Timestamp>,
    /// Only once it is done.
    pub finished_at: Option<Timestamp>,
    /// The most tries that one of its runs took.
    pub attempts: u32,
    /// The runs that it has spawned, over all rounds.
    pub runs: u32,
    /// Why it did not complete.
    pub error: Option<Arc<str>>,
}

impl NodeHappened {
    /// From its first start to its end.
    pub fn duration_ms(&self) -> Option<u64> {
        Some(self.finished_at?.since_ms(self.started_at?))
    }
}

/// What became of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// The graph's own run.
    pub status: RunStatus,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// By a node's place in the plan.
    pub nodes: Vec<NodeHappened>,
}

impl Happened {
    /// Whether the run went along an edge. Of an edge with a condition that is known
    /// only once what it leads to has begun.
    pub fn is_taken(&self, plan: &Plan, edge: &Edge) -> bool {
        (edge.when.is_none() || self.has_begun(edge.to)) && self.may_be_taken(plan, edge)
    }

    /// Whether the run went along an edge, if the condition of the edge held.
    pub(crate) fn may_be_taken(&self, plan: &Plan, edge: &Edge) -> bool {
        let from = &self.nodes[edge.from];
        let goes_on = match (from.handle, edge.handle) {
            (Some(taken), Some(handle)) => taken == handle,
            (Some(taken), None) => !is_led(plan, edge, taken),
            (None, Some(_)) => false,
            (None, None) => self.is_over(plan, edge.from),
        };
        goes_on && from.status != NodeStatus::Skipped
    }

    /// Whether what follows a node without handles may begin: a group is over for its
    /// join when it was spawned, and so is a run that is not waited for.
    pub(super) fn is_over(&self, plan: &Plan, node: NodeIx) -> bool {
        let (happened, kind) = (&self.nodes[node], &plan.nodes[node].kind);
        let is_spawning = kind.is_group() || matches!(kind, Kind::SpawnRun { wait: false, .. });
        happened.status == NodeStatus::Completed || is_spawning && happened.runs > 0
    }

    fn has_begun(&self, node: NodeIx) -> bool {
        let node = &self.nodes[node];
        node.status == NodeStatus::Running || node.status.is_done()
    }
}

/// Whether another edge leads from a handle, so that a plain one is not taken there.
fn is_led(plan: &Plan, plain: &Edge, handle: usize) -> bool {
    plan.nodes[plain.from].outgoing.iter().any(|edge| plan.edges[*edge].handle == Some(handle))
}

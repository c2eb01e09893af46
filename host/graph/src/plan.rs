//! Plan: a graph as a run walks it. Names are places, templates are compiled,
//! and what the file left out has its default.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use pleach_kernel::{Budget, Grant, JoinPolicy, Limits, ParentClose, Payload, Priority, Retry, RunError, Tightening};

use crate::expression::Expression;
use crate::schema::Schema;
use crate::source::Span;
pub use crate::spec::{Fairness, OnFailure};
use crate::template::Template;
use crate::walk::loops::Loops;

/// A node's place among a plan's nodes.
pub type NodeIx = usize;

/// An edge's place among a plan's edges.
pub type EdgeIx = usize;

/// A graph, compiled.
#[derive(Clone, Debug)]
pub struct Plan {
    pub name: Arc<str>,
    pub description: Option<String>,
    pub settings: Settings,
    /// In the order of the file.
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
    pub(crate) by_id: HashMap<Arc<str>, NodeIx>,
    /// Whether it was written as tasks.
    pub is_tasks: bool,
    /// Found when the plan is first walked.
    pub(crate) loops: OnceLock<Arc<Loops>>,
    /// Found when it is first asked.
    pub(crate) may_take_long: OnceLock<bool>,
    /// Nodes that are in the file and could not be read, which was told.
    pub(crate) unread: HashSet<String>,
}

impl Plan {
    /// A node by its id.
    pub fn find(&self, id: &str) -> Option<NodeIx> {
        self.by_id.get(id).copied()
    }

    /// Whether a run of a node, at a place in its group where it has one, gives what the
    /// node says that it gives. The error is the run's: another try may do better.
    pub fn accepts(&self, node: &str, ordinal: Option<u32>, output: &Payload) -> Result<(), RunError> {
        let run = self.find(node).and_then(|node| self.nodes[node].kind.run_at(ordinal));
        let Some(schema) = run.and_then(|run| run.output_schema.as_ref()) else { return Ok(()) };
        let json = serde_json::from_str(output.as_str()).map_err(|error| error.to_string());
        json.and_then(|json| schema.check(&json)).map_err(|why| {
            let error = RunError::new(OUTPUT_SCHEMA, format!("its output does not fit the node `{node}`: {why}"));
            RunError { retryable: true, ..error }
        })
    }
}

/// What a run fails with whose output does not fit.
const OUTPUT_SCHEMA: &str = "output_schema";

/// What holds for the graph as a whole.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The version that it is published as.
    pub version: Option<Arc<str>>,
    pub limits: Tightening,
    pub timeout_ms: Option<u64>,
    pub fairness: Option<Fairness>,
    pub budget: Budget,
    pub seed: Option<u64>,
    pub input_schema: Option<Schema>,
    pub output_schema: Option<Schema>,
}

impl Settings {
    /// `limits`, with what the graph wants tighter.
    pub fn tighten(&self, limits: &Limits) -> Limits {
        self.limits.apply(limits)
    }

    /// Which ready run goes first, where whoever runs the graph says so too.
    pub fn fairness_or(&self, given: pleach_kernel::Fairness) -> pleach_kernel::Fairness {
        match self.fairness {
            Some(Fairness::RoundRobin) => pleach_kernel::Fairness::RoundRobin,
            Some(Fairness::ShortestFirst) => pleach_kernel::Fairness::ShortestFirst,
            None => given,
        }
    }

    /// The fields that hold for the root of a tree and nothing else, as far as they
    /// are said: below a root, whoever spawns a graph says what it may take.
    pub fn of_a_root(&self) -> Vec<&'static str> {
        let Self { limits, timeout_ms, fairness, budget, version: _, seed: _, input_schema: _, output_schema: _ } =
            self;
        let Tightening { max_concurrency, .. } = *limits;
        let policy = Tightening { max_concurrency: None, ..*limits };
        let said = [
            ("policy", policy != Tightening::default()),
            ("max_concurrency", max_concurrency.is_some()),
            ("timeout_ms", timeout_ms.is_some()),
            ("fairness", fairness.is_some()),
            ("budget", *budget != Budget::default()),
        ];
        said.into_iter().filter_map(|(field, is_said)| is_said.then_some(field)).collect()
    }

    /// What the graph may spend, where whoever runs it gives it a budget too: the
    /// lesser of each amount.
    pub fn budget_within(&self, given: &Budget) -> Budget {
        let lesser = |ours: Option<u64>, theirs: Option<u64>| [ours, theirs].into_iter().flatten().min();
        Budget {
            tokens: lesser(self.budget.tokens, given.tokens),
            cost_microusd: lesser(self.budget.cost_microusd, given.cost_microusd),
            wall_ms: lesser(self.budget.wall_ms, given.wall_ms),
            cpu_ms: lesser(self.budget.cpu_ms, given.cpu_ms),
            host_calls: lesser(self.budget.host_calls, given.host_calls),
        }
    }
}

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: Arc<str>,
    /// Where the id stands.
    pub span: Span,
    pub kind: Kind,
    pub on_failure: OnFailure,
    /// What an edge can be led from; empty where there are only plain ones.
    pub handles: Vec<Arc<str>>,
    pub incoming: Vec<EdgeIx>,
    pub outgoing: Vec<EdgeIx>,
    /// Whether an edge to it, or one from it, is in the file and could not be linked:
    /// what would be said of its edges is not said.
    pub(crate) lost: Lost,
}

/// Edges of a node that could not be linked, which was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub incoming: bool,
    pub outgoing: bool,
}

/// One edge.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: NodeIx,
    /// The handle it leads from, by its place; none for a plain edge, which is
    /// taken at whichever handle no other edge leads from.
    pub handle: Option<usize>,
    pub to: NodeIx,
    pub when: Option<(Expression, Span)>,
    /// Where it stands.
    pub from_span: Span,
    pub to_span: Span,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum Kind {
    SpawnRun {
        run: RunPlan,
        wait: bool,
    },
    AgentCall {
        run: RunPlan,
    },
    SpawnGroup {
        members: Vec<RunPlan>,
        join: GroupJoin,
    },
    Map {
        over: Option<(Expression, Span)>,
        run: RunPlan,
        window: u32,
        join: GroupJoin,
    },
    Join {
        /// None where the file names none, which is an error.
        group: Option<NodeIx>,
        group_span: Option<Span>,
    },
    Router(Router),
    Judge(Judge),
    Replan(Replan),
    CancelSubtree {
        node: Option<NodeIx>,
        node_span: Span,
        reason: Option<Arc<str>>,
    },
    Output(Output),
}

impl Kind {
    /// As the file calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SpawnRun { .. } => "spawn_run",
            Self::AgentCall { .. } => "agent_call",
            Self::SpawnGroup { .. } => "spawn_group",
            Self::Map { .. } => "map",
            Self::Join { .. } => "join",
            Self::Router(_) => "router",
            Self::Judge(_) => "judge",
            Self::Replan(_) => "replan",
            Self::CancelSubtree { .. } => "cancel_subtree",
            Self::Output(_) => "output",
        }
    }

    /// Whether it makes a group that a join can wait for.
    pub fn is_group(&self) -> bool {
        matches!(self, Self::SpawnGroup { .. } | Self::Map { .. })
    }

    /// Of the runs that it spawns by itself, the one at a place in its group, or the only
    /// one.
    fn run_at(&self, ordinal: Option<u32>) -> Option<&RunPlan> {
        match self {
            Self::SpawnGroup { members, .. } => members.get(ordinal? as usize),
            _ => self.runs().first(),
        }
    }

    /// The runs that it spawns by itself, as they are planned.
    pub fn runs(&self) -> &[RunPlan] {
        match self {
            Self::SpawnRun { run, .. } | Self::AgentCall { run } | Self::Map { run, .. } => std::slice::from_ref(run),
            Self::SpawnGroup { members, .. } => members,
            Self::Router(Router { plugin, .. }) | Self::Judge(Judge { plugin, .. }) => {
                plugin.as_ref().map_or(&[], |plugin| std::slice::from_ref(&plugin.run))
            }
            Self::Join { .. } | Self::Replan(_) | Self::CancelSubtree { .. } | Self::Output(_) => &[],
        }
    }
}

/// How a group is joined: as its `join` node says.
#[derive(Clone, Debug, Default)]
pub struct GroupJoin {
    pub policy: JoinPolicy,
    /// The node that says so.
    pub node: Option<NodeIx>,
    pub mode_span: Option<Span>,
    pub quorum_span: Option<Span>,
}

/// A run as it will be asked for.
#[derive(Clone, Debug)]
pub struct RunPlan {
    pub target: Arc<str>,
    pub target_span: Span,
    pub input: Template,
    /// Where the input stands; where the target does, if it has none.
    pub input_span: Span,
    pub scopes: Grant,
    /// Each scope with its place, those it may use first.
    pub scope_spans: Vec<Span>,
    pub timeout_ms: Option<u64>,
    pub retry: Option<Retry>,
    pub budget: Budget,
    pub priority: Priority,
    pub parent_close: ParentClose,
    pub parent_close_span: Span,
    pub fallbacks: Vec<(Arc<str>, Span)>,
    pub input_schema: Option<Schema>,
    pub output_schema: Option<Schema>,
}

/// A router: by an expression, or by a plugin.
#[derive(Clone, Debug)]
pub struct Router {
    pub key: Option<(Expression, Span)>,
    /// What the key is compared with, for each handle but `default`.
    pub equals: Vec<serde_json::Value>,
    pub plugin: Option<Plugin>,
}

/// A judge: by an expression, or by a plugin.
#[derive(Clone, Debug)]
pub struct Judge {
    pub score: Option<(Expression, Span)>,
    pub threshold: f64,
    pub plugin: Option<Plugin>,
}

/// A judge or router plugin, and what it is asked.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// Its input has `subject`, and `criteria` or `config` and `routes`.
    pub run: RunPlan,
}

/// Another try for what has failed.
#[derive(Clone, Debug)]
pub struct Replan {
    /// The nodes whose runs are looked at; empty for all that came before.
    pub of: Vec<(NodeIx, Span)>,
    pub when: Option<(Expression, Span)>,
    pub target: Option<(Arc<str>, Span)>,
    pub config: Option<Template>,
    pub max_replans: Option<u32>,
    pub max_replans_span: Span,
    pub max_stalls: Option<u32>,
}

/// What the graph gives back.
#[derive(Clone, Debug)]
pub struct Output {
    pub value: Template,
    pub error: Option<Failing>,
}

/// How the graph fails there.
#[derive(Clone, Debug)]
pub struct Failing {
    pub code: Arc<str>,
    pub message: Template,
    pub retryable: bool,
}

/// The handles of a join, in the order of its statuses.
pub const JOIN_HANDLES: [&str; 4] = ["completed", "completed_with_errors", "failed", "timed_out"];
pub const JUDGE_HANDLES: [&str; 2] = ["pass", "fail"];
pub const REPLAN_HANDLES: [&str; 2] = ["replan", "continue"];
/// The last handle of every router.
pub const DEFAULT_ROUTE: &str = "default";

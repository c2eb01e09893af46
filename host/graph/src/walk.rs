//! Walk: one run of a graph, as a state that is told what has happened and says
//! what to do next. Pure: whoever walks does the asking and the waiting.
//!
//! A node starts when each edge that leads to it is settled and at least one was
//! taken. What a node needs from others it finds in the scope (`scope.rs`).

mod draft;
mod end;
mod heard;
pub(crate) mod loops;
mod scope;
mod start;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use pleach_kernel::{
    Cancel, EndedRun, GroupId, JoinPolicy, JoinResult, NodeVerdict, Payload, ReplanNode, RunError, RunId, SpawnRequest,
};
use serde_json::Value as Json;

use crate::expression::Budget;
use crate::plan::{EdgeIx, Kind, NodeIx, OnFailure, Plan};
use draft::{Draft, PAUSE_AFTER};
use heard::Decided;
use loops::Loops;
use scope::Values;

/// Something to ask of the kernel for a node.
#[derive(Debug)]
pub enum Ask {
    /// To be answered with [`Walk::spawned`].
    Run { node: NodeIx, request: Arc<SpawnRequest> },
    /// To be answered with [`Walk::grouped`].
    Group { node: NodeIx, group: Box<Group> },
    /// To be answered with [`Walk::extended`]. `first` is the place of the first of them.
    Extend { node: NodeIx, group: GroupId, first: u32, members: Vec<Arc<SpawnRequest>> },
    /// To be answered with [`Walk::cancelled`], with how many runs were.
    Cancel { node: NodeIx, requests: Vec<Cancel> },
    /// Has no answer: the group is decided.
    GiveUp { node: NodeIx, group: GroupId },
    /// To be answered with [`Walk::evaluated`], or with [`Walk::planning`] where a
    /// replanner has to end first.
    Evaluate { node: NodeIx, about: Arc<ReplanNode>, replanner: Option<Arc<str>>, config: Option<Payload> },
    /// To be answered with [`Walk::evaluated`].
    TakePlan { node: NodeIx, planner: RunId, about: Arc<ReplanNode> },
    /// Much was computed, and there is more: others may have a turn. Has no answer.
    Pause,
}

/// A group to spawn.
#[derive(Debug)]
pub struct Group {
    pub members: Vec<Arc<SpawnRequest>>,
    pub key_prefix: Arc<str>,
    pub join: JoinPolicy,
    pub size: Option<u32>,
    pub agent_call: bool,
}

/// What a replan fails with whose replanner gives up.
pub(crate) const REPLAN_ABORTED: &str = "replan_aborted";

/// What a graph fails with when one of its nodes has.
pub(crate) const NODE_FAILED: &str = "node_failed";

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Waiting,
    Running,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
    Skipped,
}

impl Status {
    /// As expressions see it.
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
}

/// What has become of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    Taken,
    /// What it leads from went another way, or was skipped.
    Dead,
    /// What it leads from has failed, or was skipped because something had.
    Poisoned,
}

/// One node of this walk.
#[derive(Debug)]
struct State {
    status: Status,
    /// How often it was begun.
    iteration: u32,
    /// Edges that lead to it and are not settled.
    open: u32,
    /// The runs of its newest iteration.
    runs: Vec<RunId>,
    group: Option<Grouped>,
    /// The join that waits for its group: for the newest, if a replan has led back
    /// meanwhile.
    awaited_by: Option<NodeIx>,
    /// Whether it has failed in this iteration without a failed run to show for it.
    failed_itself: bool,
}

/// The group of a node.
#[derive(Debug)]
struct Grouped {
    id: GroupId,
    /// What a map has not spawned yet.
    rest: VecDeque<Json>,
    /// The place of the first of those.
    next: u32,
    /// Members that may be added now.
    free: u32,
    decided: Option<Decided>,
}

/// Who hears of something that ends.
#[derive(Clone, Copy, Debug)]
struct Listener {
    node: NodeIx,
    iteration: u32,
}

/// How the graph has ended.
pub type End = Result<Payload, RunError>;

/// One run of a graph.
pub struct Walk {
    plan: Arc<Plan>,
    loops: Arc<Loops>,
    states: Vec<State>,
    /// Nodes that make groups.
    groups: Vec<NodeIx>,
    ways: Vec<Way>,
    /// What an edge out of a loop will be when the loop is over.
    held: BTreeMap<EdgeIx, Way>,
    values: Values,
    /// Nodes that are to be begun, in the order in which they became so.
    ready: VecDeque<NodeIx>,
    /// Nodes that are to be skipped, and what that makes of the edges out of them.
    /// Empty but for within [`Walk::settle`]: a queue, for a chain of them may be as
    /// long as the graph is, and the stack is not.
    skipping: VecDeque<(NodeIx, Way)>,
    is_skipping: bool,
    /// What is to be asked before anything is begun.
    asks: VecDeque<Ask>,
    /// A group whose members are being computed.
    draft: Option<Draft>,
    /// What has come of nodes by themselves, for the log.
    verdicts: Vec<(NodeIx, NodeVerdict)>,
    /// Nodes that are under way.
    running: u32,
    by_run: HashMap<RunId, Listener>,
    by_group: HashMap<GroupId, NodeIx>,
    /// What ended before its spawn was answered.
    early_runs: HashMap<RunId, Box<EndedRun>>,
    early_groups: HashMap<GroupId, Box<JoinResult>>,
    /// Replanners that were asked, and about what.
    planners: HashMap<RunId, Arc<ReplanNode>>,
    /// Groups of plans, and what their replan answers when they end, in which round.
    plans: HashMap<GroupId, (u32, Json)>,
    /// Whether a run that has ended succeeded; neither, if it was cancelled.
    ended: HashMap<RunId, Option<bool>>,
    /// Items of maps whose groups are not there yet, and the place of the first.
    pending: HashMap<NodeIx, (VecDeque<Json>, u32)>,
    /// Maps of which members have ended, so that others may be added.
    extendable: Vec<NodeIx>,
    outputs: Vec<(NodeIx, Payload)>,
    /// The first failure that ends everything, or, if nothing does, the first.
    fatal: Option<RunError>,
    failure: Option<RunError>,
}

impl Walk {
    /// A walk from the beginning. `run` is what expressions know as `run`.
    pub fn new(plan: Arc<Plan>, input: Payload, run: Json) -> Result<Self, RunError> {
        let values = Values::new(plan.nodes.len(), input, run);
        if let Some(schema) = &plan.settings.input_schema {
            let wrong = |why| RunError::new("input_schema", format!("the input of graph {}: {why}", plan.name));
            schema.check(values.input().map_err(wrong)?).map_err(wrong)?;
        }
        let loops = plan.loops().clone();
        let open = |node: &crate::plan::Node| node.incoming.iter().filter(|edge| !loops.is_back(**edge)).count() as u32;
        let states: Vec<State> = plan.nodes.iter().map(|node| State::new(open(node))).collect();
        let ready = (0..states.len()).filter(|node| states[*node].open == 0).collect();
        let groups = (0..states.len()).filter(|node| plan.nodes[*node].kind.is_group()).collect();
        Ok(Self {
            groups,
            ways: vec![Way::Open; plan.edges.len()],
            held: BTreeMap::new(),
            loops,
            states,
            values,
            ready,
            skipping: VecDeque::new(),
            is_skipping: false,
            asks: VecDeque::new(),
            draft: None,
            verdicts: Vec::new(),
            running: 0,
            by_run: HashMap::new(),
            by_group: HashMap::new(),
            early_runs: HashMap::new(),
            early_groups: HashMap::new(),
            planners: HashMap::new(),
            plans: HashMap::new(),
            ended: HashMap::new(),
            pending: HashMap::new(),
            extendable: Vec::new(),
            outputs: Vec::new(),
            fatal: None,
            failure: None,
            plan,
        })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn status(&self, node: NodeIx) -> Status {
        self.states[node].status
    }

    /// What to ask next; none where there is something to wait for, or nothing more.
    pub fn ask(&mut self) -> Option<Ask> {
        loop {
            if self.fatal.is_some() {
                return None;
            }
            if self.is_pause_due() {
                self.values.take_steps();
                return Some(Ask::Pause);
            }
            if let Some(draft) = self.draft.take() {
                self.go_on_with(draft);
                continue;
            }
            if let Some(ask) = self.asks.pop_front() {
                return Some(ask);
            }
            if let Some(map) = self.extendable.pop() {
                self.extend(map);
                continue;
            }
            match self.ready.pop_front() {
                Some(node) => self.begin(node),
                None if !self.held.is_empty() && self.is_stuck() => self.release_all(),
                None => return None,
            }
        }
    }

    /// Whether nothing is under way but joins that wait for groups which are to come.
    fn is_stuck(&self) -> bool {
        let groups = self.groups.iter().map(|node| &self.states[*node]);
        let waiting = groups.filter(|state| state.awaited_by.is_some() && state.group.is_none());
        self.running == 0 || self.running as usize == waiting.count()
    }

    fn is_pause_due(&self) -> bool {
        self.values.steps() >= PAUSE_AFTER
    }

    /// What the log is to know of nodes, which has no answer.
    pub fn take_verdicts(&mut self) -> Vec<(NodeIx, NodeVerdict)> {
        std::mem::take(&mut self.verdicts)
    }

    /// Whether something has failed that ends everything.
    pub fn is_failing(&self) -> bool {
        self.fatal.is_some()
    }

    /// How the graph has ended, once there is nothing to ask and nothing to wait for.
    pub fn end(&mut self) -> Option<End> {
        if let Some(error) = self.fatal.take() {
            return Some(Err(error));
        }
        if self.running > 0 || !self.extendable.is_empty() || !self.asks.is_empty() || !self.ready.is_empty() {
            return None;
        }
        Some(self.output())
    }

    // What follows from a node's end.

    /// A node is done, and one of its handles is what came out, if it has any.
    fn done(&mut self, node: NodeIx, output: Payload, handle: Option<usize>) {
        self.finish(node, Status::Completed);
        self.values.set(node, Status::Completed, Some(output), None);
        let plan = self.plan.clone();
        if matches!(plan.nodes[node].kind, Kind::Replan(_)) && self.go_back(node, handle) {
            return;
        }
        // All conditions together take as much as one expression may.
        let budget = Budget::default();
        for edge in plan.nodes[node].outgoing.iter().copied() {
            let taken = self.is_taken(node, edge, handle, &budget);
            match taken {
                Ok(taken) => self.settle(edge, if taken { Way::Taken } else { Way::Dead }),
                Err(error) => return self.fail_edge(node, edge, error),
            }
        }
        self.values.took(budget.steps());
        self.close_loop(node);
    }

    /// Whether an edge of a node that is done is one to follow.
    fn is_taken(&self, node: NodeIx, edge: EdgeIx, handle: Option<usize>, budget: &Budget) -> Result<bool, String> {
        let edge = &self.plan.edges[edge];
        if let Some(wanted) = edge.handle {
            return Ok(handle == Some(wanted));
        }
        let outgoing = &self.plan.nodes[node].outgoing;
        if handle.is_some() && outgoing.iter().any(|other| self.plan.edges[*other].handle == handle) {
            return Ok(false);
        }
        let Some((when, _)) = &edge.when else { return Ok(true) };
        match when.evaluate_within(budget, &self.values.scope(&self.plan, &[]))? {
            Json::Bool(holds) => Ok(holds),
            other => Err(format!("`{}` is {other}, and a condition is true or false", when.text())),
        }
    }

    fn fail_edge(&mut self, node: NodeIx, edge: EdgeIx, why: String) {
        let to = &self.plan.nodes[self.plan.edges[edge].to].id;
        let message = format!("the edge from `{}` to `{to}`: {why}", self.plan.nodes[node].id);
        self.fatal.get_or_insert(RunError::new("expression_failed", message));
    }

    /// A node has failed because its run did: everything with it, or what depends on it.
    fn fail(&mut self, node: NodeIx, status: Status, error: RunError) {
        self.finish(node, status);
        let ends_all = self.note_failure(node, &error);
        self.values.set(node, status, None, Some(error));
        if !ends_all {
            self.settle_all(node, Way::Poisoned);
            self.forsake(node);
        }
    }

    /// A node has failed without a failed run, in a way that the log tells of.
    fn fail_itself(&mut self, node: NodeIx, status: Status, error: RunError) {
        self.states[node].failed_itself = true;
        self.fail(node, status, error);
    }

    /// A node has failed by itself, and the log does not know yet.
    fn fail_untold(&mut self, node: NodeIx, error: RunError) {
        self.verdicts.push((node, NodeVerdict::Failed(error.clone())));
        self.fail_itself(node, Status::Failed, error);
    }

    /// Whether a failure of a node's ends everything.
    fn note_failure(&mut self, node: NodeIx, error: &RunError) -> bool {
        let told = self.told(node, error);
        self.failure.get_or_insert_with(|| told.clone());
        let ends_all = self.plan.nodes[node].on_failure == OnFailure::Cascading && !self.loops.is_covered(node);
        if ends_all {
            self.fatal.get_or_insert(told);
        }
        ends_all
    }

    /// A node's failure as the graph's.
    fn told(&self, node: NodeIx, error: &RunError) -> RunError {
        let id = &self.plan.nodes[node].id;
        let mut told = RunError::new(NODE_FAILED, format!("node `{id}` failed: {}: {}", error.code, error.message));
        let details = serde_json::json!({"node": &**id, "code": &*error.code, "message": error.message});
        told.details = Payload::of(&details).ok();
        told
    }

    /// A node was not run, or its run was cancelled.
    fn skip(&mut self, node: NodeIx, status: Status, way: Way) {
        self.finish(node, status);
        self.values.set(node, status, None, None);
        self.settle_all(node, way);
        self.forsake(node);
    }

    /// Whoever waits for the group of a node learns that there will be none.
    fn forsake(&mut self, node: NodeIx) {
        if let Some(join) = self.states[node].awaited_by.take() {
            self.fail_untold(join, start::no_group());
        }
    }

    fn settle_all(&mut self, node: NodeIx, way: Way) {
        let plan = self.plan.clone();
        for edge in plan.nodes[node].outgoing.iter().copied() {
            self.settle(edge, way);
        }
        self.close_loop(node);
    }

    fn finish(&mut self, node: NodeIx, status: Status) {
        let state = &mut self.states[node];
        if state.status == Status::Running {
            self.running -= 1;
        }
        state.status = status;
    }

    /// Settles an edge; one that leads out of a loop, when the loop is over.
    fn settle(&mut self, edge: EdgeIx, way: Way) {
        if self.loops.is_back(edge) || self.ways[edge] != Way::Open {
            return;
        }
        if self.loops.holds_back(edge, &self.states, &self.plan) {
            self.held.insert(edge, way);
            return;
        }
        self.settle_now(edge, way);
    }

    fn settle_now(&mut self, edge: EdgeIx, way: Way) {
        self.ways[edge] = way;
        let to = self.plan.edges[edge].to;
        self.states[to].open -= 1;
        if self.states[to].status == Status::Waiting && self.states[to].open == 0 {
            self.enter(to);
        }
        if std::mem::replace(&mut self.is_skipping, true) {
            return;
        }
        while let Some((node, way)) = self.skipping.pop_front() {
            self.skip(node, Status::Skipped, way);
        }
        self.is_skipping = false;
    }

    /// Every edge to a node is settled.
    fn enter(&mut self, node: NodeIx) {
        let ways = || self.plan.nodes[node].incoming.iter().map(|edge| self.ways[*edge]);
        // A replan is there for failures.
        let is_replan = matches!(self.plan.nodes[node].kind, Kind::Replan(_));
        let poisoned = ways().any(|way| way == Way::Poisoned);
        let taken = ways().any(|way| way == Way::Taken);
        if poisoned && !is_replan {
            self.skipping.push_back((node, Way::Poisoned));
        } else if taken || poisoned {
            self.ready.push_back(node);
        } else {
            self.skipping.push_back((node, Way::Dead));
        }
    }
}

impl State {
    fn new(open: u32) -> Self {
        let (status, runs) = (Status::Waiting, Vec::new());
        Self { status, iteration: 0, open, runs, group: None, awaited_by: None, failed_itself: false }
    }
}

#[cfg(test)]
mod beside;
#[cfg(test)]
mod looping;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;

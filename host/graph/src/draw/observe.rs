//! Observe: reads what happened to each node off the tree of a graph's run and off
//! its log.
//!
//! The runs of a node carry its id. What a join, a judge, a router and a replan have
//! decided is in the log, under the node's id; a join's is under that of its group.
//! An output and a cancel are there when they are done.

use std::collections::HashMap;
use std::sync::Arc;

use pleach_kernel::{
    ChildLifecycle, Event, Fact, JoinStatus, PluginVerdict, RunId, RunStatus, RunView, Step, SuggestedAction, Timestamp,
};
use serde_json::Value as Json;

use super::happened::{Happened, NodeHappened, NodeStatus};
use super::links::{in_order, links};
use crate::plan::{DEFAULT_ROUTE, JOIN_HANDLES, JUDGE_HANDLES, Kind, NodeIx, Output, Plan, REPLAN_HANDLES};
use crate::walk::{NODE_FAILED, REPLAN_ABORTED};

impl Happened {
    /// What became of a plan in `run`, which is the graph's own run with its
    /// children. `events` are those of its tree, in order; others than the graph's
    /// own are passed over.
    pub fn of<'a>(plan: &Plan, run: &'a RunView, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let nodes = vec![NodeHappened::default(); plan.nodes.len()];
        let happened = Self { status: run.status, started_at: run.started_at, finished_at: run.finished_at, nodes };
        let mut observer = Observer::new(plan, happened, run);
        for event in events {
            observer.event(event);
        }
        observer.runs();
        observer.told();
        observer.joins(run);
        observer.named(run);
        observer.skipped();
        observer.happened
    }
}

struct Observer<'a> {
    plan: &'a Plan,
    happened: Happened,
    run: RunId,
    /// The runs of each node, in the order of spawning.
    runs: Vec<Vec<&'a RunView>>,
    node_of_run: HashMap<RunId, NodeIx>,
    /// Of each node, the runs that the log has come by, and those of them that are of
    /// earlier rounds.
    spawned: Vec<usize>,
    earlier: Vec<usize>,
    /// What the log says of nodes in their last round.
    told: HashMap<NodeIx, Told>,
    /// When it first said anything of a node.
    first_told: HashMap<NodeIx, Timestamp>,
    /// For a node that makes groups, what its last one was decided to be, and when.
    groups: HashMap<NodeIx, Group>,
    /// Whether the log has come to where the graph was ended: what is decided after
    /// that, the graph has not seen.
    has_ended: bool,
}

#[derive(Clone)]
struct Told {
    at: Timestamp,
    status: NodeStatus,
    handle: Option<usize>,
    error: Option<Arc<str>>,
}

#[derive(Clone, Copy)]
struct Group {
    status: JoinStatus,
    decided_at: Timestamp,
}

impl<'a> Observer<'a> {
    fn new(plan: &'a Plan, happened: Happened, run: &'a RunView) -> Self {
        let count = plan.nodes.len();
        let mut runs = vec![Vec::new(); count];
        let mut node_of_run = HashMap::with_capacity(run.children.len());
        for child in &run.children {
            if let Some(node) = child.parent_node_id.as_ref().and_then(|id| plan.find(id)) {
                runs[node].push(child);
                node_of_run.insert(child.run_id, node);
            }
        }
        Self {
            plan,
            happened,
            run: run.run_id,
            runs,
            node_of_run,
            spawned: vec![0; count],
            earlier: vec![0; count],
            told: HashMap::new(),
            first_told: HashMap::new(),
            groups: HashMap::new(),
            has_ended: false,
        }
    }

    /// The runs of a node's last round.
    fn last_round(&self, node: NodeIx) -> Vec<&'a RunView> {
        let runs = &self.runs[node][self.earlier[node].min(self.runs[node].len())..];
        let last = runs.iter().map(|run| round(run)).max();
        runs.iter().filter(|run| Some(round(run)) == last).copied().collect()
    }

    fn runs(&mut self) {
        for (node, runs) in self.runs.iter().enumerate().filter(|(_, runs)| !runs.is_empty()) {
            let last_round = self.last_round(node);
            let status = match &self.plan.nodes[node].kind {
                kind if kind.is_group() => self.of_members(kind, &last_round),
                // It is done when it has decided, whatever its plan came to.
                Kind::Replan(_) if last_round.iter().all(|run| run.status.is_terminal()) => NodeStatus::Waiting,
                _ => last_round.last().map_or(NodeStatus::Waiting, |run| of_run(run.status)),
            };
            let failed = last_round.iter().rev().find_map(|run| run.error.as_ref()).map(|error| error.code.clone());
            self.happened.nodes[node] = NodeHappened {
                status,
                handle: None,
                started_at: runs.iter().filter_map(|run| run.started_at).min(),
                finished_at: runs.iter().filter_map(|run| run.finished_at).max().filter(|_| status.is_done()),
                attempts: runs.iter().map(|run| run.attempt).max().unwrap_or(0),
                runs: runs.len() as u32,
                error: failed.filter(|_| matches!(status, NodeStatus::Failed | NodeStatus::TimedOut)),
            };
        }
    }

    /// How a group stands that is not decided, or was when the graph had ended: with the
    /// graph, it was cancelled, unless nobody waits for it and it went on.
    fn of_members(&self, kind: &Kind, runs: &[&RunView]) -> NodeStatus {
        // A map may have been about to spawn more.
        let is_whole = matches!(kind, Kind::SpawnGroup { .. });
        match runs.iter().all(|run| run.status == RunStatus::Queued) {
            _ if runs.is_empty() => NodeStatus::Waiting,
            _ if is_whole && runs.iter().all(|run| run.status == RunStatus::Completed) => NodeStatus::Completed,
            _ if self.happened.status.is_terminal() => NodeStatus::Cancelled,
            true => NodeStatus::Waiting,
            false => NodeStatus::Running,
        }
    }

    /// What the log says outright.
    fn told(&mut self) {
        for (node, told) in std::mem::take(&mut self.told) {
            let first_told = self.first_told.get(&node).copied();
            let started_at = &mut self.happened.nodes[node].started_at;
            *started_at = started_at.or(first_told);
            self.at_once(node, told.at, told.status);
            let happened = &mut self.happened.nodes[node];
            happened.handle = told.handle;
            happened.error = told.error.or(happened.error.take());
        }
    }

    fn event(&mut self, event: &Event) {
        if let Fact::ChildLifecycle(life) = &event.fact {
            return self.life(life);
        }
        if let Fact::CancellationPropagation(cancel) = &event.fact {
            self.has_ended |= cancel.cancelled_run_ids.contains(&self.run);
        }
        if event.run_id != self.run || self.has_ended {
            return;
        }
        let Some(node) = event.node_id.as_ref().and_then(|id| self.plan.find(id)) else { return };
        let kind = &self.plan.nodes[node].kind;
        match &event.fact {
            Fact::SpawnDecision(decision) if !decision.idempotent => {
                self.spawned[node] += decision.spawned_run_ids.len();
            }
            Fact::JoinDecision(decision) if kind.is_group() => {
                self.groups.insert(node, Group { status: decision.status, decided_at: event.at });
            }
            Fact::JoinDecision(decision) if decision.status == JoinStatus::TimedOut && is_call(kind) => {
                let (status, error) = (NodeStatus::TimedOut, Some("timed_out".into()));
                self.tell(node, Told { at: event.at, status, handle: None, error });
            }
            Fact::RouteDecision(verdict) => self.verdict(event.at, node, verdict, "route"),
            Fact::JudgeVerdict(verdict) => self.verdict(event.at, node, verdict, "outcome"),
            Fact::ReplanDecision(decision) if matches!(kind, Kind::Replan(_)) => {
                let [replan, on] = REPLAN_HANDLES;
                let goes_back = decision.suggested_action == SuggestedAction::Replan;
                if decision.plan.as_ref().is_some_and(|plan| plan.aborted) {
                    return self.failed(node, event.at, REPLAN_ABORTED.into());
                }
                if goes_back {
                    self.begin_round(node);
                }
                self.decided(node, event.at, if goes_back { replan } else { on });
            }
            Fact::PolicyDeny(denial) => self.failed(node, event.at, denial.code.as_str().into()),
            Fact::NodeFailure(failure) => self.failed(node, event.at, failure.error.code.clone()),
            Fact::NodeCompletion(_) => match kind {
                Kind::Output(Output { error: Some(failing), .. }) => self.failed(node, event.at, failing.code.clone()),
                _ => self.tell(node, Told { at: event.at, status: NodeStatus::Completed, handle: None, error: None }),
            },
            // What these say of a node is in the tree already.
            Fact::SpawnDecision(_)
            | Fact::JoinDecision(_)
            | Fact::ReplanDecision(_)
            | Fact::CancellationPropagation(_)
            | Fact::ChildLifecycle(_)
            | Fact::Progress(_)
            | Fact::Budget(_) => {}
        }
    }

    fn life(&mut self, life: &ChildLifecycle) {
        let is_over = match life.status {
            Step::Completed | Step::Failed | Step::Cancelled | Step::TimedOut => true,
            Step::Queued | Step::Started | Step::Paused | Step::Resumed | Step::Retrying | Step::Closing => false,
        };
        if life.child_run_id != self.run {
            return;
        }
        if life.status == Step::Retrying {
            // Another try asks everything again, and finds what was spawned.
            self.told.clear();
        }
        self.has_ended |= is_over || life.fate.is_some();
    }

    /// A replan has led back: of what lies on the way, the last round is still to come.
    fn begin_round(&mut self, replan: NodeIx) {
        for node in self.plan.loops().nodes_of(replan) {
            self.earlier[node] = self.spawned[node];
            // An output that was reached stands, whatever the next round comes by.
            if !matches!(self.plan.nodes[node].kind, Kind::Output(_)) {
                self.told.remove(&node);
            }
            self.groups.remove(&node);
        }
    }

    /// What a plugin, or an expression in its place, has answered. A judge that gave
    /// no answer has judged `fail`.
    fn verdict(&mut self, at: Timestamp, node: NodeIx, verdict: &PluginVerdict, field: &str) {
        let answer = verdict.answer.as_ref().and_then(|answer| serde_json::from_str(answer.as_str()).ok());
        let chosen = answer.as_ref().and_then(|answer: &Json| answer.get(field)?.as_str());
        match (&self.plan.nodes[node].kind, chosen) {
            (Kind::Judge(_), chosen) => self.decided(node, at, chosen.unwrap_or(JUDGE_HANDLES[1])),
            (Kind::Router(_), Some(chosen)) => self.decided(node, at, chosen),
            _ => return,
        }
        if let (Some(error), Some(told)) = (&verdict.error, self.told.get_mut(&node)) {
            told.error = Some(error.code.clone());
        }
    }

    /// A node with handles went on from one of them.
    fn decided(&mut self, node: NodeIx, at: Timestamp, handle: &str) {
        let handles = &self.plan.nodes[node].handles;
        let place = |name: &str| handles.iter().position(|handle| **handle == *name);
        let handle = place(handle).or_else(|| place(DEFAULT_ROUTE));
        self.tell(node, Told { at, status: NodeStatus::Completed, handle, error: None });
    }

    /// A node has failed by itself, or was refused.
    fn failed(&mut self, node: NodeIx, at: Timestamp, code: Arc<str>) {
        self.tell(node, Told { at, status: NodeStatus::Failed, handle: None, error: Some(code) });
    }

    fn tell(&mut self, node: NodeIx, told: Told) {
        self.first_told.entry(node).or_insert(told.at);
        self.told.insert(node, told);
    }

    /// A node was done at an instant, unless its runs say how long it took.
    fn at_once(&mut self, node: NodeIx, at: Timestamp, status: NodeStatus) {
        let happened = &mut self.happened.nodes[node];
        happened.status = status;
        happened.started_at.get_or_insert(at);
        happened.finished_at = happened.finished_at.max(Some(at));
    }

    /// A join is done when its group is decided, whatever the members do after that.
    fn joins(&mut self, run: &RunView) {
        for (node, planned) in self.plan.nodes.iter().enumerate().filter(|(_, node)| node.kind.is_group()) {
            let join = join_of(&planned.kind);
            let Some(Group { status, decided_at }) = self.groups.get(&node).copied() else {
                let is_open = || self.happened.nodes[node].status == NodeStatus::Running || self.is_spawned(node, run);
                if let Some(join) = join.filter(|_| !self.happened.status.is_terminal() && is_open()) {
                    self.happened.nodes[join].status = NodeStatus::Running;
                }
                continue;
            };
            let happened = &mut self.happened.nodes[node];
            // Members that are cancelled then hold nothing up. An empty group has no
            // members to tell when it was.
            happened.started_at = happened.started_at.or(Some(decided_at));
            happened.finished_at = Some(decided_at);
            // A map that was given up has failed, whatever its group came to.
            if happened.status != NodeStatus::Failed {
                happened.status = of_group(status);
                if happened.status == NodeStatus::Completed {
                    happened.error = None;
                }
            }
            if let Some(join) = join {
                self.decided(join, decided_at, handle_of(status));
            }
        }
        self.told();
        self.late_joins();
    }

    /// A join that other nodes lead to as well comes no sooner than they let it, however
    /// early its group was decided.
    fn late_joins(&mut self) {
        let plan = self.plan;
        for (node, _) in in_order(plan.nodes.len(), &links(plan)) {
            if !matches!(plan.nodes[node].kind, Kind::Join { .. }) {
                continue;
            }
            let edges = plan.nodes[node].incoming.iter().map(|edge| &plan.edges[*edge]);
            let others = edges.filter(|edge| !plan.nodes[edge.from].kind.is_group());
            let taken = others.filter(|edge| self.happened.is_taken(plan, edge));
            let let_on = taken.filter_map(|edge| self.happened.nodes[edge.from].finished_at).max();
            let happened = &mut self.happened.nodes[node];
            if happened.finished_at.is_some() && happened.finished_at < let_on {
                (happened.started_at, happened.finished_at) = (happened.started_at.max(let_on), let_on);
            }
        }
    }

    /// The node that the graph says it has failed with, where the log says nothing else of
    /// it: what it asked for was refused before it came to the kernel.
    fn named(&mut self, run: &RunView) {
        let Some(error) = run.error.as_ref().filter(|error| &*error.code == NODE_FAILED) else { return };
        let details = error.details.as_ref().and_then(|details| serde_json::from_str(details.as_str()).ok());
        let text = |field: &str| details.as_ref().and_then(|details: &Json| details.get(field)?.as_str());
        let node = text("node").and_then(|node| self.plan.find(node));
        let node = node.filter(|node| self.happened.nodes[*node].status == NodeStatus::Waiting);
        if let (Some(node), Some(at), Some(code)) = (node, run.finished_at, text("code")) {
            self.at_once(node, at, NodeStatus::Failed);
            self.happened.nodes[node].error = Some(code.into());
        }
    }

    /// Nodes that had no turn before the graph ended.
    fn skipped(&mut self) {
        if self.happened.status.is_terminal() {
            let waiting = self.happened.nodes.iter_mut().filter(|node| node.status == NodeStatus::Waiting);
            waiting.for_each(|node| node.status = NodeStatus::Skipped);
        }
    }

    /// Whether a node's group is there and not decided, as far as the tree shows.
    fn is_spawned(&self, node: NodeIx, run: &RunView) -> bool {
        let undecided = run.groups.iter().filter(|group| group.status.is_none());
        let mut members = undecided.filter_map(|group| group.members.first());
        members.any(|member| self.node_of_run.get(&member.run_id) == Some(&node))
    }
}

/// The round of a loop that a run belongs to, from 1: after the first, the number is
/// part of its key, as in `parse#2` and `parse#2:7`.
pub(crate) fn round(run: &RunView) -> u32 {
    let key = run.spawn_key.as_deref().unwrap_or_default();
    let number = key.split_once('#').map(|(_, rest)| rest.split(':').next().unwrap_or_default());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Whether it is a call of one agent, which is a group of one to the kernel.
fn is_call(kind: &Kind) -> bool {
    matches!(kind, Kind::AgentCall { .. })
}

/// The join that waits for a node's group.
fn join_of(kind: &Kind) -> Option<NodeIx> {
    match kind {
        Kind::SpawnGroup { join, .. } | Kind::Map { join, .. } => join.node,
        Kind::SpawnRun { .. }
        | Kind::AgentCall { .. }
        | Kind::Join { .. }
        | Kind::Router(_)
        | Kind::Judge(_)
        | Kind::Replan(_)
        | Kind::CancelSubtree { .. }
        | Kind::Output(_) => None,
    }
}

fn of_run(status: RunStatus) -> NodeStatus {
    match status {
        RunStatus::Queued => NodeStatus::Waiting,
        RunStatus::Running | RunStatus::Paused => NodeStatus::Running,
        RunStatus::Completed => NodeStatus::Completed,
        RunStatus::Failed => NodeStatus::Failed,
        RunStatus::Cancelled => NodeStatus::Cancelled,
        RunStatus::TimedOut => NodeStatus::TimedOut,
    }
}

fn of_group(status: JoinStatus) -> NodeStatus {
    match status {
        JoinStatus::Completed | JoinStatus::CompletedWithErrors | JoinStatus::Empty => NodeStatus::Completed,
        JoinStatus::Failed => NodeStatus::Failed,
        JoinStatus::TimedOut => NodeStatus::TimedOut,
    }
}

fn handle_of(status: JoinStatus) -> &'static str {
    let [completed, with_errors, failed, timed_out] = JOIN_HANDLES;
    match status {
        JoinStatus::Completed | JoinStatus::Empty => completed,
        JoinStatus::CompletedWithErrors => with_errors,
        JoinStatus::Failed => failed,
        JoinStatus::TimedOut => timed_out,
    }
}

#[cfg(test)]
mod kernel;
#[cfg(test)]
mod tests;

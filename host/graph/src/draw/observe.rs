//! Observe: reads what happened to each node off the tree of a graph's run and off
//! its log.
//!
//! The runs of a node carry its id. What a join, a judge, a router and a replan have
//! decided is in the log, under the node's id; a join's is under that of its group.
//! Nodes that leave no trace there are in `observe/traceless.rs`.

mod traceless;

use std::collections::HashMap;
use std::sync::Arc;

use pleach_kernel::{
    Event, Fact, GroupId, JoinStatus, Payload, PluginVerdict, RunId, RunStatus, RunView, SuggestedAction, Timestamp,
};

use super::happened::{Happened, NodeHappened, NodeStatus};
use crate::plan::{DEFAULT_ROUTE, JOIN_HANDLES, JUDGE_HANDLES, Kind, NodeIx, Plan, REPLAN_HANDLES};
use crate::walk::REPLAN_ABORTED;

impl Happened {
    /// What became of a plan in `run`, which is the graph's own run with its
    /// children. `events` are those of its tree, in order; others than the graph's
    /// own are passed over.
    pub fn of<'a>(plan: &Plan, run: &'a RunView, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let nodes = vec![NodeHappened::default(); plan.nodes.len()];
        let happened = Self { status: run.status, started_at: run.started_at, finished_at: run.finished_at, nodes };
        let mut observer = Observer::new(plan, happened, run);
        observer.runs();
        observer.groups(run);
        for event in events.into_iter().filter(|event| event.run_id == run.run_id) {
            observer.event(event);
        }
        observer.joins();
        observer.traceless(run);
        observer.happened
    }
}

struct Observer<'a> {
    plan: &'a Plan,
    happened: Happened,
    /// The runs of each node, in the order of spawning.
    runs: Vec<Vec<&'a RunView>>,
    node_of_run: HashMap<RunId, NodeIx>,
    /// For a node that makes groups, its last one: what it was decided to be, if it
    /// is, and when.
    groups: HashMap<NodeIx, Group>,
    /// What the graph gave.
    output: Option<Payload>,
}

#[derive(Clone, Copy)]
struct Group {
    id: GroupId,
    status: Option<JoinStatus>,
    decided_at: Option<Timestamp>,
}

impl<'a> Observer<'a> {
    fn new(plan: &'a Plan, happened: Happened, run: &'a RunView) -> Self {
        let mut runs = vec![Vec::new(); plan.nodes.len()];
        let mut node_of_run = HashMap::with_capacity(run.children.len());
        for child in &run.children {
            if let Some(node) = child.parent_node_id.as_ref().and_then(|id| plan.find(id)) {
                runs[node].push(child);
                node_of_run.insert(child.run_id, node);
            }
        }
        Self { plan, happened, runs, node_of_run, groups: HashMap::new(), output: None }
    }

    fn runs(&mut self) {
        for (node, runs) in self.runs.iter().enumerate() {
            let Some(round) = runs.iter().map(|run| self::round(run)).max() else { continue };
            let last_round: Vec<&RunView> = runs.iter().filter(|run| self::round(run) == round).copied().collect();
            let status = match self.plan.nodes[node].kind.is_group() {
                true => of_members(&last_round),
                false => last_round.last().map_or(NodeStatus::Waiting, |run| of_run(run.status)),
            };
            let failed = last_round.iter().rev().find_map(|run| run.error.as_ref()).map(|error| error.code.clone());
            self.happened.nodes[node] = NodeHappened {
                status,
                handle: None,
                started_at: runs.iter().filter_map(|run| run.started_at).min(),
                finished_at: runs.iter().filter_map(|run| run.finished_at).max().filter(|_| status.is_done()),
                attempts: runs.iter().map(|run| run.attempt).max().unwrap_or(0),
                runs: runs.len() as u32,
                error: failed.filter(|_| status != NodeStatus::Completed),
            };
        }
    }

    /// The groups, by the node that made them: that of their members.
    fn groups(&mut self, run: &RunView) {
        for group in &run.groups {
            let member = group.members.first().map(|member| member.run_id);
            if let Some(node) = member.and_then(|run| self.node_of_run.get(&run)) {
                self.group(*node, Group { id: group.group_id, status: group.status, decided_at: None });
            }
        }
    }

    /// The group that was spawned last is the one of the last round.
    fn group(&mut self, node: NodeIx, group: Group) {
        let last = self.groups.entry(node).or_insert(group);
        if last.id <= group.id {
            *last = Group { decided_at: group.decided_at.or(last.decided_at), ..group };
        }
    }

    fn event(&mut self, event: &Event) {
        let named = event.node_id.as_ref().and_then(|id| self.plan.find(id));
        match &event.fact {
            Fact::JoinDecision(decision) => {
                if let Some(node) = named.filter(|node| self.plan.nodes[*node].kind.is_group()) {
                    let (id, status) = (decision.group_id, Some(decision.status));
                    self.group(node, Group { id, status, decided_at: Some(event.at) });
                }
            }
            Fact::RouteDecision(verdict) => self.verdict(event.at, named, verdict, "route"),
            Fact::JudgeVerdict(verdict) => self.verdict(event.at, named, verdict, "outcome"),
            Fact::ReplanDecision(decision) => {
                let is_replan = |node: &NodeIx| matches!(self.plan.nodes[*node].kind, Kind::Replan(_));
                let [replan, on] = REPLAN_HANDLES;
                let handle = match decision.suggested_action {
                    SuggestedAction::Replan => replan,
                    SuggestedAction::Continue => on,
                };
                let Some(node) = named.filter(is_replan) else { return };
                match decision.plan.as_ref().is_some_and(|plan| plan.aborted) {
                    true => self.failed(node, event.at, REPLAN_ABORTED.into()),
                    false => self.decided(node, event.at, handle),
                }
            }
            Fact::PolicyDeny(denial) => {
                let is_open = |node: &NodeIx| self.happened.nodes[*node].status != NodeStatus::Completed;
                if let Some(node) = named.filter(is_open) {
                    self.failed(node, event.at, denial.code.as_str().into());
                }
            }
            Fact::NodeFailure(failure) => {
                if let Some(node) = named {
                    self.failed(node, event.at, failure.error.code.clone());
                }
            }
            Fact::CancellationPropagation(_) => {
                let cancels = |node: &NodeIx| matches!(self.plan.nodes[*node].kind, Kind::CancelSubtree { .. });
                if let Some(node) = named.filter(cancels) {
                    self.at_once(node, event.at, NodeStatus::Completed);
                }
            }
            // What these say of a node is in the tree already.
            Fact::ChildLifecycle(life) => self.output = life.output.clone().or(self.output.take()),
            Fact::SpawnDecision(_) | Fact::Progress(_) | Fact::Budget(_) => {}
        }
    }

    /// What a plugin, or an expression in its place, has answered. A judge that gave
    /// no answer has judged `fail`.
    fn verdict(&mut self, at: Timestamp, named: Option<NodeIx>, verdict: &PluginVerdict, field: &str) {
        let Some(node) = named.or_else(|| self.node_of_run.get(&verdict.run_id).copied()) else { return };
        let answer = verdict.answer.as_ref().and_then(|answer| serde_json::from_str(answer.as_str()).ok());
        let chosen = answer.as_ref().and_then(|answer: &serde_json::Value| answer.get(field)?.as_str());
        match (&self.plan.nodes[node].kind, chosen) {
            (Kind::Judge(_), chosen) => self.decided(node, at, chosen.unwrap_or(JUDGE_HANDLES[1])),
            (Kind::Router(_), Some(chosen)) => self.decided(node, at, chosen),
            _ => {}
        }
        if let Some(error) = &verdict.error {
            self.happened.nodes[node].error = Some(error.code.clone());
        }
    }

    /// A node with handles went on from one of them.
    fn decided(&mut self, node: NodeIx, at: Timestamp, handle: &str) {
        let handles = &self.plan.nodes[node].handles;
        let place = |name: &str| handles.iter().position(|handle| **handle == *name);
        let handle = place(handle).or_else(|| place(DEFAULT_ROUTE));
        self.at_once(node, at, NodeStatus::Completed);
        self.happened.nodes[node].handle = handle;
    }

    /// A node has failed by itself, or was refused: in its last round, if it has spawned
    /// nothing since.
    fn failed(&mut self, node: NodeIx, at: Timestamp, code: Arc<str>) {
        if self.runs[node].iter().all(|run| run.created_at <= at) {
            self.at_once(node, at, NodeStatus::Failed);
            self.happened.nodes[node].error = Some(code);
        }
    }

    /// A node was done at an instant, unless its runs say how long it took.
    fn at_once(&mut self, node: NodeIx, at: Timestamp, status: NodeStatus) {
        let happened = &mut self.happened.nodes[node];
        happened.status = status;
        happened.started_at.get_or_insert(at);
        happened.finished_at = happened.finished_at.max(Some(at));
    }

    /// A join is done when its group is decided, whatever the members do after that.
    fn joins(&mut self) {
        for (node, group) in std::mem::take(&mut self.groups) {
            if let Some(status) = group.status {
                let (status, decided_at) = (of_group(status), group.decided_at);
                let happened = &mut self.happened.nodes[node];
                // It is done when it is decided: members that are cancelled then hold
                // nothing up. An empty group has no members to tell when it was.
                let at = decided_at.or(happened.finished_at);
                happened.status = status;
                happened.started_at = happened.started_at.or(at);
                happened.finished_at = at;
                if status == NodeStatus::Completed {
                    happened.error = None;
                }
            }
            let Some(join) = join_of(&self.plan.nodes[node].kind) else { continue };
            match group.status {
                Some(status) => {
                    let at = group.decided_at.or(self.happened.nodes[node].finished_at);
                    if let Some(at) = at.or(self.happened.started_at) {
                        self.decided(join, at, handle_of(status));
                    }
                }
                None if self.happened.status.is_terminal() => {}
                None => self.happened.nodes[join].status = NodeStatus::Running,
            }
        }
    }
}

/// The round of a loop that a run belongs to, from 1: after the first, the number is
/// part of its key, as in `parse#2` and `parse#2:7`.
pub(crate) fn round(run: &RunView) -> u32 {
    let key = run.spawn_key.as_deref().unwrap_or_default();
    let number = key.split_once('#').map(|(_, rest)| rest.split(':').next().unwrap_or_default());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
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

/// How a group stands that is not decided: as whatever of its members is furthest
/// from an end, and else as well as the best of them.
fn of_members(runs: &[&RunView]) -> NodeStatus {
    let is = |wanted: RunStatus| runs.iter().any(|run| run.status == wanted);
    match runs.iter().all(|run| run.status.is_terminal()) {
        false if runs.iter().all(|run| run.status == RunStatus::Queued) => NodeStatus::Waiting,
        false => NodeStatus::Running,
        true if is(RunStatus::Completed) => NodeStatus::Completed,
        true if is(RunStatus::Failed) => NodeStatus::Failed,
        true if is(RunStatus::TimedOut) => NodeStatus::TimedOut,
        true => NodeStatus::Cancelled,
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

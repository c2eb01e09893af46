//! Gathered: what the log of a graph's tree says of its nodes beside what the tree
//! shows: outputs, failed tries, refusals, and what all of it has spent.

use std::collections::{HashMap, HashSet};

use pleach_kernel::{ChildLifecycle, Event, Fact, Payload, RunId, RunView, Step, Usage};

use super::{Cost, TaskError};
use crate::plan::{NodeIx, Plan};

/// The most errors of one task that are told; further ones are counted.
const MAX_ERRORS: usize = 100;

/// All of it.
pub(super) struct Gathered<'a> {
    /// The runs of each node, in the order of spawning.
    pub runs: Vec<Vec<&'a RunView>>,
    /// Of the graph's own run and of its children.
    pub outputs: HashMap<RunId, Payload>,
    /// By node, and how many more there were.
    pub errors: HashMap<NodeIx, (Vec<TaskError>, u32)>,
    /// Runs that were asked for a plan: what they answer is none of the graph's results.
    pub planners: HashSet<RunId>,
    node_of_run: HashMap<RunId, NodeIx>,
    /// The graph's run and all below it.
    below: HashSet<RunId>,
    spent: Usage,
}

impl<'a> Gathered<'a> {
    pub(super) fn of(plan: &Plan, run: &'a RunView, events: &[Event]) -> Self {
        let mut gathered = Self {
            runs: vec![Vec::new(); plan.nodes.len()],
            outputs: HashMap::new(),
            errors: HashMap::new(),
            planners: HashSet::new(),
            node_of_run: HashMap::with_capacity(run.children.len()),
            below: HashSet::from([run.run_id]),
            spent: Usage::default(),
        };
        for child in &run.children {
            if let Some(node) = child.parent_node_id.as_ref().and_then(|id| plan.find(id)) {
                gathered.runs[node].push(child);
                gathered.node_of_run.insert(child.run_id, node);
            }
        }
        for event in events {
            gathered.event(plan, run.run_id, event);
        }
        gathered
    }

    pub(super) fn cost(&self) -> Cost {
        let Usage { tokens, cost_microusd, cpu_us, host_calls, wall_ms: _ } = self.spent;
        Cost { tokens, cost_microusd, cpu_ms: cpu_us / 1_000, host_calls }
    }

    pub(super) fn error(&mut self, node: NodeIx, error: TaskError) {
        let (told, omitted) = self.errors.entry(node).or_default();
        if told.len() < MAX_ERRORS {
            told.push(error);
        } else {
            *omitted += 1;
        }
    }

    fn event(&mut self, plan: &Plan, graph: RunId, event: &Event) {
        match &event.fact {
            Fact::SpawnDecision(decision) => {
                if self.below.contains(&event.run_id) {
                    self.below.extend(&decision.spawned_run_ids);
                    if decision.replans.is_some() {
                        self.planners.extend(&decision.spawned_run_ids);
                    }
                }
            }
            Fact::ChildLifecycle(life) if self.below.contains(&life.child_run_id) => {
                self.spent.add(&life.usage.unwrap_or_default());
                self.life(graph, life);
            }
            Fact::Budget(moved) if self.below.contains(&event.run_id) => self.spent.add(&moved.spent),
            Fact::PolicyDeny(denial) if event.run_id == graph => {
                let named = event.node_id.as_ref().and_then(|id| plan.find(id));
                if let Some(node) = named {
                    let (code, message) = (denial.code.as_str().into(), denial.message.clone());
                    self.error(node, TaskError { code, message, run_id: None, attempt: None });
                }
            }
            Fact::NodeFailure(failure) if event.run_id == graph => {
                let named = event.node_id.as_ref().and_then(|id| plan.find(id));
                if let Some(node) = named {
                    let (code, message) = (failure.error.code.clone(), failure.error.message.clone());
                    self.error(node, TaskError { code, message, run_id: None, attempt: None });
                }
            }
            Fact::ChildLifecycle(_)
            | Fact::Budget(_)
            | Fact::PolicyDeny(_)
            | Fact::NodeFailure(_)
            | Fact::NodeCompletion(_)
            | Fact::JoinDecision(_)
            | Fact::CancellationPropagation(_)
            | Fact::RouteDecision(_)
            | Fact::JudgeVerdict(_)
            | Fact::ReplanDecision(_)
            | Fact::Progress(_) => {}
        }
    }

    fn life(&mut self, graph: RunId, life: &ChildLifecycle) {
        let (run, attempt) = (life.child_run_id, life.attempt);
        let node = self.node_of_run.get(&run).copied();
        if let Some(output) = life.output.as_ref().filter(|_| life.status == Step::Completed)
            && (node.is_some() || run == graph)
        {
            self.outputs.insert(run, output.clone());
        }
        let Some(node) = node else { return };
        let (code, message) = match (life.status, &life.error) {
            (Step::Retrying | Step::Failed, Some(error)) => (error.code.clone(), error.message.clone()),
            (Step::TimedOut, _) => ("timed_out".into(), "the run took too long".to_owned()),
            (
                Step::Queued
                | Step::Started
                | Step::Paused
                | Step::Resumed
                | Step::Closing
                | Step::Retrying
                | Step::Completed
                | Step::Failed
                | Step::Cancelled,
                _,
            ) => return,
        };
        self.error(node, TaskError { code, message, run_id: Some(run), attempt: Some(attempt) });
    }
}

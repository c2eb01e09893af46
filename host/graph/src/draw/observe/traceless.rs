//! Traceless: nodes that leave nothing in the log, as an output does, and a cancel
//! that found nothing to cancel. One was reached if a way to it was taken.

use pleach_kernel::{RunStatus, RunView, Timestamp};

use super::Observer;
use crate::draw::happened::NodeStatus;
use crate::plan::{Kind, NodeIx};

impl Observer<'_> {
    /// Nodes of which nothing is known: their turn has not come, or never did, or
    /// they leave no trace.
    pub(super) fn traceless(&mut self, run: &RunView) {
        if !run.status.is_terminal() {
            return;
        }
        let mut skips = vec![Skip::No; self.plan.nodes.len()];
        for node in std::mem::take(&mut self.order) {
            if self.happened.nodes[node].status != NodeStatus::Waiting {
                continue;
            }
            let skip = match self.reached(node, &skips) {
                Ok(at) => match self.unseen(node, run) {
                    Some(status) => {
                        self.at_once(node, at, status);
                        if status == NodeStatus::Failed {
                            self.happened.nodes[node].error = run.error.as_ref().map(|error| error.code.clone());
                        }
                        continue;
                    }
                    None => Skip::TooLate,
                },
                Err(skip) => skip,
            };
            skips[node] = skip;
            self.happened.nodes[node].status = NodeStatus::Skipped;
        }
        match run.status {
            RunStatus::Completed => self.outputs(),
            RunStatus::Failed => self.failing(run),
            _ => {}
        }
    }

    /// The output that has failed the graph where a condition held: if it is the only one
    /// with the error's code that can have been reached.
    fn failing(&mut self, run: &RunView) {
        let Some(error) = &run.error else { return };
        let is_it = |node: &NodeIx| match &self.plan.nodes[*node].kind {
            Kind::Output(output) => output.error.as_ref().is_some_and(|failing| failing.code == error.code),
            _ => false,
        };
        let of_code: Vec<NodeIx> = (0..self.plan.nodes.len()).filter(is_it).collect();
        let is_known = of_code.iter().any(|node| self.happened.nodes[*node].status == NodeStatus::Failed);
        let may_be = of_code.iter().filter_map(|node| Some((*node, self.reached_at(*node)?)));
        if let (false, [(node, at)]) = (is_known, may_be.collect::<Vec<_>>().as_slice()) {
            self.at_once(*node, *at, NodeStatus::Failed);
            self.happened.nodes[*node].error = Some(error.code.clone());
        }
    }

    /// When a node was reached, if the conditions of the edges to it held.
    fn reached_at(&self, node: NodeIx) -> Option<Timestamp> {
        let edges = self.plan.nodes[node].incoming.iter().map(|edge| &self.plan.edges[*edge]);
        let taken = edges.filter(|edge| self.happened.may_be_taken(self.plan, edge));
        taken.filter_map(|edge| self.happened.nodes[edge.from].finished_at).max()
    }

    /// Whether it came to be a node's turn before the graph ended: each edge to it is
    /// settled, and one at least was taken; see `walk.rs`.
    fn reached(&self, node: NodeIx, skips: &[Skip]) -> Result<Timestamp, Skip> {
        let (plan, loops) = (self.plan, self.plan.loops());
        let mut edges = plan.nodes[node].incoming.iter().filter(|edge| !loops.is_back(**edge)).peekable();
        let (mut is_poisoned, mut is_open) = (false, false);
        let mut taken_at = self.happened.started_at.filter(|_| edges.peek().is_none());
        for edge in edges.map(|edge| &plan.edges[*edge]) {
            let from = &self.happened.nodes[edge.from];
            if plan.nodes[edge.from].kind.is_group() && self.happened.is_over(plan, edge.from) {
                taken_at = taken_at.max(from.started_at);
                continue;
            }
            let is_late = self.last_round(edge.from).iter().any(|run| self.late.contains(&run.run_id));
            match (from.status, skips[edge.from]) {
                (NodeStatus::Waiting | NodeStatus::Running, _) | (NodeStatus::Skipped, Skip::TooLate) => is_open = true,
                _ if is_late => is_open = true,
                (NodeStatus::Failed | NodeStatus::TimedOut, _) | (NodeStatus::Skipped, Skip::Poisoned) => {
                    is_poisoned = true;
                }
                (NodeStatus::Completed, _) if self.happened.is_taken(plan, edge) => {
                    taken_at = taken_at.max(from.finished_at);
                }
                (NodeStatus::Completed | NodeStatus::Cancelled | NodeStatus::Skipped, _) => {}
            }
        }
        // A replan is there for failures.
        is_poisoned &= !matches!(plan.nodes[node].kind, Kind::Replan(_));
        match taken_at {
            _ if is_open => Err(Skip::TooLate),
            _ if is_poisoned => Err(Skip::Poisoned),
            Some(at) => Ok(at),
            None => Err(Skip::No),
        }
    }

    /// Outputs that were reached where a condition held. That shows in what the graph
    /// gave: of several outputs, a map by their ids; of one, its value, which does not
    /// tell whose it is unless there is only one that it can be.
    fn outputs(&mut self) {
        let (plan, happened) = (self.plan, &self.happened);
        let is_output =
            |node: &NodeIx| matches!(&plan.nodes[*node].kind, Kind::Output(output) if output.error.is_none());
        let outputs: Vec<NodeIx> = (0..plan.nodes.len()).filter(is_output).collect();
        let is_known = |node: &NodeIx| happened.nodes[*node].status == NodeStatus::Completed;
        let may_be: Vec<(NodeIx, Timestamp)> = outputs
            .iter()
            .filter(|node| !is_known(node))
            .filter_map(|node| Some((*node, self.reached_at(*node)?)))
            .collect();
        let known = outputs.iter().filter(|node| is_known(node)).count();
        let given = self.output.as_ref().and_then(|output| serde_json::from_str(output.as_str()).ok());
        let names = match &given {
            Some(serde_json::Value::Object(fields)) if fields.len() > 1 => {
                let is_of_one = |name: &String| outputs.iter().any(|node| *plan.nodes[*node].id == **name);
                Some(fields).filter(|fields| fields.keys().all(is_of_one))
            }
            _ => None,
        };
        let is_reached = |node: NodeIx| match names {
            Some(names) => names.contains_key(&*plan.nodes[node].id),
            None => known == 0 && may_be.len() == 1,
        };
        let reached: Vec<(NodeIx, Timestamp)> = may_be.iter().copied().filter(|(node, _)| is_reached(*node)).collect();
        for (node, at) in reached {
            self.at_once(node, at, NodeStatus::Completed);
        }
    }

    /// What a node that was reached has come to, in a run that has ended, if it is of
    /// those that leave no trace: an output, or a cancel that found nothing to cancel. An
    /// output that fails the graph is known by the error that the graph failed with.
    fn unseen(&self, node: NodeIx, run: &RunView) -> Option<NodeStatus> {
        let output = match &self.plan.nodes[node].kind {
            Kind::Output(output) => output,
            Kind::CancelSubtree { .. } => return Some(NodeStatus::Completed),
            Kind::SpawnRun { .. }
            | Kind::AgentCall { .. }
            | Kind::SpawnGroup { .. }
            | Kind::Map { .. }
            | Kind::Join { .. }
            | Kind::Router(_)
            | Kind::Judge(_)
            | Kind::Replan(_) => return None,
        };
        let code = run.error.as_ref().map(|error| &error.code);
        match (&output.error, run.status) {
            (None, RunStatus::Completed | RunStatus::Failed) => Some(NodeStatus::Completed),
            (Some(failing), RunStatus::Failed) if code == Some(&failing.code) => Some(NodeStatus::Failed),
            _ => None,
        }
    }
}

/// Why a node had no turn.
#[derive(Clone, Copy)]
enum Skip {
    /// Its turn was never to come, or it had one.
    No,
    /// Something before it has failed.
    Poisoned,
    /// The graph had ended before that was known.
    TooLate,
}

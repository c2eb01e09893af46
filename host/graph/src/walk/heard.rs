//! Heard: what was answered, and what has ended.

use std::sync::Arc;

use pleach_kernel::{
    EndedRun, Evaluation, GroupId, JoinResult, JoinStatus, MemberOutcome, NodeVerdict, Notice, Payload, ReplanNode,
    RunError, RunId, RunStatus,
};
use serde_json::{Value as Json, json};

use super::start::payload;
use super::{Ask, REPLAN_ABORTED, Status, Walk};
use crate::plan::{JOIN_HANDLES, Kind, NodeIx};

/// How a node ended up that waited for a run or for a group.
enum Came {
    Output(Payload),
    Failed(Status, RunError),
    Cancelled,
}

/// What a group was decided as.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    /// The handle of its join, by its place.
    handle: usize,
    reason: Arc<str>,
    /// What its join gives.
    output: Result<Payload, RunError>,
}

impl Decided {
    fn of(result: &Json) -> Self {
        let text = |field: &str| result[field].as_str().unwrap_or_default();
        let handle = match text("status") {
            "empty" => 0,
            status => JOIN_HANDLES.iter().position(|handle| *handle == status).unwrap_or(2),
        };
        Self { handle, reason: text("reason").into(), output: long(result) }
    }
}

impl Walk {
    /// The kernel refused what a node has asked for.
    pub fn refused(&mut self, node: NodeIx, error: RunError) {
        self.pending.remove(&node);
        match self.states[node].group.is_some() && matches!(self.plan.nodes[node].kind, Kind::Map { .. }) {
            true => self.give_up_map(node, error),
            false => self.fail_itself(node, Status::Failed, error),
        }
    }

    /// A run was spawned for a node.
    pub fn spawned(&mut self, node: NodeIx, run: RunId) {
        self.states[node].runs = vec![run];
        self.by_run.insert(run, self.listener(node));
        if let Kind::SpawnRun { wait: false, .. } = &self.plan.nodes[node].kind {
            let output = payload(&json!({"run_id": run.to_string()}));
            self.gave(node, output, None);
        }
        self.hear_early(run);
    }

    /// A group was spawned for a node.
    pub fn grouped(&mut self, node: NodeIx, group: GroupId, runs: Vec<RunId>) {
        self.by_group.insert(group, node);
        for run in &runs {
            self.by_run.insert(*run, self.listener(node));
        }
        let listed =
            json!({"group_id": group.to_string(), "run_ids": runs.iter().map(RunId::to_string).collect::<Vec<_>>()});
        self.states[node].runs = runs.clone();
        self.keep_group(node, group);
        if !matches!(self.plan.nodes[node].kind, Kind::AgentCall { .. }) {
            self.gave(node, payload(&listed), None);
        }
        for run in runs {
            self.hear_early(run);
        }
        if let Some(result) = self.early_groups.remove(&group) {
            self.hear_group(*result);
        }
    }

    /// Members were added to a map's group.
    pub fn extended(&mut self, node: NodeIx, runs: Vec<RunId>) {
        for run in &runs {
            self.by_run.insert(*run, self.listener(node));
        }
        self.states[node].runs.extend(&runs);
        for run in runs {
            self.hear_early(run);
        }
    }

    /// What a `cancel_subtree` has cancelled.
    pub fn cancelled(&mut self, node: NodeIx, count: u32) {
        self.verdicts.push((node, NodeVerdict::Completed));
        self.gave(node, payload(&json!({"cancelled_count": count})), None);
    }

    /// A node is done if what it gives can be told.
    fn gave(&mut self, node: NodeIx, output: Result<Payload, RunError>, handle: Option<usize>) {
        match output {
            Ok(output) => self.done(node, output, handle),
            Err(error) => self.fail_untold(node, error),
        }
    }

    /// A replanner was asked, and the replan waits for it.
    pub fn planning(&mut self, node: NodeIx, planner: RunId, about: Arc<ReplanNode>) {
        self.by_run.insert(planner, self.listener(node));
        self.planners.insert(planner, about);
        self.hear_early(planner);
    }

    /// Failed runs were looked at.
    pub fn evaluated(&mut self, node: NodeIx, evaluation: Evaluation) {
        if !self.is_running(node) {
            return; // Another replan has sent it round again.
        }
        let aborted = evaluation.plan.as_ref().is_some_and(|plan| plan.aborted);
        if aborted {
            let why = evaluation.plan.as_ref().map_or(String::new(), |plan| plan.rationale.clone());
            return self.fail_itself(node, Status::Failed, RunError::new(REPLAN_ABORTED, why));
        }
        let group = evaluation.plan.as_ref().and_then(|plan| plan.group_id);
        for step in evaluation.plan.iter().flat_map(|plan| &plan.steps) {
            // An accepted failure is none; one that is tried again is another run's.
            if step.denied.is_none() && matches!(&*step.action, "accept" | "retry") {
                for run in step.run_id.iter().filter(|_| &*step.action == "accept").chain(&step.replaces) {
                    self.ended.insert(*run, None);
                }
            }
        }
        let action = if evaluation.needs_replan { "replan" } else { "continue" };
        let mut answer = json!({
            "action": action,
            "failed": evaluation.counts.failed,
            "completed": evaluation.counts.completed,
            "replans_used": evaluation.replans_used,
            "max_replans": evaluation.max_replans,
        });
        if let Some(reason) = &evaluation.reason {
            answer["reason"] = json!(&**reason);
        }
        if let Some(plan) = &evaluation.plan {
            answer["plan"] = json!(plan);
        }
        match group {
            // The runs of the plan come first.
            Some(group) => {
                self.plans.insert(group, (self.states[node].iteration, answer));
                self.by_group.insert(group, node);
                if let Some(result) = self.early_groups.remove(&group) {
                    self.hear_group(*result);
                }
            }
            None => self.gave(node, payload(&answer), Some(usize::from(!evaluation.needs_replan))),
        }
    }

    /// The runs of a plan have ended: what they gave is what came of it.
    fn planned(&mut self, node: NodeIx, mut answer: Json, result: &JoinResult) {
        let mut of_plan = Self::result_of(result);
        for field in ["outputs", "values"] {
            answer[field] = of_plan[field].take();
        }
        let output = long(&answer);
        self.gave(node, output, Some(super::loops::REPLAN));
    }

    /// Something has ended.
    pub fn hear(&mut self, notice: Notice) {
        match notice {
            Notice::Run(run) => match self.by_run.contains_key(&run.run_id) {
                true => self.hear_run(*run),
                // Its spawn is not answered yet: this is another try of the graph's run.
                false => drop(self.early_runs.insert(run.run_id, run)),
            },
            Notice::Group(group) => match self.by_group.contains_key(&group.group_id) {
                true => self.hear_group(*group),
                false => drop(self.early_groups.insert(group.group_id, group)),
            },
        }
    }

    fn hear_early(&mut self, run: RunId) {
        if let Some(ended) = self.early_runs.remove(&run) {
            self.hear_run(*ended);
        }
    }

    fn hear_run(&mut self, ended: EndedRun) {
        let Some(listener) = self.by_run.remove(&ended.run_id) else { return };
        self.note_end(ended.run_id, ended.status);
        let node = listener.node;
        if listener.iteration != self.states[node].iteration {
            return;
        }
        if let Some((of, _)) = ended.member {
            let Some(group) = self.states[node].group.as_mut().filter(|group| group.id == of) else { return };
            group.free += 1;
            // All that has ended by now makes room at once.
            if !self.extendable.contains(&node) {
                self.extendable.push(node);
            }
            return;
        }
        if let Some(about) = self.planners.remove(&ended.run_id) {
            if !self.is_running(node) {
                return; // Another replan has sent it round again.
            }
            return self.asks.push_back(Ask::TakePlan { node, planner: ended.run_id, about });
        }
        if !self.is_running(node) {
            return; // Nobody waits for it.
        }
        let came = came(ended.status, ended.output, ended.error);
        self.settle_run(node, came);
    }

    fn is_running(&self, node: NodeIx) -> bool {
        self.states[node].status == Status::Running
    }

    fn settle_run(&mut self, node: NodeIx, came: Came) {
        let plan = self.plan.clone();
        match (came, &plan.nodes[node].kind) {
            (Came::Output(output), Kind::Router(router)) => {
                let route = field(&output, "route");
                let known = plan.nodes[node].handles.iter().position(|handle| Some(&**handle) == route.as_deref());
                self.done(node, output, Some(known.unwrap_or(router.equals.len())));
            }
            (Came::Output(output), Kind::Judge(_)) => {
                let passes = field(&output, "outcome").as_deref() == Some("pass");
                self.done(node, output, Some(usize::from(!passes)));
            }
            // A judge that fails has judged.
            (Came::Failed(_, error), Kind::Judge(_)) => {
                let rationale = format!("the judge failed: {}: {}", error.code, error.message);
                self.gave(node, payload(&json!({"outcome": "fail", "rationale": rationale})), Some(1));
            }
            (Came::Output(output), _) => self.done(node, output, None),
            (Came::Failed(status, error), _) => self.fail(node, status, error),
            (Came::Cancelled, _) => self.skip(node, Status::Cancelled, super::Way::Dead),
        }
    }

    fn hear_group(&mut self, result: JoinResult) {
        let Some(node) = self.by_group.remove(&result.group_id) else { return };
        for member in &result.outputs {
            self.by_run.remove(&member.run_id);
            self.note_end(member.run_id, member.status);
        }
        if let Some((iteration, answer)) = self.plans.remove(&result.group_id) {
            // Unless another replan has sent it round again.
            if iteration == self.states[node].iteration && self.is_running(node) {
                self.planned(node, answer, &result);
            }
            return;
        }
        // Nor is a group of an earlier round what anybody waits for.
        if self.states[node].group.as_ref().is_none_or(|group| group.id != result.group_id) {
            return;
        }
        if let Kind::AgentCall { .. } = self.plan.nodes[node].kind {
            if result.status == JoinStatus::TimedOut {
                // Its run was cancelled for that, and has not failed.
                let error = RunError::new("timed_out", "the call took longer than its timeout");
                return self.fail_itself(node, Status::TimedOut, error);
            }
            let came = match result.outputs.into_iter().next() {
                Some(MemberOutcome { status, output, error, .. }) => came(status, output, error),
                None => Came::Cancelled,
            };
            return self.settle_run(node, came);
        }
        let decided = Decided::of(&Self::result_of(&result));
        self.decide_group(node, decided);
    }

    /// A join's result, and the outputs of those that completed.
    fn result_of(result: &JoinResult) -> Json {
        let mut json = serde_json::to_value(result).unwrap_or_default();
        let completed = result.outputs.iter().filter_map(|member| member.output.as_ref());
        let values = completed.map(|output| serde_json::from_str::<Json>(output.as_str()).unwrap_or_default());
        json["values"] = values.collect();
        json
    }

    /// What a join waited for is decided.
    pub(super) fn joined(&mut self, join: NodeIx, decided: Decided) {
        let Decided { handle, reason, output } = decided;
        let output = match output {
            Ok(output) => output,
            Err(error) => return self.fail_untold(join, error),
        };
        // Where nothing comes after it, nobody but the graph can take note.
        if self.plan.nodes[join].outgoing.is_empty() && handle >= 2 {
            let (status, code) =
                if handle == 3 { (Status::TimedOut, "timed_out") } else { (Status::Failed, "join_failed") };
            return self.fail(
                join,
                status,
                RunError::new(code, format!("the join was decided as {}: {reason}", JOIN_HANDLES[handle])),
            );
        }
        self.done(join, output, Some(handle));
    }

    /// A map cannot go on.
    pub(super) fn give_up_map(&mut self, node: NodeIx, error: RunError) {
        self.states[node].failed_itself = true;
        self.give_up_group(node);
        self.note_failure(node, &error);
    }

    /// A map gets no further members, although it may have been to have some: the kernel
    /// would wait for them as long as the join may take.
    pub(super) fn give_up_group(&mut self, node: NodeIx) {
        if !matches!(self.plan.nodes[node].kind, Kind::Map { .. }) {
            return;
        }
        if let Some(group) = self.states[node].group.as_mut().filter(|group| group.decided.is_none()) {
            group.rest.clear();
            self.asks.push_back(Ask::GiveUp { node, group: group.id });
        }
    }

    /// The group of a node is decided, for whoever joins it now or later.
    fn decide_group(&mut self, node: NodeIx, decided: Decided) {
        let state = &mut self.states[node];
        if let Some(group) = &mut state.group {
            group.rest.clear();
            group.decided = Some(decided.clone());
        }
        if let Some(join) = state.awaited_by.take() {
            self.joined(join, decided);
        }
    }

    fn note_end(&mut self, run: RunId, status: RunStatus) {
        let succeeded = match status {
            RunStatus::Completed => Some(true),
            RunStatus::Failed | RunStatus::TimedOut => Some(false),
            RunStatus::Cancelled | RunStatus::Queued | RunStatus::Running | RunStatus::Paused => None,
        };
        self.ended.entry(run).or_insert(succeeded);
    }
}

fn came(status: RunStatus, output: Option<Payload>, error: Option<RunError>) -> Came {
    let unknown = || RunError::new("host_failure", "the log does not say why");
    match status {
        RunStatus::Completed => Came::Output(output.unwrap_or_else(Payload::null)),
        RunStatus::TimedOut => Came::Failed(Status::TimedOut, error.unwrap_or_else(unknown)),
        RunStatus::Cancelled => Came::Cancelled,
        RunStatus::Failed | RunStatus::Queued | RunStatus::Running | RunStatus::Paused => {
            Came::Failed(Status::Failed, error.unwrap_or_else(unknown))
        }
    }
}

/// An output that only expressions see: it may be longer than what an agent is given.
fn long(output: &Json) -> Result<Payload, RunError> {
    let raw = serde_json::value::to_raw_value(output);
    raw.map(Payload::from_log).map_err(|error| RunError::new("output_too_large", error.to_string()))
}

/// One field of an output, where it is text.
fn field(output: &Payload, name: &str) -> Option<String> {
    let json: Json = serde_json::from_str(output.as_str()).ok()?;
    json.get(name)?.as_str().map(str::to_owned)
}

//! Calls: what guests ask of the kernel.

use std::sync::Arc;

use pleach_kernel::{
    Action, Caller, Code, Denial, Evaluate, Evaluation, JoinAnswer, JoinPolicy, Payload, Plan, Planned, Query,
    Replanning, RunId, RunStatus, Spawn, SpawnGroup, SpawnRequest, Surface,
};
use pleach_sandbox::{Call, CallError, FailureCode, Reply};

use super::Driver;
use super::waiting::{Answer, Joiner, only_member};

/// How long an agent call takes at most where it does not say.
const AGENT_CALL_TIMEOUT_MS: u64 = 60_000;

impl Driver {
    pub(super) fn guest_call(&mut self, run: RunId, call: Call) {
        if self.broken.is_some() {
            return; // The reply is dropped, and the guest is being stopped.
        }
        let now = self.shared.clock.now();
        match call {
            Call::SpawnRun { request, call_index, reply } => {
                let spawn = self.resolved(request);
                self.note_queue();
                let answer = self.tree.spawn_run(now, run, Surface::Guest, spawn, call_index);
                self.answers.push(Answer::Spawned(reply, Box::new(answer.map_err(CallError::Denied))));
            }
            Call::SpawnGroup { members, key_prefix, join, call_index, reply } => {
                self.note_queue();
                let members = members.into_iter().map(|member| self.resolved(member)).collect();
                let group = SpawnGroup { members, key_prefix, join, node_id: None };
                let answer = self.tree.spawn_group(now, run, Surface::Guest, group, call_index);
                self.answers.push(Answer::Grouped(reply, answer.map_err(CallError::Denied)));
            }
            Call::Join { group, reply } => match self.tree.join(now, Caller::Run(run), Surface::Guest, group) {
                Ok(JoinAnswer::Decided(result)) => self.answers.push(Answer::Joined(reply, Ok(*result))),
                Ok(JoinAnswer::Waiting) => self.waiting.join(run, group, Joiner::Join(reply)),
                Err(denial) => self.answers.push(Answer::Joined(reply, Err(CallError::Denied(denial)))),
            },
            Call::AgentCall { request, call_index, reply } => self.agent_call(run, request, call_index, reply),
            Call::Cancel { request, reply } => {
                let answer = self.tree.cancel_subtree(now, Caller::Run(run), Surface::Guest, &request);
                self.answers.push(Answer::GuestCancelled(reply, answer.map_err(CallError::Denied)));
            }
            Call::Evaluate { run_id, replanner, config, reply } => {
                let replanner = replanner.map(|target| {
                    let resolution = self.shared.registry.resolve(self.tree.tenant(), &target);
                    (target, resolution)
                });
                let ask = Evaluate { run_id, replanner, config };
                match self.tree.evaluate(now, run, Surface::Guest, ask) {
                    Ok(Replanning::Answered(answer)) => self.answers.push(Answer::Evaluated(reply, Ok(*answer))),
                    Ok(Replanning::Asked { planner, of }) => {
                        self.waiting.plan(run, planner, of, reply);
                    }
                    Err(denial) => self.answers.push(Answer::Evaluated(reply, Err(CallError::Denied(denial)))),
                }
            }
            Call::Query { query, reply } => {
                let answer = self.query(run, &query);
                self.answers.push(Answer::Queried(reply, answer));
            }
            Call::RemainingBudget { reply } => {
                let left = self.pools.remaining(&self.tree, run);
                self.answers.push(Answer::Budget(reply, left));
            }
            Call::Progress(progress) => self.tree.record_progress(now, run, progress),
            Call::Deny { denial } => self.tree.record_denial(now, run, denial),
        }
    }

    /// Takes note of how much of its queue quota the tenant has in use, for the
    /// seventh check of the spawn that follows.
    fn note_queue(&mut self) {
        if self.tree.policy().quotas.max_queued.is_some() {
            let now = self.tree.ready_count() as u64;
            let used = self.shared.dispatcher.queued(&self.mailbox.tenant, self.queued_runs, now);
            self.queued_runs = now;
            self.tree.set_queued(used);
        }
    }

    fn resolved(&self, request: SpawnRequest) -> Spawn {
        let resolution = self.shared.registry.resolve(self.tree.tenant(), &request.target);
        Spawn::new(request, resolution)
    }

    /// A group of one, joined.
    fn agent_call(
        &mut self,
        run: RunId,
        mut request: SpawnRequest,
        call_index: u32,
        reply: Reply<pleach_kernel::MemberOutcome>,
    ) {
        let now = self.shared.clock.now();
        let timeout_ms = request.timeout_ms.take().unwrap_or(AGENT_CALL_TIMEOUT_MS);
        let key_prefix = request.spawn_key.take();
        self.note_queue();
        let group = SpawnGroup {
            members: vec![self.resolved(request)],
            key_prefix,
            join: JoinPolicy { timeout_ms: Some(timeout_ms), ..JoinPolicy::default() },
            node_id: None,
        };
        match self.tree.spawn_group(now, run, Surface::Guest, group, call_index) {
            Ok(spawned) => match self.tree.join_result(spawned.group_id) {
                Some(result) => self.answers.push(Answer::Called(reply, Ok(only_member(&result)))),
                None => {
                    self.waiting.join(run, spawned.group_id, Joiner::Call(reply));
                }
            },
            Err(denial) => self.answers.push(Answer::Called(reply, Err(CallError::Denied(denial)))),
        }
    }

    fn query(&mut self, run: RunId, query: &Query) -> Result<Payload, CallError> {
        let now = self.shared.clock.now();
        let view = self.tree.query(now, Caller::Run(run), Surface::Guest, query).map_err(CallError::Denied)?;
        Payload::of(&view).map_err(|error| {
            let message = format!("{error}; ask for fewer nodes with `max-nodes` or `max-depth`");
            CallError::failed(FailureCode::PayloadTooLarge, message)
        })
    }

    /// A replanner has ended: carry out its plan, and answer who asked for it.
    pub(super) fn plan_made(&mut self, run: RunId, planner: RunId, of: RunId) -> Result<Evaluation, CallError> {
        let now = self.shared.clock.now();
        let planned = self.read_plan(planner);
        self.tree.apply_plan(now, run, Surface::Guest, of, planned).map_err(CallError::Denied)
    }

    fn read_plan(&self, planner: RunId) -> Result<Planned, String> {
        let run = self.tree.run(planner).ok_or("it is not in the tree")?;
        let Some(output) = run.output().filter(|_| run.status == RunStatus::Completed) else {
            let why = run.error().map_or("it did not complete".to_owned(), |error| error.message);
            return Err(why);
        };
        let plan: Plan = serde_json::from_str(output.as_str()).map_err(|e| e.to_string())?;
        let targets = plan.actions.iter().filter_map(|action| match action {
            Action::Spawn(wanted) => Some(wanted.target.clone()),
            Action::Retry(_) | Action::Cancel(_) | Action::Accept(_) | Action::Abort(_) => None,
        });
        let resolve = |target: Arc<str>| self.shared.registry.resolve(self.tree.tenant(), &target);
        let resolutions = targets.map(resolve).collect();
        Ok(Planned { plan, resolutions })
    }
}

/// A refusal for want of stored bytes, which is checked where a tree is opened
/// or a plugin published.
pub(crate) fn over_stored_bytes(action: &'static str, limit: u64, used: u64) -> Denial {
    let message = format!("the tenant has stored {used} bytes and its quota is {limit}");
    let mut denial = Denial::new(Code::QuotaExceeded, action, message);
    denial.limit = Some(limit);
    denial.current = Some(used);
    denial
}

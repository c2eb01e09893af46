//! Calls: what guests ask of the kernel.

use std::sync::Arc;

use pleach_kernel::{
    About, Action, CallSite, Caller, Code, Denial, Evaluate, Evaluation, JoinAnswer, JoinPolicy, Nondeterminism,
    Payload, Plan, Planned, Query, Replanning, RunError, RunId, RunStatus, Spawn, SpawnGroup, SpawnRequest, Surface,
};
use pleach_sandbox::{Asked, Call, CallError, FailureCode, Reply};

use super::Driver;
use super::waiting::{Answer, Joiner, Planning, only_member};
use crate::program::is_program;

/// How long an agent call takes at most where it does not say.
const AGENT_CALL_TIMEOUT_MS: u64 = 60_000;

impl Driver {
    pub(super) fn guest_call(&mut self, run: RunId, call: Call) {
        if !self.decides() {
            return; // The reply is dropped, and the guest is being stopped.
        }
        let now = self.shared.clock.now();
        match call {
            Call::SpawnRun { request, site, reply } => self.spawn_run(run, request, site, reply),
            Call::SpawnGroup { members, key_prefix, join, site, reply } => {
                self.spawn_group(run, members, key_prefix, join, site, reply);
            }
            Call::Join { group, call, reply } => {
                match self.tree.join(now, Caller::Run(run), self.surface(run), group) {
                    Ok(JoinAnswer::Decided(result)) => self.answers.push(Answer::Joined(reply, Ok(*result))),
                    Ok(JoinAnswer::Waiting) => self.waiting.join(run, group, Joiner::Join(reply)),
                    Err(denial) => {
                        let answer = Err(CallError::Denied(denial));
                        self.record_refusal(run, || Asked::join(call, group), &answer);
                        self.answers.push(Answer::Joined(reply, answer));
                    }
                }
            }
            Call::AgentCall { request, site, reply } => self.agent_call(run, request, site, reply),
            Call::Cancel { request, asked, reply } => {
                let answer = self.tree.cancel_subtree(now, Caller::Run(run), self.surface(run), &request);
                let answer = answer.map_err(CallError::Denied);
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::GuestCancelled(reply, answer));
            }
            Call::Evaluate { run_id, replanner, config, site, asked, reply } => {
                self.evaluate(run, run_id, replanner, config, site, asked, reply);
            }
            Call::Query { query, asked, reply } => {
                let answer = self.query(run, &query);
                self.record_answer(run, asked, &answer);
                self.answers.push(Answer::Queried(reply, answer));
            }
            Call::RemainingBudget { asked, reply } => {
                let left = self.pools.remaining(&self.tree, run);
                self.record_answer(run, asked, &Ok(left));
                self.answers.push(Answer::Budget(reply, left));
            }
            Call::Sleep { duration_ms, until, asked, reply } => {
                let woken_at = until.unwrap_or_else(|| now.plus_ms(duration_ms));
                if until.is_none() {
                    // Before it sleeps: a host that starts over knows how much of it is left.
                    self.record_answer(run, asked, &Ok(woken_at));
                }
                self.waiting.sleep(run, woken_at, reply);
            }
            Call::Progress { progress, call } => self.tree.record_progress(now, run, call, progress),
            Call::Deny { denial } => self.tree.record_denial(now, run, denial),
            Call::Record { entry } => self.record(run, entry),
            Call::Intend { entry, reply } => self.intend(run, entry, reply),
            Call::Fetch { digest, reply } => self.fetch(digest, reply),
            Call::NodeRuns { runs, reply } => self.node_runs(run, runs, reply),
            Call::Node { node, call } => self.node_call(run, node, *call),
            Call::Next { after, known, asked, reply } => self.next(run, after, known, asked, reply),
        }
    }

    fn spawn_run(
        &mut self,
        run: RunId,
        request: Arc<SpawnRequest>,
        site: CallSite,
        reply: Reply<pleach_kernel::Spawned>,
    ) {
        let now = self.shared.clock.now();
        let asked = request.clone();
        let spawn = self.resolved(request);
        let answer = match self.tree.replayed_spawn(run, site.call, &spawn) {
            Some(Ok(spawned)) => Ok(spawned),
            Some(Err(difference)) => return self.differs(run, &difference),
            None => {
                self.note_queue();
                self.tree.spawn_run(now, run, self.surface(run), spawn, site).map_err(CallError::Denied)
            }
        };
        self.record_refusal(run, || Asked::spawn_run(site.call, &asked), &answer);
        self.answers.push(Answer::Spawned(reply, Box::new(answer)));
    }

    fn spawn_group(
        &mut self,
        run: RunId,
        members: Vec<Arc<SpawnRequest>>,
        key_prefix: Option<Arc<str>>,
        join: JoinPolicy,
        site: CallSite,
        reply: Reply<pleach_kernel::SpawnedGroup>,
    ) {
        let now = self.shared.clock.now();
        let asked = (members.clone(), key_prefix.clone());
        let members = members.into_iter().map(|member| self.resolved(member)).collect();
        let group = SpawnGroup { members, key_prefix, join, size: None, node_id: None, agent_call: false };
        let answer = match self.tree.replayed_group(run, site.call, &group) {
            Some(Ok(spawned)) => Ok(spawned),
            Some(Err(difference)) => return self.differs(run, &difference),
            None => {
                self.note_queue();
                self.tree.spawn_group(now, run, self.surface(run), group, site).map_err(CallError::Denied)
            }
        };
        let asked = || Asked::spawn_group(site.call, &asked.0, asked.1.as_deref(), &join);
        self.record_refusal(run, asked, &answer);
        self.answers.push(Answer::Grouped(reply, answer));
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one call")]
    fn evaluate(
        &mut self,
        run: RunId,
        run_id: Option<RunId>,
        replanner: Option<Arc<str>>,
        config: Option<Payload>,
        site: CallSite,
        asked: Asked,
        reply: Reply<Evaluation>,
    ) {
        let now = self.shared.clock.now();
        let replanner = replanner.map(|target| {
            let resolution = self.shared.registry.resolve(self.tree.tenant(), &target);
            (target, resolution)
        });
        let ask = Evaluate { run_id, replanner, config, node: None };
        let planned = match self.tree.replayed_planner(run, site.call, &ask) {
            Some(Ok((planner, of))) => Ok(Replanning::Asked { planner, of }),
            Some(Err(difference)) => return self.differs(run, &difference),
            None => self.tree.evaluate(now, run, self.surface(run), ask, site),
        };
        let answer = match planned {
            Ok(Replanning::Asked { planner, of }) => {
                return self.waiting.plan(planner, Planning { run, of, asked, reply: Some(reply) });
            }
            Ok(Replanning::Answered(answer)) => Ok(answer),
            Err(denial) => Err(CallError::Denied(denial)),
        };
        self.record_answer(run, asked, &answer);
        self.answers.push(Answer::Evaluated(reply, answer));
    }

    /// How the calls of a guest are known in the log.
    pub(super) fn surface(&self, run: RunId) -> Surface {
        match self.tree.run(run) {
            Some(run) if is_program(&run.spec.plugin.digest) => Surface::Api,
            Some(_) | None => Surface::Guest,
        }
    }

    /// A guest that is run again asks something else than before.
    pub(super) fn differs(&mut self, run: RunId, difference: &Nondeterminism) {
        if let Some(guest) = self.guests.get(&run) {
            guest.stop.fail(RunError::new("nondeterminism", difference.to_string()));
        }
    }

    /// Takes note of how much of its queue quota the tenant has in use, for the
    /// seventh check of the spawn that follows.
    pub(super) fn note_queue(&mut self) {
        if self.tree.policy().quotas.max_queued.is_some() {
            let now = self.tree.ready_count() as u64;
            let used = self.line.queued(self.queued_runs, now);
            self.queued_runs = now;
            self.tree.set_queued(used);
        }
    }

    pub(super) fn resolved(&self, request: Arc<SpawnRequest>) -> Spawn {
        Spawn::resolved(request, |target| self.shared.registry.resolve(self.tree.tenant(), target))
    }

    /// A group of one, joined.
    fn agent_call(
        &mut self,
        run: RunId,
        mut request: SpawnRequest,
        site: CallSite,
        reply: Reply<pleach_kernel::MemberOutcome>,
    ) {
        let now = self.shared.clock.now();
        let asked = request.clone();
        let timeout_ms = request.timeout_ms.take().unwrap_or(AGENT_CALL_TIMEOUT_MS);
        let key_prefix = request.spawn_key.take();
        let group = SpawnGroup {
            members: vec![self.resolved(request.into())],
            key_prefix,
            join: JoinPolicy { timeout_ms: Some(timeout_ms), ..JoinPolicy::default() },
            size: None,
            node_id: None,
            agent_call: true,
        };
        let spawned = match self.tree.replayed_group(run, site.call, &group) {
            Some(Ok(spawned)) => Ok(spawned),
            Some(Err(difference)) => return self.differs(run, &difference),
            None => {
                self.note_queue();
                self.tree.spawn_group(now, run, self.surface(run), group, site).map_err(CallError::Denied)
            }
        };
        match spawned {
            Ok(spawned) => match self.tree.join_result(spawned.group_id) {
                Some(result) => self.answers.push(Answer::Called(reply, Ok(only_member(&result)))),
                None => self.waiting.join(run, spawned.group_id, Joiner::Call(reply)),
            },
            Err(refused) => {
                let answer = Err(refused);
                self.record_refusal(run, || Asked::agent_call(site.call, &asked), &answer);
                self.answers.push(Answer::Called(reply, answer));
            }
        }
    }

    fn query(&mut self, run: RunId, query: &Query) -> Result<Payload, CallError> {
        let now = self.shared.clock.now();
        let view = self.tree.query(now, Caller::Run(run), self.surface(run), query).map_err(CallError::Denied)?;
        Payload::of(&view).map_err(|error| {
            let message = format!("{error}; ask for fewer nodes with `max-nodes` or `max-depth`");
            CallError::failed(FailureCode::PayloadTooLarge, message)
        })
    }

    /// A replanner has ended: carry out its plan, and answer who asked for it.
    pub(super) fn plan_made(
        &mut self,
        run: RunId,
        planner: RunId,
        surface: Surface,
        about: &About,
    ) -> Result<Box<Evaluation>, CallError> {
        let now = self.shared.clock.now();
        let planned = self.read_plan(planner);
        self.tree.apply_plan(now, run, surface, about, planned).map(Box::new).map_err(CallError::Denied)
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

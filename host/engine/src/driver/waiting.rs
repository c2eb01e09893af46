//! Waiting: calls whose answer is not known yet, and answers on their way out.
//!
//! None of this is in the log: a guest that is run again asks again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use pleach_kernel::{
    Budget, Cancelled, Evaluation, GroupId, JoinResult, JoinStatus, MemberOutcome, Payload, RunError, RunId, RunStatus,
    Spawned, SpawnedGroup, TreeView,
};
use pleach_sandbox::{CallError, Reply};
use tokio::sync::oneshot;

use super::Driver;
use crate::error::Error;

/// An answer on its way out.
pub(super) enum Answer {
    Spawned(Reply<Spawned>, Box<Result<Spawned, CallError>>),
    Grouped(Reply<SpawnedGroup>, Result<SpawnedGroup, CallError>),
    Joined(Reply<JoinResult>, Result<JoinResult, CallError>),
    Called(Reply<MemberOutcome>, Result<MemberOutcome, CallError>),
    Evaluated(Reply<Evaluation>, Result<Evaluation, CallError>),
    Budget(Reply<Budget>, Budget),
    Queried(Reply<Payload>, Result<Payload, CallError>),
    GuestCancelled(Reply<Cancelled>, Result<Cancelled, CallError>),
    Cancelled(oneshot::Sender<Result<Cancelled, Error>>, Box<Result<Cancelled, Error>>),
    Viewed(oneshot::Sender<Result<TreeView, Error>>, Box<Result<TreeView, Error>>),
    Opened(oneshot::Sender<Result<(), Error>>),
}

impl Answer {
    /// Whoever asked may have gone; then there is nobody to tell.
    pub(super) fn send(self) {
        match self {
            Self::Spawned(reply, answer) => drop(reply.send(*answer)),
            Self::Grouped(reply, answer) => drop(reply.send(answer)),
            Self::Joined(reply, answer) => drop(reply.send(answer)),
            Self::Called(reply, answer) => drop(reply.send(answer)),
            Self::Evaluated(reply, answer) => drop(reply.send(answer)),
            Self::Budget(reply, answer) => drop(reply.send(Ok(answer))),
            Self::Queried(reply, answer) => drop(reply.send(answer)),
            Self::GuestCancelled(reply, answer) => drop(reply.send(answer)),
            Self::Cancelled(reply, answer) => drop(reply.send(*answer)),
            Self::Viewed(reply, answer) => drop(reply.send(*answer)),
            Self::Opened(reply) => drop(reply.send(Ok(()))),
        }
    }
}

/// Who waits for a group.
pub(super) enum Joiner {
    Join(Reply<JoinResult>),
    /// A group of one, whose member is the answer.
    Call(Reply<MemberOutcome>),
}

/// Runs that wait in a call, and what for. A run waits in one call at a time.
#[derive(Default)]
pub(super) struct Waiting {
    for_groups: HashMap<GroupId, Vec<(RunId, Joiner)>>,
    /// By the replanner whose plan is waited for: who asks, about whose children.
    for_plans: BTreeMap<RunId, (RunId, RunId, Reply<Evaluation>)>,
    blocked: HashMap<RunId, On>,
    /// Answers that wait for a place to go on in.
    resuming: VecDeque<(RunId, Answer)>,
}

#[derive(Clone, Copy)]
enum On {
    Group(GroupId),
    Plan(RunId),
    Place,
}

impl Waiting {
    /// How many guests wait and so take no place.
    pub(super) fn count(&self) -> u32 {
        self.blocked.len() as u32
    }

    pub(super) fn join(&mut self, run: RunId, group: GroupId, joiner: Joiner) {
        self.for_groups.entry(group).or_default().push((run, joiner));
        self.blocked.insert(run, On::Group(group));
    }

    pub(super) fn plan(&mut self, run: RunId, planner: RunId, of: RunId, reply: Reply<Evaluation>) {
        self.for_plans.insert(planner, (run, of, reply));
        self.blocked.insert(run, On::Plan(planner));
    }

    /// A guest has stopped, and waits for nothing any more.
    pub(super) fn forget(&mut self, run: RunId) {
        match self.blocked.remove(&run) {
            Some(On::Group(group)) => {
                if let Some(waiting) = self.for_groups.get_mut(&group) {
                    waiting.retain(|(other, _)| *other != run);
                }
            }
            Some(On::Plan(planner)) => drop(self.for_plans.remove(&planner)),
            Some(On::Place) => self.resuming.retain(|(other, _)| *other != run),
            None => {}
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn resume(&mut self, run: RunId, answer: Answer) {
        self.blocked.insert(run, On::Place);
        self.resuming.push_back((run, answer));
    }
}

impl Driver {
    /// Gives answers that have become known, as far as there are places for the
    /// guests that go on with them.
    pub(super) fn resume_waiting(&mut self) {
        for group in self.tree.decisions(self.decisions_done) {
            let Some(waiting) = self.waiting.for_groups.remove(&group) else { continue };
            let Some(result) = self.tree.join_result(group) else { continue };
            for (run, joiner) in waiting {
                let answer = match joiner {
                    Joiner::Join(reply) => Answer::Joined(reply, Ok(result.clone())),
                    Joiner::Call(reply) => Answer::Called(reply, Ok(only_member(&result))),
                };
                self.waiting.resume(run, answer);
            }
        }
        self.decisions_done = self.tree.decision_count();
        self.answer_plans();
        while self.tree.room(self.waiting.count()) > 0 {
            let Some((run, answer)) = self.waiting.resuming.pop_front() else { break };
            self.waiting.blocked.remove(&run);
            self.answers.push(answer);
        }
    }

    fn answer_plans(&mut self) {
        let ended: Vec<RunId> = self
            .waiting
            .for_plans
            .keys()
            .copied()
            .filter(|planner| self.tree.run(*planner).is_none_or(|run| run.status.is_terminal()))
            .collect();
        for planner in ended {
            let Some((run, of, reply)) = self.waiting.for_plans.remove(&planner) else { continue };
            let answer = self.plan_made(run, planner, of);
            self.waiting.resume(run, Answer::Evaluated(reply, answer));
        }
    }
}

/// The one member of an agent call's group. Where the group's time was up, it is
/// the call that timed out.
pub(super) fn only_member(result: &JoinResult) -> MemberOutcome {
    let mut member = result.outputs.first().cloned().unwrap_or_else(|| MemberOutcome {
        ordinal: 0,
        run_id: RunId { root: result.group_id.root, index: 0 },
        status: RunStatus::Failed,
        output: None,
        error: Some(RunError::new("host_failure", "the call has no run")),
    });
    if result.status == JoinStatus::TimedOut {
        member.status = RunStatus::TimedOut;
        member.error = Some(RunError::new("timed_out", "the call took longer than its timeout"));
    }
    member
}

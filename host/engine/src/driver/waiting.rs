//! Waiting: calls whose answer is not known yet, and answers on their way out.
//!
//! None of this is in the log: a guest that is run again asks again.

use std::collections::{BTreeMap, HashMap, VecDeque};

use pleach_kernel::{
    About, Budget, Cancelled, Evaluation, GroupId, JoinResult, JoinStatus, MemberOutcome, Notice, Payload, RunError,
    RunId, RunStatus, Spawned, SpawnedGroup, Timestamp, TreeView,
};
use pleach_sandbox::{Asked, CallError, Evaluating, Reply};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Driver;
use crate::error::Error;

/// An answer on its way out.
pub(super) enum Answer {
    Spawned(Reply<Spawned>, Box<Result<Spawned, CallError>>),
    Grouped(Reply<SpawnedGroup>, Result<SpawnedGroup, CallError>),
    Joined(Reply<JoinResult>, Result<JoinResult, CallError>),
    Called(Reply<MemberOutcome>, Result<MemberOutcome, CallError>),
    Evaluated(Reply<Evaluation>, Result<Box<Evaluation>, CallError>),
    Budget(Reply<Budget>, Budget),
    Queried(Reply<Payload>, Result<Payload, CallError>),
    Ran(Reply<Vec<Result<Spawned, CallError>>>, Vec<Result<Spawned, CallError>>),
    Noticed(Reply<Vec<Notice>>, Result<Vec<Notice>, CallError>),
    Extended(Reply<Vec<RunId>>, Result<Vec<RunId>, CallError>),
    GivenUp(Reply<()>, Result<(), CallError>),
    Evaluating(Reply<Evaluating>, Result<Evaluating, CallError>),
    GuestCancelled(Reply<Cancelled>, Result<Cancelled, CallError>),
    Slept(Reply<Timestamp>, Timestamp),
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
            Self::Evaluated(reply, answer) => drop(reply.send(answer.map(|answer| *answer))),
            Self::Budget(reply, answer) => drop(reply.send(Ok(answer))),
            Self::Queried(reply, answer) => drop(reply.send(answer)),
            Self::Ran(reply, answers) => drop(reply.send(Ok(answers))),
            Self::Noticed(reply, answer) => drop(reply.send(answer)),
            Self::Extended(reply, answer) => drop(reply.send(answer)),
            Self::GivenUp(reply, answer) => drop(reply.send(answer)),
            Self::Evaluating(reply, answer) => drop(reply.send(answer)),
            Self::GuestCancelled(reply, answer) => drop(reply.send(answer)),
            Self::Slept(reply, woken_at) => drop(reply.send(Ok(woken_at))),
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
    /// A guest that is parked: it asks again when it is run again.
    Parked,
}

/// Who waits for a plan, about whose children, and where the answer goes; none
/// where the guest is parked.
pub(super) struct Planning {
    pub run: RunId,
    pub of: RunId,
    pub asked: Asked,
    pub reply: Option<Reply<Evaluation>>,
}

/// What follows when a run's wait is over.
enum Resumed {
    Answer(Answer),
    /// It is parked, and is run again.
    Wake,
}

/// Runs that wait in a call, and what for. A run waits in one call at a time: who waits
/// anew has given up what it waited for before, as a native program can. A plan that
/// nobody waits for any more is not carried out.
#[derive(Default)]
pub(super) struct Waiting {
    waits: HashMap<RunId, Wait>,
    for_groups: HashMap<GroupId, Vec<(RunId, Joiner)>>,
    /// By the replanner whose plan is waited for.
    for_plans: BTreeMap<RunId, Planning>,
    /// Each of them is in `waits` too, for the clock.
    sleepers: BTreeMap<(Timestamp, RunId), Option<Reply<Timestamp>>>,
    /// Runs that have begun to wait since they were last asked for.
    began: Vec<RunId>,
    /// Answers that wait for a place to go on in.
    resuming: VecDeque<(RunId, Resumed)>,
}

struct Wait {
    on: On,
    /// Since when, for it may take long; none where the guest is parked.
    since: Option<Instant>,
}

/// What a run waits for. Who waits for the clock takes a place of `max_concurrency`,
/// who waits for other runs takes none.
#[derive(Clone, Copy)]
enum On {
    Group(GroupId),
    Plan(RunId),
    Place,
    Clock(Timestamp),
}

impl Waiting {
    /// How many guests wait and so take no place.
    pub(super) fn count(&self) -> u32 {
        (self.waits.len() - self.sleepers.len()) as u32
    }

    pub(super) fn join(&mut self, run: RunId, group: GroupId, joiner: Joiner) {
        self.begin(run, On::Group(group));
        self.for_groups.entry(group).or_default().push((run, joiner));
    }

    pub(super) fn plan(&mut self, planner: RunId, planning: Planning) {
        self.begin(planning.run, On::Plan(planner));
        self.for_plans.insert(planner, planning);
    }

    pub(super) fn sleep(&mut self, run: RunId, until: Timestamp, reply: Reply<Timestamp>) {
        self.begin(run, On::Clock(until));
        self.sleepers.insert((until, run), Some(reply));
    }

    fn begin(&mut self, run: RunId, on: On) {
        self.forget(run);
        self.waits.insert(run, Wait { on, since: Some(Instant::now()) });
        self.began.push(run);
    }

    /// When the first sleeper wakes.
    pub(super) fn next_sleeper(&self) -> Option<Timestamp> {
        self.sleepers.keys().next().map(|(until, _)| *until)
    }

    /// Since when a run's guest waits in memory, if it does.
    pub(super) fn since(&self, run: RunId) -> Option<Instant> {
        self.waits.get(&run)?.since
    }

    pub(super) fn sleeps_until(&self, run: RunId) -> Option<Timestamp> {
        match self.waits.get(&run)?.on {
            On::Clock(until) => Some(until),
            On::Group(_) | On::Plan(_) | On::Place => None,
        }
    }

    /// Runs that have begun to wait and still do.
    pub(super) fn take_began(&mut self) -> Vec<RunId> {
        let mut began = std::mem::take(&mut self.began);
        began.retain(|run| self.since(*run).is_some());
        began
    }

    /// The guest is parked: it is not answered, and asks again. Whether it waits.
    pub(super) fn unhear(&mut self, run: RunId) -> bool {
        let Some(wait) = self.waits.get_mut(&run) else { return false };
        wait.since = None;
        match wait.on {
            On::Group(group) => {
                let waiting = self.for_groups.get_mut(&group).into_iter().flatten();
                for (_, joiner) in waiting.filter(|(other, _)| *other == run) {
                    *joiner = Joiner::Parked;
                }
            }
            On::Plan(planner) => {
                if let Some(planning) = self.for_plans.get_mut(&planner) {
                    planning.reply = None;
                }
            }
            On::Place => {
                for (_, resumed) in self.resuming.iter_mut().filter(|(other, _)| *other == run) {
                    *resumed = Resumed::Wake;
                }
            }
            On::Clock(until) => drop(self.sleepers.insert((until, run), None)),
        }
        true
    }

    /// A guest waits for nothing any more: it has stopped, or waits anew.
    pub(super) fn forget(&mut self, run: RunId) {
        let Some(wait) = self.waits.remove(&run) else { return };
        match wait.on {
            On::Group(group) => {
                if let Some(waiting) = self.for_groups.get_mut(&group) {
                    waiting.retain(|(other, _)| *other != run);
                }
            }
            On::Plan(planner) => drop(self.for_plans.remove(&planner)),
            On::Place => self.resuming.retain(|(other, _)| *other != run),
            On::Clock(until) => drop(self.sleepers.remove(&(until, run))),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn resume(&mut self, run: RunId, resumed: Resumed) {
        if let Some(wait) = self.waits.get_mut(&run) {
            wait.on = On::Place;
        }
        self.resuming.push_back((run, resumed));
    }
}

impl Driver {
    /// Gives answers that have become known, as far as there are places for the
    /// guests that go on with them.
    pub(super) fn resume_waiting(&mut self, now: Timestamp) {
        for group in self.tree.decisions(self.decisions_done) {
            let Some(waiting) = self.waiting.for_groups.remove(&group) else { continue };
            let Some(result) = self.tree.join_result(group) else { continue };
            for (run, joiner) in waiting {
                let resumed = match joiner {
                    Joiner::Join(reply) => Resumed::Answer(Answer::Joined(reply, Ok(result.clone()))),
                    Joiner::Call(reply) => Resumed::Answer(Answer::Called(reply, Ok(only_member(&result)))),
                    Joiner::Parked => Resumed::Wake,
                };
                self.waiting.resume(run, resumed);
            }
        }
        self.decisions_done = self.tree.decision_count();
        self.answer_plans();
        self.tell_listeners();
        while self.room() > 0 {
            let Some((run, resumed)) = self.waiting.resuming.pop_front() else { break };
            self.waiting.waits.remove(&run);
            match resumed {
                Resumed::Answer(answer) => self.answers.push(answer),
                Resumed::Wake => self.wake(run),
            }
        }
        while let Some(entry) = self.waiting.sleepers.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((until, run), reply) = entry.remove_entry();
            self.waiting.waits.remove(&run);
            match reply {
                Some(reply) => self.answers.push(Answer::Slept(reply, until)),
                None => self.wake(run),
            }
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
            let Some(Planning { run, of, asked, reply }) = self.waiting.for_plans.remove(&planner) else { continue };
            let Some(reply) = reply else {
                self.waiting.resume(run, Resumed::Wake);
                continue;
            };
            let about = About { of, node: None };
            let answer = self.plan_made(run, planner, self.surface(run), &about);
            self.record_answer(run, asked, &answer);
            self.waiting.resume(run, Resumed::Answer(Answer::Evaluated(reply, answer)));
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

#[cfg(test)]
mod tests {
    use pleach_kernel::RootId;

    use super::*;

    const ROOT: RootId = RootId(7);

    fn run(index: u32) -> RunId {
        RunId { root: ROOT, index }
    }

    fn reply<T>() -> Reply<T> {
        oneshot::channel().0
    }

    #[test]
    fn who_sleeps_takes_a_place_and_who_waits_for_others_takes_none() {
        let mut waiting = Waiting::default();
        waiting.sleep(run(1), Timestamp(50), reply());
        assert_eq!((waiting.count(), waiting.sleeps_until(run(1))), (0, Some(Timestamp(50))));
        waiting.join(run(2), GroupId { root: ROOT, index: 0 }, Joiner::Join(reply()));
        assert_eq!((waiting.count(), waiting.sleeps_until(run(2))), (1, None));
        assert_eq!(waiting.take_began(), [run(1), run(2)]);
        assert_eq!([run(1), run(2), run(3)].map(|run| waiting.unhear(run)), [true, true, false]);
        assert_eq!((waiting.count(), waiting.next_sleeper()), (1, Some(Timestamp(50))), "parked, they wait on");
        assert_eq!((waiting.since(run(1)), waiting.since(run(2))), (None, None));
        waiting.forget(run(1));
        waiting.forget(run(2));
        assert_eq!((waiting.count(), waiting.next_sleeper()), (0, None));
    }

    #[test]
    fn who_waits_anew_has_given_up_what_it_waited_for() {
        let group = GroupId { root: ROOT, index: 0 };
        let mut waiting = Waiting::default();
        waiting.sleep(run(1), Timestamp(50), reply());
        waiting.sleep(run(1), Timestamp(70), reply());
        waiting.sleep(run(1), Timestamp(70), reply());
        assert_eq!((waiting.count(), waiting.next_sleeper()), (0, Some(Timestamp(70))));
        waiting.join(run(1), group, Joiner::Join(reply()));
        waiting.join(run(1), group, Joiner::Join(reply()));
        assert_eq!((waiting.count(), waiting.next_sleeper(), waiting.for_groups[&group].len()), (1, None, 1));
        waiting.sleep(run(1), Timestamp(90), reply());
        assert_eq!((waiting.count(), waiting.for_groups[&group].len()), (0, 0));
        waiting.join(run(1), group, Joiner::Join(reply()));
        waiting.resume(run(1), Resumed::Wake);
        waiting.sleep(run(1), Timestamp(110), reply());
        assert_eq!((waiting.count(), waiting.resuming.len()), (0, 0));
    }
}

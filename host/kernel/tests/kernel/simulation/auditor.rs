//! The auditor: what must hold of every log, checked without the kernel's state.
//!
//! It reads the events alone and keeps books of its own, so that a mistake in
//! the kernel's bookkeeping is not made twice. Money is in `ledger.rs`.

use std::collections::BTreeMap;

use pleach_kernel::{
    CancellationPropagation, ChildLifecycle, Event, Fact, GroupSpec, JoinDecision, JoinMode, JoinStatus, ParentClose,
    Policy, RunId, RunSpec, RunStatus, SpawnDecision, Step, Timestamp, covered,
};

use super::ledger::Ledger;

/// One run, as its events tell it.
#[derive(Debug)]
struct Known {
    spec: RunSpec,
    parent: Option<usize>,
    depth: u32,
    children: Vec<usize>,
    attempt: u32,
    /// The first try of its plugin, and the fallback that this is, if it is one.
    first_attempt: u32,
    fallback: Option<u8>,
    active_since: Option<Timestamp>,
    waiting: bool,
    /// How it will end is settled.
    closed: bool,
    /// It was cancelled from above: nothing starts in it.
    marked: bool,
    ended: Option<RunStatus>,
    lates: u32,
    /// The last host call of this try that left something in the log.
    last_call: Option<u32>,
}

struct Group {
    members: Vec<usize>,
    spec: GroupSpec,
    created_at: Timestamp,
    decided: bool,
}

impl Group {
    /// How many members it is to have.
    fn size(&self) -> u32 {
        self.spec.size.unwrap_or(self.members.len() as u32)
    }
}

/// Books on one tree.
pub struct Auditor {
    seq: u64,
    policy: Option<Policy>,
    runs: Vec<Known>,
    groups: Vec<Group>,
    ledger: Ledger,
    keys: BTreeMap<(usize, String), usize>,
}

type Finding = Result<(), String>;

fn must(holds: bool, rule: &str) -> Finding {
    if holds { Ok(()) } else { Err(rule.to_owned()) }
}

impl Auditor {
    pub fn new() -> Self {
        Self {
            seq: 0,
            policy: None,
            runs: Vec::new(),
            groups: Vec::new(),
            ledger: Ledger::default(),
            keys: BTreeMap::new(),
        }
    }

    /// Enters an event into the books, or says which rule it breaks.
    pub fn observe(&mut self, event: &Event) -> Finding {
        must(event.seq == self.seq + 1, "seq has no gap")?;
        self.seq = event.seq;
        self.called(event)?;
        match &event.fact {
            Fact::SpawnDecision(decision) => self.spawned(event, decision),
            Fact::ChildLifecycle(life) => self.stepped(event, life),
            Fact::JoinDecision(decision) => self.joined(event, decision),
            Fact::CancellationPropagation(cancel) => self.cancelled(event, cancel),
            Fact::Budget(moved) => self.ledger.moved(event.run_id.index as usize, moved),
            Fact::PolicyDeny(denial) => must(!denial.retryable, "a denial is never retryable"),
            Fact::ReplanDecision(decision) => {
                must(decision.replans_used <= decision.max_replans, "replans are bounded by max_replans")
            }
            Fact::RouteDecision(_)
            | Fact::JudgeVerdict(_)
            | Fact::NodeFailure(_)
            | Fact::NodeCompletion(_)
            | Fact::Progress(_) => Ok(()),
        }
        .map_err(|rule| format!("seq {}: {rule}", event.seq))
    }

    fn called(&mut self, event: &Event) -> Finding {
        let of_a_guest = matches!(event.fact, Fact::SpawnDecision(_) | Fact::Progress(_));
        must(of_a_guest || event.call.is_none(), "only spawns and reports answer a call")?;
        let Some(run) = self.runs.get_mut(event.run_id.index as usize).filter(|run| run.active_since.is_some()) else {
            return Ok(());
        };
        must(event.call.is_none() || event.call > run.last_call, "calls of a try are answered in order, and once")?;
        run.last_call = run.last_call.max(event.call);
        Ok(())
    }

    fn spawned(&mut self, event: &Event, decision: &SpawnDecision) -> Finding {
        let caller = event.run_id.index as usize;
        if decision.idempotent {
            return must(decision.runs.is_empty(), "a run that is found again is not spawned again");
        }
        if let Some(tree) = &decision.tree {
            self.policy = Some((*tree.policy).clone());
            for scope in decision.runs[0].request.scopes.scopes() {
                must(covered(&tree.policy.scopes, scope), "the root holds no more than policy allows")?;
            }
            self.ledger.open(0, None, &tree.budget, true)?;
            self.admit(decision.spawned_run_ids[0], &decision.runs[0], None);
            return Ok(());
        }
        let parent = &self.runs[caller];
        must(!parent.closed && parent.ended.is_none(), "a run that is ended or cancelled spawns nothing")?;
        let first = self.runs.len();
        for (id, spec) in decision.spawned_run_ids.iter().zip(&decision.runs) {
            self.admissible(caller, spec)?;
            let fresh = self.keys.insert((caller, spec.spawn_key.to_string()), self.runs.len()).is_none();
            must(fresh, "a key of one parent names one run")?;
            self.ledger.open(self.runs.len(), Some(caller), &spec.request.budget, false)?;
            self.admit(*id, spec, Some(caller));
        }
        if let Some(spec) = &decision.group {
            let members = (first..self.runs.len()).collect();
            self.groups.push(Group { members, spec: spec.clone(), created_at: event.at, decided: false });
        } else if let Some(id) = decision.group_id {
            let group = &mut self.groups[id.index as usize];
            must(!group.decided, "a group that is decided gets no further member")?;
            group.members.extend(first..self.runs.len());
            must(group.members.len() as u32 <= group.size(), "a group has no more members than it was to have")?;
        }
        Ok(())
    }

    /// Authority and limits: what a parent may give to a child.
    fn admissible(&self, caller: usize, spec: &RunSpec) -> Finding {
        let parent = &self.runs[caller];
        let policy = self.policy.as_ref().ok_or("a tree is opened before it is spawned in")?;
        for scope in spec.request.scopes.scopes() {
            must(parent.spec.request.scopes.hands_on(scope), "authority never grows on the way down")?;
            must(covered(&policy.scopes, scope), "no run holds more than policy allows")?;
        }
        let limits = &parent.spec.limits;
        must(spec.limits.tightest(limits) == spec.limits, "limits only tighten on the way down")?;
        must(parent.depth < limits.max_depth, "max_depth is not exceeded")?;
        must((parent.children.len() as u64) < u64::from(limits.max_fanout), "max_fanout is not exceeded")?;
        let total = (self.runs.len() - 1) as u64;
        must(total < u64::from(limits.max_children_total), "max_children_total is not exceeded")
    }

    fn admit(&mut self, id: RunId, spec: &RunSpec, parent: Option<usize>) {
        let index = id.index as usize;
        let depth = parent.map_or(0, |parent| self.runs[parent].depth + 1);
        if let Some(parent) = parent {
            self.runs[parent].children.push(index);
        }
        self.runs.push(Known {
            spec: spec.clone(),
            parent,
            depth,
            children: Vec::new(),
            attempt: 1,
            first_attempt: 1,
            fallback: None,
            active_since: None,
            waiting: false,
            closed: false,
            marked: false,
            ended: None,
            lates: 0,
            last_call: None,
        });
    }

    fn stepped(&mut self, event: &Event, life: &ChildLifecycle) -> Finding {
        let index = life.child_run_id.index as usize;
        if life.late.is_some() {
            self.runs[index].lates += 1;
            must(self.runs[index].lates <= 1, "a late result is noted once")?;
        }
        match life.status {
            Step::Started => self.started(index, event.at, life.attempt),
            Step::Queued => {
                let run = &mut self.runs[index];
                must(run.waiting && !run.closed, "only a run that waits for its next try is queued again")?;
                run.waiting = false;
                Ok(())
            }
            Step::Retrying => {
                self.stopped(index, event.at, life)?;
                let run = &mut self.runs[index];
                must(!run.closed, "a run whose end is settled is not tried again")?;
                (run.attempt, run.waiting) = (life.attempt + 1, true);
                if let Some(place) = life.falls_back_to {
                    let next = run.fallback.map_or(0, |place| place + 1);
                    must(place == next, "fallbacks are gone through in order, each once")?;
                    must((place as usize) < run.spec.fallbacks.len(), "only fallbacks that were admitted are tried")?;
                    (run.fallback, run.first_attempt) = (Some(place), run.attempt);
                    return Ok(());
                }
                let tries = run.spec.request.retry.map_or(1, |retry| retry.max_attempts);
                must(life.attempt + 1 - run.first_attempt < tries, "max_attempts is not exceeded")?;
                must(life.error.as_ref().is_some_and(|error| error.retryable), "only retryable errors are retried")
            }
            Step::Closing => {
                if life.guest_stopped {
                    self.stopped(index, event.at, life)?;
                }
                self.runs[index].closed = true;
                Ok(())
            }
            Step::Completed => self.ended(index, event.at, life, RunStatus::Completed),
            Step::Failed => self.ended(index, event.at, life, RunStatus::Failed),
            Step::Cancelled => self.ended(index, event.at, life, RunStatus::Cancelled),
            Step::TimedOut => self.ended(index, event.at, life, RunStatus::TimedOut),
            Step::Paused | Step::Resumed => Err("nothing pauses yet".into()),
        }
    }

    fn started(&mut self, index: usize, at: Timestamp, attempt: u32) -> Finding {
        let run = &mut self.runs[index];
        must(!run.marked, "nothing starts in a cancelled subtree")?;
        must(!run.closed && run.ended.is_none(), "nothing starts that is ended or ending")?;
        must(run.active_since.is_none() && !run.waiting, "a run is not started twice")?;
        must(attempt == run.attempt, "tries are counted")?;
        run.active_since = Some(at);
        let limit = self.runs[0].spec.limits.max_concurrency;
        must(self.active() <= limit, "max_concurrency is not exceeded")
    }

    fn stopped(&mut self, index: usize, at: Timestamp, life: &ChildLifecycle) -> Finding {
        let usage = life.usage.unwrap_or_default();
        let since = self.runs[index].active_since.take().ok_or("only a guest that runs can stop")?;
        must(usage.wall_ms == at.since_ms(since), "the wall clock is counted from start to stop")?;
        self.ledger.spent(index, &usage);
        self.runs[index].last_call = None;
        Ok(())
    }

    fn ended(&mut self, index: usize, at: Timestamp, life: &ChildLifecycle, status: RunStatus) -> Finding {
        if let Some(before) = self.runs[index].ended {
            must(life.late.is_some(), "a run ends once")?;
            return must(before == status, "a late result changes nothing");
        }
        if self.runs[index].active_since.is_some() {
            self.stopped(index, at, life)?;
        }
        must(!self.runs[index].marked || status != RunStatus::Completed, "a cancelled run does not complete")?;
        for child in &self.runs[index].children {
            let child = &self.runs[*child];
            let may_outlive = child.spec.request.parent_close == ParentClose::Abandon;
            must(may_outlive || child.ended.is_some(), "children settle before their parents")?;
        }
        let run = &mut self.runs[index];
        (run.ended, run.closed, run.waiting) = (Some(status), true, false);
        self.ledger.left(index);
        Ok(())
    }

    fn cancelled(&mut self, _event: &Event, cancel: &CancellationPropagation) -> Finding {
        must(cancel.count as usize == cancel.cancelled_run_ids.len(), "a cancel counts what it names")?;
        for id in &cancel.cancelled_run_ids {
            let run = &mut self.runs[id.index as usize];
            must(!run.closed, "a run is cancelled once, and not when its end is settled")?;
            (run.marked, run.closed) = (true, true);
        }
        Ok(())
    }

    /// The table of semantics, once more.
    fn verdict(&self, group: &Group) -> Option<JoinStatus> {
        let ended = |wanted: &[RunStatus]| {
            let members = group.members.iter();
            members.filter(|m| self.runs[**m].ended.is_some_and(|status| wanted.contains(&status))).count() as u32
        };
        let succeeded = ended(&[RunStatus::Completed]);
        let failed = ended(&[RunStatus::Failed, RunStatus::TimedOut]);
        let open = group.size() - succeeded - failed - ended(&[RunStatus::Cancelled]);
        if group.size() == 0 {
            return Some(JoinStatus::Empty);
        }
        let best = match (succeeded, failed) {
            (0, _) => JoinStatus::Failed,
            (_, 0) => JoinStatus::Completed,
            (_, _) => JoinStatus::CompletedWithErrors,
        };
        match group.spec.mode {
            JoinMode::BestEffort | JoinMode::All => (open == 0).then_some(best),
            JoinMode::FailFast if failed > 0 => Some(JoinStatus::Failed),
            JoinMode::FailFast => (open == 0).then_some(best),
            JoinMode::Quorum => {
                let quorum = group.spec.quorum.unwrap_or(0);
                if succeeded >= quorum {
                    return Some(JoinStatus::Completed);
                }
                (succeeded + open < quorum).then_some(JoinStatus::Failed)
            }
            JoinMode::FirstSuccess if succeeded > 0 => Some(JoinStatus::Completed),
            JoinMode::FirstSuccess => (open == 0).then_some(JoinStatus::Failed),
        }
    }

    fn joined(&mut self, event: &Event, decision: &JoinDecision) -> Finding {
        let index = decision.group_id.index as usize;
        let group = &self.groups[index];
        must(!group.decided, "a group is decided once")?;
        if &*decision.reason == "join_owner_ended" {
            let owner = event.run_id.index as usize;
            must(self.runs[owner].ended.is_some(), "a group is given up when its owner has ended")?;
            must((group.members.len() as u32) < group.size(), "a group that has all its members is decided by them")?;
        } else if &*decision.reason == "join_given_up" {
            let owner = event.run_id.index as usize;
            must(self.runs[owner].ended.is_none(), "a group is given up by an owner that lives")?;
            must((group.members.len() as u32) < group.size(), "a group that has all its members is decided by them")?;
            must(decision.status == JoinStatus::Failed, "a group that is given up has failed")?;
        } else if decision.status == JoinStatus::TimedOut {
            must(event.at >= group.created_at.plus_ms(group.spec.timeout_ms), "a join times out when it is due")?;
            must(self.verdict(group).is_none(), "a group that its members decide does not time out")?;
        } else {
            must(self.verdict(group) == Some(decision.status), "a group is decided as the table says")?;
        }
        let counts = decision.counts;
        let counted = counts.success + counts.failure + counts.cancelled + counts.running;
        must(counted == group.size(), "a join counts every member once")?;
        let all_there = group.members.len() as u32 == group.size();
        let open = !all_there || group.members.iter().any(|member| self.runs[*member].ended.is_none());
        must(decision.complete != open, "a join is complete iff every member had ended")?;
        self.groups[index].decided = true;
        Ok(())
    }

    /// What must hold whenever a decision is over.
    pub fn between_decisions(&self) -> Finding {
        for (index, run) in self.runs.iter().enumerate() {
            let waits_for_children = run.children.iter().any(|child| {
                let child = &self.runs[*child];
                child.ended.is_none() && child.spec.request.parent_close != ParentClose::Abandon
            });
            if run.closed && run.active_since.is_none() && !waits_for_children {
                must(run.ended.is_some(), &format!("run {index} ends as soon as it can"))?;
            }
            let outlived = run.parent.is_some_and(|parent| self.runs[parent].ended.is_some());
            if outlived && run.ended.is_none() {
                let abandoned = run.spec.request.parent_close == ParentClose::Abandon;
                must(abandoned, "no child outlives its parent unless it was spawned to")?;
            }
            if run.ended.is_none() && self.ledger.is_crossed_above(index) {
                must(run.closed, "what draws on a crossed budget is cancelled")?;
            }
        }
        for (index, group) in self.groups.iter().enumerate().filter(|(_, group)| !group.decided) {
            must(self.verdict(group).is_none(), &format!("group {index} is decided when its members decide it"))?;
        }
        Ok(())
    }

    /// Compares the books with the kernel's own.
    pub fn agrees_with(&self, tree: &pleach_kernel::Tree) -> Finding {
        must(tree.seq() == self.seq, "every event was seen")?;
        must(tree.runs().len() == self.runs.len(), "every run was seen")?;
        must(tree.active() == self.active(), "active guests are counted")?;
        let active = tree.active_guests().filter(|id| self.runs[id.index as usize].active_since.is_some());
        must(active.count() as u32 == self.active(), "active guests are listed")?;
        must(*tree.usage() == self.ledger.total(), "the log adds up to the total usage")?;
        must(tree.is_ended() == self.runs.iter().all(|run| run.ended.is_some()), "a tree ends with its last run")?;
        for (run, known) in tree.runs().iter().zip(&self.runs) {
            must(run.status.is_terminal() == known.ended.is_some(), "a run ends by its events")?;
            let reached = known.last_call.map_or(0, |call| call + 1);
            must(tree.calls_reached(run.id) == reached, "the calls of a try are known while its guest runs")?;
            must(tree.is_closing(run.id) == (known.closed && known.ended.is_none()), "what is closing is known")?;
            must(known.ended.is_none_or(|status| status == run.status), "the first terminal status stays")?;
        }
        if tree.is_ended() {
            must(tree.next_timer().is_none(), "a tree that has ended waits for nothing")?;
            must(tree.ready_count() == 0, "a tree that has ended starts nothing")?;
            self.ledger.adds_up(tree)?;
        }
        Ok(())
    }

    fn active(&self) -> u32 {
        self.runs.iter().filter(|run| run.active_since.is_some()).count() as u32
    }
}

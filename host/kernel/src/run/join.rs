//! Join: decide a group, once, and answer whoever asks.
//!
//! A group is decided in the same decision as the event that tips it, whether
//! or not anybody is asking.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cancel::Reach;
use crate::command::{Caller, JoinMode, Surface};
use crate::denial::{Code, Denial};
use crate::event::{Event, Fact};
use crate::fact::{GroupSpec, JoinCounts, JoinDecision, JoinStatus, RunError, RunStatus};
use crate::id::{GroupId, RunId, Timestamp};
use crate::payload::Payload;
use crate::snapshot::is_default;
use crate::tree::{Noticed, RunIx, Timer, Tree};

const ACTION: &str = "join";

/// The reason of a group whose owner has ended before it had added every member.
const OWNER_ENDED: &str = "join_owner_ended";

/// The reason of a group whose owner adds no more members to it, although it was to have
/// some.
pub(super) const GIVEN_UP: &str = "join_given_up";

/// Runs that were spawned together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub owner: RunIx,
    pub members: Members,
    pub spec: GroupSpec,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    /// The node of the owner's graph that spawned it.
    pub node_id: Option<Arc<str>>,
    pub surface: Surface,
    #[serde(default, skip_serializing_if = "is_default")]
    succeeded: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    failed: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    cancelled: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub decided: Option<Decided>,
}

/// The runs of a group, in the order of their ordinals: those that were spawned
/// with it, and those that were added since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Members(Vec<Range<RunIx>>);

impl Members {
    pub fn len(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = RunIx> + use<> {
        self.0.clone().into_iter().flatten()
    }

    pub(crate) fn add(&mut self, runs: Range<RunIx>) {
        match self.0.last_mut() {
            _ if runs.is_empty() => {}
            Some(last) if last.end == runs.start => last.end = runs.end,
            Some(_) | None => self.0.push(runs),
        }
    }
}

/// A decision as it stands for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Decided {
    pub seq: u64,
    decision: JoinDecision,
}

impl Group {
    /// A group as the event that spawns its members makes it.
    pub(crate) fn new(event: &Event, members: Range<RunIx>, spec: GroupSpec) -> Self {
        let mut all = Members::default();
        all.add(members);
        Self {
            owner: event.run_id.index as RunIx,
            members: all,
            spec,
            created_at: event.at,
            node_id: event.node_id.clone(),
            surface: event.surface,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            decided: None,
        }
    }

    /// A member has ended; part of applying that.
    pub(crate) fn count(&mut self, status: RunStatus) {
        match status {
            RunStatus::Completed => self.succeeded += 1,
            RunStatus::Failed | RunStatus::TimedOut => self.failed += 1,
            RunStatus::Cancelled => self.cancelled += 1,
            RunStatus::Queued | RunStatus::Running | RunStatus::Paused => {}
        }
    }

    /// Whether all that it speaks of is among so many runs.
    pub(crate) fn fits(&self, runs: usize) -> bool {
        let ended = u64::from(self.succeeded) + u64::from(self.failed) + u64::from(self.cancelled);
        let there = |range: &Range<RunIx>| range.start <= range.end && range.end <= runs;
        self.owner < runs && self.members.0.iter().all(there) && ended <= u64::from(self.size())
    }

    /// How many members it has, those that are still to be added included.
    pub(super) fn size(&self) -> u32 {
        self.spec.size.unwrap_or(self.members.len() as u32)
    }

    fn running(&self) -> u32 {
        self.size() - self.succeeded - self.failed - self.cancelled
    }

    pub(crate) fn status(&self) -> Option<JoinStatus> {
        self.decided.as_ref().map(|decided| decided.decision.status)
    }

    /// The table of semantics: what the counts decide, if they decide.
    fn verdict(&self) -> Option<(JoinStatus, &'static str)> {
        let (s, f, r) = (self.succeeded, self.failed, self.running());
        if self.size() == 0 {
            return Some((JoinStatus::Empty, "empty"));
        }
        // Members that somebody cancelled are neither successes nor failures;
        // where nobody is left and nothing succeeded, the group has failed.
        let at_the_end = || match (s, f) {
            (0, _) => JoinStatus::Failed,
            (_, 0) => JoinStatus::Completed,
            _ => JoinStatus::CompletedWithErrors,
        };
        match self.spec.mode {
            JoinMode::BestEffort | JoinMode::All => (r == 0).then(|| (at_the_end(), "all_ended")),
            JoinMode::FailFast if f > 0 => Some((JoinStatus::Failed, "join_fail_fast")),
            JoinMode::FailFast => (r == 0).then(|| (at_the_end(), "all_ended")),
            JoinMode::Quorum => {
                let quorum = self.spec.quorum.unwrap_or(self.size());
                if s >= quorum {
                    Some((JoinStatus::Completed, "join_quorum_reached"))
                } else if s + r < quorum {
                    Some((JoinStatus::Failed, "join_quorum_impossible"))
                } else {
                    None
                }
            }
            JoinMode::FirstSuccess if s > 0 => Some((JoinStatus::Completed, "join_first_success")),
            JoinMode::FirstSuccess => (r == 0).then_some((JoinStatus::Failed, "all_ended")),
        }
    }
}

/// What became of one member.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberOutcome {
    pub ordinal: u32,
    pub run_id: RunId,
    pub status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
}

/// The decision on a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JoinResult {
    pub group_id: GroupId,
    pub mode: JoinMode,
    pub status: JoinStatus,
    /// Whether every member ended by itself.
    pub complete: bool,
    pub outputs: Vec<MemberOutcome>,
    pub success_count: u32,
    pub failure_count: u32,
    pub cancelled_count: u32,
    pub running_count: u32,
    pub reason: Arc<str>,
    pub decided_at_seq: u64,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq)]
pub enum JoinAnswer {
    Decided(Box<JoinResult>),
    /// Not yet; ask [`Tree::join_result`] again after the next decision.
    Waiting,
}

impl Tree {
    /// Answers a join by the group's owner, an ancestor of it, or the operator.
    pub fn join(
        &mut self,
        now: Timestamp,
        caller: Caller,
        surface: Surface,
        group: GroupId,
    ) -> Result<JoinAnswer, Box<Denial>> {
        match self.check_join(caller, surface, group) {
            Ok(()) => Ok(match self.join_result(group) {
                Some(result) => JoinAnswer::Decided(Box::new(result)),
                None => JoinAnswer::Waiting,
            }),
            Err(denial) => Err(Box::new(self.deny(now, caller, surface, None, denial))),
        }
    }

    fn check_join(&self, caller: Caller, surface: Surface, group: GroupId) -> Result<(), Denial> {
        self.open_surface(ACTION, surface)?;
        let known = self.groups.get(group.index as usize).filter(|_| group.root == self.id).ok_or_else(|| {
            Denial::new(Code::GroupNotFound, ACTION, format!("group {group} is not in tree {}", self.id))
        })?;
        let Caller::Run(caller) = caller else { return Ok(()) };
        let ix = self.live_caller(ACTION, caller)?;
        if self.is_below(known.owner, ix) {
            return Ok(());
        }
        let message =
            format!("group {group} was spawned by run {}, which is not below the caller", self.run_id(known.owner));
        Err(Denial::new(Code::NotInLineage, ACTION, message))
    }

    /// The decision on a group; the same each time, and none before it is made.
    pub fn join_result(&self, id: GroupId) -> Option<JoinResult> {
        let group = self.groups.get(id.index as usize).filter(|_| id.root == self.id)?;
        let Decided { seq, decision, .. } = group.decided.as_ref()?;
        let outputs = group.members.iter().enumerate().map(|(ordinal, ix)| self.outcome(ordinal, ix, *seq));
        Some(JoinResult {
            group_id: id,
            mode: decision.mode,
            status: decision.status,
            complete: decision.complete,
            outputs: outputs.collect(),
            success_count: decision.counts.success,
            failure_count: decision.counts.failure,
            cancelled_count: decision.counts.cancelled,
            running_count: decision.counts.running,
            reason: decision.reason.clone(),
            decided_at_seq: *seq,
        })
    }

    /// A member as the decision at `seq` saw it: whoever had not ended by then
    /// was cancelled by it.
    fn outcome(&self, ordinal: usize, ix: RunIx, seq: u64) -> MemberOutcome {
        let run = &self.runs[ix];
        let (ordinal, run_id) = (ordinal as u32, run.id);
        if run.status.is_terminal() && run.finished_seq < seq {
            let (output, error) = (run.output().cloned(), run.error());
            return MemberOutcome { ordinal, run_id, status: run.status, output, error };
        }
        let error = RunError::new("cancelled", "the group was decided before this member had ended");
        MemberOutcome { ordinal, run_id, status: RunStatus::Cancelled, output: None, error: Some(error) }
    }

    /// Decides a group if its counts do; `trigger` is the run that just ended.
    pub(crate) fn try_decide(&mut self, now: Timestamp, index: usize, trigger: Option<RunIx>) {
        let group = &self.groups[index];
        if group.decided.is_some() {
            return;
        }
        if let Some((status, reason)) = group.verdict() {
            self.write_decision(now, index, status, reason, trigger);
        }
    }

    /// The timer of a group fired first.
    pub(crate) fn join_timed_out(&mut self, now: Timestamp, index: usize) {
        if self.groups[index].decided.is_none() {
            self.write_decision(now, index, JoinStatus::TimedOut, "join_timed_out", None);
        }
    }

    /// A run ends: groups that it has not added all members to never get them.
    pub(crate) fn give_up_groups(&mut self, now: Timestamp, owner: RunIx) {
        for group in self.runs[owner].groups.clone() {
            self.write_given_up(now, group, OWNER_ENDED);
        }
    }

    /// A group never gets the members that it lacks, if it lacks any.
    pub(super) fn write_given_up(&mut self, now: Timestamp, index: usize, reason: &'static str) {
        let group = &self.groups[index];
        if group.decided.is_none() && group.members.len() < group.size() as usize {
            self.write_decision(now, index, JoinStatus::Failed, reason, None);
        }
    }

    fn write_decision(
        &mut self,
        now: Timestamp,
        index: usize,
        status: JoinStatus,
        reason: &'static str,
        trigger: Option<RunIx>,
    ) {
        let group = &self.groups[index];
        let survivors = group.running();
        let decision = JoinDecision {
            group_id: self.group_id(index),
            mode: group.spec.mode,
            status,
            complete: survivors == 0,
            counts: JoinCounts {
                success: group.succeeded,
                failure: group.failed,
                cancelled: group.cancelled + survivors,
                running: 0,
            },
            reason: reason.into(),
            trigger_run_id: trigger.map(|ix| self.run_id(ix)),
        };
        let (owner, surface, members) = (group.owner, group.surface, group.members.clone());
        let node_id = group.node_id.clone();
        self.emit_from(now, owner, node_id, surface, None, Fact::JoinDecision(decision));
        if survivors > 0 {
            // Those that were not spawned yet never will be.
            let losers: Vec<RunIx> = members.iter().filter(|ix| !self.runs[*ix].status.is_terminal()).collect();
            if !losers.is_empty() {
                self.mark_cancelled(now, surface, owner, &losers, Reach::NotAbandoned, reason);
            }
        }
    }

    pub(crate) fn apply_join(&mut self, seq: u64, decision: &JoinDecision) {
        let index = decision.group_id.index as usize;
        let group = &mut self.groups[index];
        let due = group.created_at.plus_ms(group.spec.timeout_ms);
        if group.decided.is_none() {
            group.decided = Some(Decided { seq, decision: decision.clone() });
            self.decisions.push(index);
            self.runs[group.owner].noticed.push(Noticed::Group(index as u32));
        }
        self.timers.remove(&(due, Timer::JoinTimeout(index)));
    }
}

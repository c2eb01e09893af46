//! Replay: what a guest that is run again has done already.
//!
//! A guest's host calls are numbered from 0 in each try. What a call has spawned
//! is in the log with the call's number, so a try that is run again from the
//! start, at the same questions, is answered from here: the same, and without an
//! event. Answers that are in no log are the engine's to keep.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::admission::RESERVED_KEYS;
use super::replan;
use super::replan::Evaluate;
use super::spawn;
use crate::command::{JoinMode, JoinPolicy, Resolution, Spawn, SpawnGroup, SpawnRequest, Spawned, SpawnedGroup};
use crate::event::Event;
use crate::fact::{GroupSpec, SpawnDecision};
use crate::id::RunId;
use crate::payload::Payload;
use crate::snapshot::is_default;
use crate::tree::{RunIx, Tree};

/// A guest asked something else than it did at this place before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host call {call} was {recorded}, and when it was run again {asked}")]
pub struct Nondeterminism {
    pub call: u32,
    pub recorded: String,
    pub asked: String,
}

/// What the guest of one run has done in its current try.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Calls {
    #[serde(default, skip_serializing_if = "is_default")]
    /// By call; parents with ten thousand of these are normal.
    pub made: Vec<Made>,
    #[serde(default, skip_serializing_if = "is_default")]
    /// The last call that reported progress.
    pub reported: Option<u32>,
}

/// What one call has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    pub call: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    /// Whether it was found again, and not spawned by this call.
    pub idempotent: bool,
    pub what: What,
}

/// Places of runs and groups; narrow, because there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Run(u32),
    Group(u32),
    AgentCall(u32),
    Planner { planner: u32, of: u32 },
}

impl What {
    fn action(self) -> &'static str {
        match self {
            Self::Run(_) => spawn::ACTION,
            Self::Group(_) => "spawn_group",
            Self::AgentCall(_) => "agent_call",
            Self::Planner { .. } => replan::ACTION,
        }
    }
}

impl Calls {
    fn find(&self, call: u32) -> Option<Made> {
        let place = self.made.binary_search_by_key(&call, |made| made.call).ok()?;
        Some(self.made[place])
    }

    /// Whether all that it speaks of is among so many runs and groups.
    pub(crate) fn fits(&self, runs: usize, groups: usize) -> bool {
        let there = |made: &Made| match made.what {
            What::Run(ix) => (ix as usize) < runs,
            What::Group(index) | What::AgentCall(index) => (index as usize) < groups,
            What::Planner { planner, of } => (planner as usize) < runs && (of as usize) < runs,
        };
        self.made.iter().all(there) && self.made.is_sorted_by(|a, b| a.call < b.call)
    }

    fn insert(&mut self, made: Made) {
        // A guest makes its calls one after the other, so this is the end.
        match self.made.binary_search_by_key(&made.call, |made| made.call) {
            Ok(place) => self.made[place] = made,
            Err(place) => self.made.insert(place, made),
        }
    }

    pub(super) fn has_reported(&self, call: u32) -> bool {
        self.reported.is_some_and(|reported| reported >= call)
    }
}

impl Tree {
    /// The answer that a call of the caller's current try got, if it spawned a run
    /// or found one; none where the log knows of no such call.
    pub fn replayed_spawn(&self, caller: RunId, call: u32, spawn: &Spawn) -> Option<Result<Spawned, Nondeterminism>> {
        let made = self.run(caller)?.calls.find(call)?;
        if let What::Run(ix) = made.what {
            let spec = &self.runs[ix as RunIx].spec;
            let same_key = match &spawn.request.spawn_key {
                Some(key) => *key == spec.spawn_key,
                None => spec.key_derived,
            };
            if same_key && spec.request.is_same_as(&spawn.request) {
                return Some(Ok(self.spawned(ix as RunIx, made.idempotent)));
            }
        }
        let asked = format!("{} of {}", spawn::ACTION, asked_run(spawn));
        Some(Err(Nondeterminism { call, recorded: self.told(made.what), asked }))
    }

    /// As [`Tree::replayed_spawn`], for a group and for an agent call.
    pub fn replayed_group(
        &self,
        caller: RunId,
        call: u32,
        group: &SpawnGroup,
    ) -> Option<Result<SpawnedGroup, Nondeterminism>> {
        let made = self.run(caller)?.calls.find(call)?;
        let asked = |other: String| format!("{}{other}", self.asked_group(caller.index as RunIx, group));
        let (What::Group(index) | What::AgentCall(index)) = made.what else {
            let recorded = self.told(made.what);
            return Some(Err(Nondeterminism { call, recorded, asked: asked(String::new()) }));
        };
        let index = index as usize;
        let other = self.other_member(index, &group.members);
        if other.is_none() && made.what.action() == group.action() && self.is_group(index, caller.index as RunIx, group)
        {
            return Some(Ok(self.spawned_group(index, group.members.len(), made.idempotent)));
        }
        let (mut was, mut is) = (String::new(), String::new());
        if let Some(ordinal) = other {
            was = self.groups[index]
                .members
                .iter()
                .nth(ordinal)
                .map_or(String::new(), |before| told_member(ordinal, &self.runs[before].spec.request));
            is = told_member(ordinal, &group.members[ordinal].request);
        }
        Some(Err(Nondeterminism { call, recorded: self.told(made.what) + &was, asked: asked(is) }))
    }

    /// The replanner that a call of the caller's current try has asked, and the
    /// run about whose children.
    pub fn replayed_planner(
        &self,
        caller: RunId,
        call: u32,
        ask: &Evaluate,
    ) -> Option<Result<(RunId, RunId), Nondeterminism>> {
        let made = self.run(caller)?.calls.find(call)?;
        if let What::Planner { planner, of } = made.what {
            let (planner, of) = (self.run_id(planner as RunIx), self.run_id(of as RunIx));
            let same = |(target, _): &(Arc<str>, Resolution)| self.was_asked(planner, target, &ask.config);
            if ask.run_id.unwrap_or(caller) == of && ask.replanner.as_ref().is_some_and(same) {
                return Some(Ok((planner, of)));
            }
        }
        let target = ask.replanner.as_ref().map_or("no replanner", |(target, _)| &**target);
        let asked = format!("{} of {target} for the children of {}", replan::ACTION, ask.run_id.unwrap_or(caller));
        Some(Err(Nondeterminism { call, recorded: self.told(made.what), asked }))
    }

    /// Whether this is the replanner, with the settings, that is asked for.
    pub(super) fn was_asked(&self, planner: RunId, target: &str, config: &Option<Payload>) -> bool {
        #[derive(Deserialize)]
        struct Asked {
            config: Option<Payload>,
        }
        let Some(request) = self.run(planner).map(|run| &run.spec.request) else { return false };
        let before = serde_json::from_str::<Asked>(request.input.as_str()).ok().and_then(|asked| asked.config);
        *target == *request.target && before == *config
    }

    /// The spawning calls of a run's current try, in order, by what was called.
    pub fn calls_made(&self, run: RunId) -> impl Iterator<Item = (u32, &'static str)> + '_ {
        let made = self.run(run).map_or(&[][..], |run| &run.calls.made);
        made.iter().map(|made| (made.call, made.what.action()))
    }

    /// One more than the last call of a run's current try that left something in
    /// the log; 0 where none did.
    pub fn calls_reached(&self, run: RunId) -> u32 {
        let Some(Calls { made, reported }) = self.run(run).map(|run| &run.calls) else { return 0 };
        made.last().map(|made| made.call).max(*reported).map_or(0, |call| call.saturating_add(1))
    }

    fn is_group(&self, index: usize, caller: RunIx, group: &SpawnGroup) -> bool {
        let spec = &self.groups[index].spec;
        let same_key = match &group.key_prefix {
            Some(prefix) => *prefix == spec.key_prefix,
            None => spec.key_prefix.starts_with(RESERVED_KEYS),
        };
        let asked = self.group_spec(caller, group, spec.key_prefix.clone());
        same_key && self.has_first(index, group) && asked.is_ok_and(|asked| spec.same_join(&asked))
    }

    /// Part of applying a spawn decision: which call of the guest it answers.
    pub(crate) fn apply_made(&mut self, event: &Event, decision: &SpawnDecision) {
        let Some(call) = event.call else { return };
        let first = decision.spawned_run_ids.first().map(|id| id.index);
        let what = match (decision.replans, decision.group_id, first) {
            (Some(of), _, Some(planner)) => What::Planner { planner, of: of.index },
            (None, Some(group), _) if decision.agent_call => What::AgentCall(group.index),
            (None, Some(group), _) => What::Group(group.index),
            (None, None, Some(run)) => What::Run(run),
            (_, _, None) => return,
        };
        let caller = &mut self.runs[event.run_id.index as RunIx];
        if caller.guest_active {
            caller.calls.insert(Made { call, idempotent: decision.idempotent, what });
        }
    }

    /// Part of applying a progress report.
    pub(crate) fn apply_reported(&mut self, event: &Event) {
        let run = &mut self.runs[event.run_id.index as RunIx];
        if run.guest_active {
            run.calls.reported = run.calls.reported.max(event.call);
        }
    }

    // What a call was, for whoever has to find out why a guest asks differently.

    fn told(&self, what: What) -> String {
        let action = what.action();
        match what {
            What::Run(ix) => format!("{action} of {}", self.told_run(ix as RunIx)),
            What::AgentCall(index) | What::Group(index) => {
                let group = &self.groups[index as usize];
                let GroupSpec { key_prefix, mode, quorum, timeout_ms, .. } = &group.spec;
                let members: Vec<String> = group.members.iter().take(1).map(|ix| self.told_target(ix)).collect();
                let key = (!key_prefix.starts_with(RESERVED_KEYS)).then_some(&**key_prefix);
                told_group(action, group.members.len(), members.first(), key, (*mode, *quorum, *timeout_ms))
            }
            What::Planner { of, .. } => format!("{action} for the children of {}", self.run_id(of as RunIx)),
        }
    }

    fn told_target(&self, ix: RunIx) -> String {
        self.runs[ix].spec.request.target.to_string()
    }

    fn told_run(&self, ix: RunIx) -> String {
        let spec = &self.runs[ix].spec;
        told_run(&spec.request, (!spec.key_derived).then_some(&*spec.spawn_key))
    }

    fn asked_group(&self, caller: RunIx, group: &SpawnGroup) -> String {
        let JoinPolicy { mode, quorum, timeout_ms } = group.join;
        let mode = if mode == JoinMode::All { JoinMode::BestEffort } else { mode };
        let timeout_ms = timeout_ms.unwrap_or(self.runs[caller].spec.limits.join_timeout_ms);
        let first = group.members.first().map(|member| member.request.target.to_string());
        let join = (mode, quorum, timeout_ms);
        told_group(group.action(), group.members.len(), first.as_ref(), group.key_prefix.as_deref(), join)
    }
}

fn asked_run(spawn: &Spawn) -> String {
    told_run(&spawn.request, spawn.request.spawn_key.as_deref())
}

fn told_member(ordinal: usize, request: &SpawnRequest) -> String {
    format!("; member {ordinal} is `{}` (request {})", request.target, request.fingerprint())
}

/// Two requests that differ in their input alone differ in their fingerprint.
fn told_run(request: &SpawnRequest, key: Option<&str>) -> String {
    format!("`{}` {} (request {})", request.target, told_key("key", key), request.fingerprint())
}

fn told_key(what: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("with the {what} `{key}`"),
        None => format!("without a {what}"),
    }
}

fn told_group(
    action: &str,
    members: usize,
    first: Option<&String>,
    key: Option<&str>,
    (mode, quorum, timeout_ms): (JoinMode, Option<u32>, u64),
) -> String {
    let of = match (members, first) {
        (1, Some(target)) => format!("`{target}`"),
        (_, Some(target)) => format!("{members} runs, the first `{target}`,"),
        (_, None) => "no runs".into(),
    };
    let quorum = quorum.map(|quorum| format!(" of {quorum}")).unwrap_or_default();
    format!("{action} of {of} {}, joined by {}{quorum} in {timeout_ms} ms", told_key("key prefix", key), mode.as_str())
}

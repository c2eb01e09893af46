//! Spawn: one child.

use std::sync::Arc;

use super::admission::{Batch, check_key, check_request, derived_key};
use crate::command::{CallSite, Caller, PolicySnapshot, Spawn, Spawned, Surface};
use crate::denial::{Code, Denial};
use crate::event::Fact;
use crate::fact::{GroupSpec, RunSpec, SpawnDecision};
use crate::id::{GroupId, RunId, Timestamp};
use crate::lineage::Lineage;
use crate::scope::Grant;
use crate::tree::{RunIx, Tree};

pub(super) const ACTION: &str = "spawn_run";

/// What a spawn decision answers.
pub(super) struct Asked {
    pub now: Timestamp,
    pub caller: RunIx,
    pub surface: Surface,
    pub node_id: Option<Arc<str>>,
    /// The caller's host call that it answers; none where a plan spawns.
    pub call: Option<u32>,
    pub agent_call: bool,
    pub replans: Option<RunId>,
}

impl Asked {
    /// What is not asked for in a host call, and by no node of a graph.
    pub(super) fn new(now: Timestamp, caller: RunIx, surface: Surface) -> Self {
        Self { now, caller, surface, node_id: None, call: None, agent_call: false, replans: None }
    }
}

impl Tree {
    /// Decides on one child of `caller`. A try that is run again asks
    /// [`Tree::replayed_spawn`] first.
    pub fn spawn_run(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        spawn: Spawn,
        site: CallSite,
    ) -> Result<Spawned, Box<Denial>> {
        let node_id = spawn.node_id.clone();
        let target = spawn.request.target.clone();
        match self.decide_spawn(now, caller, surface, spawn, site) {
            Ok(spawned) => Ok(spawned),
            Err(denial) => {
                Err(Box::new(self.deny(now, Caller::Run(caller), surface, node_id, denial.of_target(&target))))
            }
        }
    }

    fn decide_spawn(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        spawn: Spawn,
        site: CallSite,
    ) -> Result<Spawned, Denial> {
        self.open_surface(ACTION, surface)?;
        let caller = self.live_caller(ACTION, caller)?;
        let node_id = spawn.node_id.clone();
        let asked = Asked { node_id, call: Some(site.call), ..Asked::new(now, caller, surface) };
        check_request(ACTION, &spawn.request)?;
        let (key, derived) = match &spawn.request.spawn_key {
            Some(key) => (key.clone(), false),
            None => (derived_key(self.runs[caller].attempt, site.keyless), true),
        };
        if !derived {
            check_key(ACTION, &key)?;
        }
        if let Some(existing) = self.runs[caller].keys.get(&key).copied() {
            return self.found_again(asked, &spawn, existing);
        }
        let draft = self.admit(ACTION, now, caller, &spawn, &Batch::default())?;
        let ix = self.write_spawn(asked, vec![draft.spec(spawn, key, derived)], None);
        Ok(self.spawned(ix, false))
    }

    fn found_again(&mut self, asked: Asked, spawn: &Spawn, existing: RunIx) -> Result<Spawned, Denial> {
        if !self.runs[existing].spec.request.is_same_as(&spawn.request) {
            let message = format!(
                "the key `{}` was used for another request, which is run {}",
                self.runs[existing].spec.spawn_key, self.runs[existing].id
            );
            return Err(Denial::new(Code::IdempotencyConflict, ACTION, message));
        }
        self.write_found_again(asked, &[existing], None);
        Ok(self.spawned(existing, true))
    }

    /// Writes the decision that runs were found again.
    pub(super) fn write_found_again(&mut self, asked: Asked, runs: &[RunIx], group: Option<usize>) {
        let Asked { now, caller, surface, node_id, call, agent_call, replans } = asked;
        let decision = SpawnDecision {
            target: targets(runs.iter().map(|ix| &self.runs[*ix].spec)),
            spawned_run_ids: runs.iter().map(|ix| self.run_id(*ix)).collect(),
            group_id: group.map(|group| self.group_id(group)),
            idempotent: true,
            effective_scopes: scopes(runs.iter().map(|ix| &self.runs[*ix].spec)),
            runs: Vec::new(),
            group: None,
            agent_call,
            replans,
            tree: None,
        };
        self.emit_from(now, caller, node_id, surface, call, Fact::SpawnDecision(Box::new(decision)));
    }

    /// Writes the decision that runs were admitted; gives the first one's place.
    pub(super) fn write_spawn(&mut self, asked: Asked, runs: Vec<RunSpec>, group: Option<GroupSpec>) -> RunIx {
        let Asked { now, caller, surface, node_id, call, agent_call, replans } = asked;
        let first = self.runs.len();
        let decision = SpawnDecision {
            target: targets(runs.iter()),
            spawned_run_ids: (first..first + runs.len()).map(|ix| self.run_id(ix)).collect(),
            group_id: group.is_some().then(|| self.group_id(self.groups.len())),
            idempotent: false,
            effective_scopes: scopes(runs.iter()),
            runs,
            group,
            agent_call,
            replans,
            tree: None,
        };
        self.emit_from(now, caller, node_id, surface, call, Fact::SpawnDecision(Box::new(decision)));
        self.write_reserved(now, first);
        first
    }

    /// Writes the decision that runs were added to a group.
    pub(super) fn write_added(&mut self, asked: Asked, runs: Vec<RunSpec>, group: GroupId) {
        let Asked { now, caller, surface, node_id, call, .. } = asked;
        let first = self.runs.len();
        let decision = SpawnDecision {
            target: targets(runs.iter()),
            spawned_run_ids: (first..first + runs.len()).map(|ix| self.run_id(ix)).collect(),
            group_id: Some(group),
            idempotent: false,
            effective_scopes: scopes(runs.iter()),
            runs,
            group: None,
            agent_call: false,
            replans: None,
            tree: None,
        };
        self.emit_from(now, caller, node_id, surface, call, Fact::SpawnDecision(Box::new(decision)));
        self.write_reserved(now, first);
    }

    /// The answer for a run that was spawned; the same at any time.
    pub(super) fn spawned(&self, ix: RunIx, idempotent: bool) -> Spawned {
        let run = &self.runs[ix];
        Spawned {
            run_id: run.id,
            idempotent,
            lineage: Lineage { attempt: 1, ..self.lineage(run) },
            effective_scopes: run.spec.request.scopes.clone(),
            policy_snapshot: PolicySnapshot { policy_version: self.policy.version, limits: run.spec.limits },
        }
    }
}

/// Each target, or one for all where all are the same.
fn targets<'a>(runs: impl Iterator<Item = &'a RunSpec> + Clone) -> Vec<Arc<str>> {
    one_for_all(runs.map(|run| &run.request.target))
}

fn scopes<'a>(runs: impl Iterator<Item = &'a RunSpec> + Clone) -> Vec<Grant> {
    one_for_all(runs.map(|run| &run.request.scopes))
}

fn one_for_all<'a, T: Clone + PartialEq + 'a>(list: impl Iterator<Item = &'a T> + Clone) -> Vec<T> {
    let all_equal = list.clone().zip(list.clone().skip(1)).all(|(one, next)| one == next);
    list.take(if all_equal { 1 } else { usize::MAX }).cloned().collect()
}

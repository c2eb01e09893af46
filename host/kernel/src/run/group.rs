//! Group: several children, all or none.

use std::ops::Range;
use std::sync::Arc;

use super::admission::{Batch, check_key, check_request, derived_key};
use super::join::Group;
use crate::command::{Caller, JoinMode, MAX_GROUP, SpawnGroup, SpawnedGroup, Surface};
use crate::denial::{Code, Denial};
use crate::event::Event;
use crate::fact::GroupSpec;
use crate::id::{RunId, Timestamp};
use crate::tree::{RunIx, Timer, Tree};

const ACTION: &str = "spawn_group";

impl Tree {
    /// Decides on a group of children of `caller`; see [`Tree::spawn_run`].
    pub fn spawn_group(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        group: SpawnGroup,
        call_index: u32,
    ) -> Result<SpawnedGroup, Box<Denial>> {
        let node_id = group.node_id.clone();
        match self.decide_group(now, caller, surface, group, call_index) {
            Ok(spawned) => Ok(spawned),
            Err(denial) => Err(Box::new(self.deny(now, Caller::Run(caller), surface, node_id, denial))),
        }
    }

    fn decide_group(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        group: SpawnGroup,
        call_index: u32,
    ) -> Result<SpawnedGroup, Denial> {
        self.open_surface(ACTION, surface)?;
        let caller = self.live_caller(ACTION, caller)?;
        let (prefix, derived) = match &group.key_prefix {
            Some(prefix) => (prefix.clone(), false),
            None => (derived_key(self.runs[caller].attempt, call_index), true),
        };
        if !derived {
            check_key(ACTION, &prefix)?;
        }
        if group.members.len() > MAX_GROUP {
            let message = format!("{} members; a group has at most {MAX_GROUP}", group.members.len());
            return Err(Denial::new(Code::InvalidRequest, ACTION, message));
        }
        let spec = self.group_spec(caller, &group, prefix.clone())?;
        if let Some(existing) = self.runs[caller].group_keys.get(&prefix).copied() {
            return self.group_found_again(now, caller, surface, &group, &spec, existing);
        }
        let runs = self.admit_members(now, caller, group.members, &prefix, derived)?;
        let count = runs.len();
        let warnings = spec.warnings.clone();
        let index = self.groups.len();
        let first = self.write_spawn(now, caller, surface, group.node_id, runs, Some(spec));
        self.try_decide(now, index, None);
        self.settle(now);
        Ok(SpawnedGroup {
            group_id: self.group_id(index),
            idempotent: false,
            members: (first..first + count).map(|ix| self.spawned(ix, false)).collect(),
            warnings,
        })
    }

    fn group_spec(&self, caller: RunIx, group: &SpawnGroup, key_prefix: Arc<str>) -> Result<GroupSpec, Denial> {
        let members = group.members.len() as u64;
        let mut warnings = Vec::new();
        let mode = match group.join.mode {
            JoinMode::All => {
                warnings.push("join mode `all` is an alias; write `best_effort`".to_owned());
                JoinMode::BestEffort
            }
            mode => mode,
        };
        let refuse = |message: String| Err(Denial::new(Code::InvalidQuorum, ACTION, message));
        match (mode, group.join.quorum) {
            (JoinMode::Quorum, None) => return refuse("join mode `quorum` needs a quorum".into()),
            (JoinMode::Quorum, Some(quorum)) if quorum == 0 || u64::from(quorum) > members => {
                return refuse(format!("a quorum of {quorum} of {members}; it is from 1 to the number of members"));
            }
            (JoinMode::Quorum, Some(_)) | (_, None) => {}
            (_, Some(_)) => return refuse("a quorum is for join mode `quorum` only".into()),
        }
        let timeout_ms = group.join.timeout_ms.unwrap_or(self.runs[caller].spec.limits.join_timeout_ms);
        Ok(GroupSpec { key_prefix, mode, quorum: group.join.quorum, timeout_ms, warnings })
    }

    fn admit_members(
        &self,
        now: Timestamp,
        caller: RunIx,
        members: Vec<crate::command::Spawn>,
        prefix: &Arc<str>,
        derived: bool,
    ) -> Result<Vec<crate::fact::RunSpec>, Denial> {
        let mut batch = Batch::default();
        let mut runs = Vec::with_capacity(members.len());
        for (ordinal, member) in members.into_iter().enumerate() {
            let name = |mut denial: Denial| {
                denial.message = format!("member {ordinal}: {}", denial.message);
                denial.of_target(&member.request.target)
            };
            check_request(ACTION, &member.request).map_err(name)?;
            if member.request.spawn_key.is_some() {
                let message = "a member has no key of its own; it is known by the group's prefix and its place";
                return Err(name(Denial::new(Code::InvalidRequest, ACTION, message)));
            }
            let key: Arc<str> = format!("{prefix}:{ordinal}").into();
            if let Some(taken) = self.runs[caller].keys.get(&key) {
                let message = format!("the key `{key}` was used for run {}", self.run_id(*taken));
                return Err(name(Denial::new(Code::IdempotencyConflict, ACTION, message)));
            }
            let draft = self.admit(ACTION, now, caller, &member, &batch).map_err(name)?;
            batch.runs += 1;
            batch.reserved.add(&Self::reservation(&member.request.budget));
            runs.push(draft.spec(member, key, derived));
        }
        Ok(runs)
    }

    fn group_found_again(
        &mut self,
        now: Timestamp,
        caller: RunIx,
        surface: Surface,
        group: &SpawnGroup,
        spec: &GroupSpec,
        existing: usize,
    ) -> Result<SpawnedGroup, Denial> {
        let found = &self.groups[existing];
        let same = found.spec.same_join(spec)
            && found.members.len() == group.members.len()
            && found
                .members
                .clone()
                .zip(&group.members)
                .all(|(ix, member)| self.runs[ix].spec.fingerprint == member.fingerprint);
        if !same {
            let message = format!(
                "the key prefix `{}` was used for another request, which is group {}",
                spec.key_prefix,
                self.group_id(existing)
            );
            return Err(Denial::new(Code::IdempotencyConflict, ACTION, message));
        }
        let (members, warnings) = (found.members.clone(), found.spec.warnings.clone());
        let runs: Vec<RunIx> = members.clone().collect();
        self.write_found_again(now, caller, surface, &group.node_id, &runs, Some(existing));
        Ok(SpawnedGroup {
            group_id: self.group_id(existing),
            idempotent: true,
            members: members.map(|ix| self.spawned(ix, true)).collect(),
            warnings,
        })
    }

    /// Part of applying a spawn: the group that its runs are members of.
    pub(crate) fn apply_group(&mut self, event: &Event, spec: &GroupSpec, members: Range<RunIx>) -> usize {
        let index = self.groups.len();
        let owner = event.run_id.index as RunIx;
        self.groups.push(Group::new(event, members, spec.clone()));
        self.runs[owner].groups.push(index);
        self.runs[owner].group_keys.insert(spec.key_prefix.clone(), index);
        self.timers.insert((event.at.plus_ms(spec.timeout_ms), Timer::JoinTimeout(index)));
        index
    }
}

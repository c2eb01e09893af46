//! Group: several children, all or none.

use std::ops::Range;
use std::sync::Arc;

use super::admission::{Batch, RESERVED_KEYS, check_key, check_request, derived_key};
use super::join::{GIVEN_UP, Group};
use super::spawn::Asked;
use crate::command::{CallSite, Caller, JoinMode, JoinPolicy, MAX_GROUP, Spawn, SpawnGroup, SpawnedGroup, Surface};
use crate::denial::{Code, Denial};
use crate::event::Event;
use crate::fact::{GroupSpec, RunSpec};
use crate::id::{GroupId, RunId, Timestamp};
use crate::tree::{RunIx, Timer, Tree};

const AGENT_CALL: &str = "agent_call";
const EXTEND: &str = "extend_group";
const GIVE_UP: &str = "give_up_group";

impl Tree {
    /// Decides on a group of children of `caller`, or on the one that it calls; see
    /// [`Tree::spawn_run`]. A try that is run again asks [`Tree::replayed_group`]
    /// first.
    pub fn spawn_group(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        group: SpawnGroup,
        site: CallSite,
    ) -> Result<SpawnedGroup, Box<Denial>> {
        let node_id = group.node_id.clone();
        match self.decide_group(now, caller, surface, group, site) {
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
        site: CallSite,
    ) -> Result<SpawnedGroup, Denial> {
        let action = group.action();
        self.open_surface(action, surface)?;
        let caller = self.live_caller(action, caller)?;
        let (prefix, derived) = match &group.key_prefix {
            Some(prefix) => (prefix.clone(), false),
            None => (derived_key(self.runs[caller].attempt, site.keyless), true),
        };
        if !derived {
            check_key(action, &prefix)?;
        }
        let size = group.size.map_or(group.members.len(), |size| size as usize);
        if size > MAX_GROUP {
            let message = format!("{size} members; a group has at most {MAX_GROUP}");
            return Err(Denial::new(Code::InvalidRequest, action, message));
        }
        if size < group.members.len() {
            let message = format!("a group of {size} cannot begin with {} members", group.members.len());
            return Err(Denial::new(Code::InvalidRequest, action, message));
        }
        let spec = self.group_spec(caller, &group, prefix.clone())?;
        let (node_id, agent_call) = (group.node_id.clone(), group.agent_call);
        let asked = Asked { node_id, call: Some(site.call), agent_call, ..Asked::new(now, caller, surface) };
        if let Some(existing) = self.runs[caller].group_keys.get(&prefix).copied() {
            return self.group_found_again(asked, &group, &spec, existing);
        }
        let runs = self.admit_members(now, caller, group.action(), group.members, 0, &prefix, derived)?;
        let (index, members) = (self.groups.len(), runs.len());
        self.write_spawn(asked, runs, Some(spec));
        self.try_decide(now, index, None);
        self.settle(now);
        Ok(self.spawned_group(index, members, false))
    }

    pub(super) fn group_spec(
        &self,
        caller: RunIx,
        group: &SpawnGroup,
        key_prefix: Arc<str>,
    ) -> Result<GroupSpec, Denial> {
        let (action, join): (_, &JoinPolicy) = (group.action(), &group.join);
        let members = group.size.map_or(group.members.len(), |size| size as usize);
        let mut warnings = Vec::new();
        let mode = match join.mode {
            JoinMode::All => {
                warnings.push("join mode `all` is an alias; write `best_effort`".to_owned());
                JoinMode::BestEffort
            }
            mode => mode,
        };
        let refuse = |message: String| Err(Denial::new(Code::InvalidQuorum, action, message));
        match (mode, join.quorum) {
            (JoinMode::Quorum, None) => return refuse("join mode `quorum` needs a quorum".into()),
            (JoinMode::Quorum, Some(quorum)) if quorum == 0 || u64::from(quorum) > members as u64 => {
                return refuse(format!("a quorum of {quorum} of {members}; it is from 1 to the number of members"));
            }
            (JoinMode::Quorum, Some(_)) | (_, None) => {}
            (_, Some(_)) => return refuse("a quorum is for join mode `quorum` only".into()),
        }
        let timeout_ms = join.timeout_ms.unwrap_or(self.runs[caller].spec.limits.join_timeout_ms);
        Ok(GroupSpec { key_prefix, mode, quorum: join.quorum, timeout_ms, size: group.size, warnings })
    }

    #[allow(clippy::too_many_arguments, reason = "who asks for which members, and what they are called")]
    fn admit_members(
        &self,
        now: Timestamp,
        caller: RunIx,
        action: &'static str,
        members: Vec<Spawn>,
        first: usize,
        prefix: &Arc<str>,
        derived: bool,
    ) -> Result<Vec<RunSpec>, Denial> {
        let mut batch = Batch::default();
        let mut runs = Vec::with_capacity(members.len());
        for (ordinal, member) in (first..).zip(members) {
            let name = |mut denial: Denial| {
                // Who calls one agent knows of no members.
                if action != AGENT_CALL {
                    denial.message = format!("member {ordinal}: {}", denial.message);
                }
                denial.of_target(&member.request.target)
            };
            check_request(action, &member.request).map_err(name)?;
            if member.request.spawn_key.is_some() {
                let message = "a member has no key of its own; it is known by the group's prefix and its place";
                return Err(name(Denial::new(Code::InvalidRequest, action, message)));
            }
            let key: Arc<str> = format!("{prefix}:{ordinal}").into();
            if let Some(taken) = self.runs[caller].keys.get(&key) {
                let message = format!("the key `{key}` was used for run {}", self.run_id(*taken));
                return Err(name(Denial::new(Code::IdempotencyConflict, action, message)));
            }
            let draft = self.admit(action, now, caller, &member, &batch).map_err(name)?;
            batch.runs += 1;
            batch.reserved.add(&Self::reservation(&member.request.budget));
            runs.push(draft.spec(member, key, derived));
        }
        Ok(runs)
    }

    fn group_found_again(
        &mut self,
        asked: Asked,
        group: &SpawnGroup,
        spec: &GroupSpec,
        existing: usize,
    ) -> Result<SpawnedGroup, Denial> {
        let found = &self.groups[existing];
        let same = found.spec.same_join(spec)
            && self.has_first(existing, group)
            && self.other_member(existing, &group.members).is_none();
        if !same {
            let message = format!(
                "the key prefix `{}` was used for another request, which is group {}",
                spec.key_prefix,
                self.group_id(existing)
            );
            return Err(Denial::new(Code::IdempotencyConflict, group.action(), message));
        }
        let runs: Vec<RunIx> = found.members.iter().take(group.members.len()).collect();
        self.write_found_again(asked, &runs, Some(existing));
        Ok(self.spawned_group(existing, group.members.len(), true))
    }

    /// The first member of a group that is not what is asked for now.
    pub(super) fn other_member(&self, group: usize, members: &[Spawn]) -> Option<usize> {
        let mut pairs = self.groups[group].members.iter().zip(members);
        pairs.position(|(ix, member)| !self.is_asked_again(ix, member))
    }

    /// The answer for a group that was spawned with its first `members`; the same at
    /// any time, however many were added since.
    pub(super) fn spawned_group(&self, index: usize, members: usize, idempotent: bool) -> SpawnedGroup {
        let group = &self.groups[index];
        SpawnedGroup {
            group_id: self.group_id(index),
            idempotent,
            members: group.members.iter().take(members).map(|ix| self.spawned(ix, idempotent)).collect(),
            warnings: group.spec.warnings.clone(),
        }
    }

    /// Adds members to a group of the caller's that has not got all of them yet, from
    /// the place `first` on. Those that are there already are found again, as another
    /// try of the caller asks for them; where the group is decided, no other is added.
    /// Gives the runs, in their order.
    pub fn extend_group(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        group: GroupId,
        first: u32,
        members: Vec<Spawn>,
    ) -> Result<Vec<RunId>, Box<Denial>> {
        let node_id = self.groups.get(group.index as usize).and_then(|group| group.node_id.clone());
        match self.decide_extension(now, caller, surface, group, first as usize, members) {
            Ok(added) => Ok(added),
            Err(denial) => Err(Box::new(self.deny(now, Caller::Run(caller), surface, node_id, denial))),
        }
    }

    fn decide_extension(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        id: GroupId,
        first: usize,
        mut members: Vec<Spawn>,
    ) -> Result<Vec<RunId>, Denial> {
        let (caller, index) = self.own_group(EXTEND, caller, surface, id)?;
        let group = &self.groups[index];
        let (has, is_open) = (group.members.len(), group.decided.is_none());
        if first > has && is_open {
            let message = format!("the group has {has} members, so the next one is member {has} and not {first}");
            return Err(Denial::new(Code::InvalidRequest, EXTEND, message));
        }
        let mut further = members.split_off(members.len().min(has.saturating_sub(first)));
        if !is_open {
            further.clear();
        }
        if has + further.len() > group.size() as usize {
            let (size, more) = (group.size(), further.len());
            let message = format!("the group has {has} of {size} members, and {more} more are too many");
            return Err(Denial::new(Code::InvalidRequest, EXTEND, message));
        }
        let (prefix, node_id) = (group.spec.key_prefix.clone(), group.node_id.clone());
        let asked = || Asked { node_id: node_id.clone(), ..Asked::new(now, caller, surface) };
        let mut runs: Vec<RunIx> = group.members.iter().skip(first).take(members.len()).collect();
        if let Some(other) = runs.iter().zip(&members).position(|(ix, member)| !self.is_asked_again(*ix, member)) {
            let message =
                format!("member {} was another request, which is run {}", first + other, self.run_id(runs[other]));
            return Err(Denial::new(Code::IdempotencyConflict, EXTEND, message));
        }
        let derived = prefix.starts_with(RESERVED_KEYS);
        let admitted = self.admit_members(now, caller, EXTEND, further, has, &prefix, derived)?;
        if !runs.is_empty() {
            self.write_found_again(asked(), &runs, Some(index));
        }
        if !admitted.is_empty() {
            let before = self.runs.len();
            self.write_added(asked(), admitted, id);
            runs.extend(before..self.runs.len());
        }
        Ok(runs.into_iter().map(|ix| self.run_id(ix)).collect())
    }

    /// A caller and the place of its group.
    fn own_group(
        &self,
        action: &'static str,
        caller: RunId,
        surface: Surface,
        id: GroupId,
    ) -> Result<(RunIx, usize), Denial> {
        self.open_surface(action, surface)?;
        let caller = self.live_caller(action, caller)?;
        let index = id.index as usize;
        match self.groups.get(index).filter(|group| id.root == self.id && group.owner == caller) {
            Some(_) => Ok((caller, index)),
            None => Err(Denial::new(Code::GroupNotFound, action, format!("group {id} is none of the caller's"))),
        }
    }

    /// Adds nothing more to a group of the caller's: where it lacks members, it is
    /// decided as failed, and those that it has and that have not ended are cancelled.
    /// One that has all its members, or is decided, stays as it is.
    pub fn give_up_group(
        &mut self,
        now: Timestamp,
        caller: RunId,
        surface: Surface,
        group: GroupId,
    ) -> Result<(), Box<Denial>> {
        match self.own_group(GIVE_UP, caller, surface, group) {
            Ok((_, index)) => {
                self.write_given_up(now, index, GIVEN_UP);
                self.settle(now);
                Ok(())
            }
            Err(denial) => {
                let node_id = self.groups.get(group.index as usize).and_then(|group| group.node_id.clone());
                Err(Box::new(self.deny(now, Caller::Run(caller), surface, node_id, denial)))
            }
        }
    }

    fn is_asked_again(&self, ix: RunIx, member: &Spawn) -> bool {
        self.runs[ix].spec.request.is_same_as(&member.request)
    }

    /// Whether a group has room for so many more members.
    pub(crate) fn can_grow(&self, group: usize, by: usize) -> bool {
        let group = &self.groups[group];
        group.decided.is_none() && group.members.len() + by <= group.size() as usize
    }

    /// Part of applying a spawn: a group gets further members, of which the first
    /// has the ordinal that is given.
    pub(crate) fn grow(&mut self, group: usize, by: usize) -> u32 {
        let (first, members) = (self.runs.len(), &mut self.groups[group].members);
        let ordinal = members.len() as u32;
        members.add(first..first + by);
        ordinal
    }

    /// Whether a group began with as many members as are asked for now.
    pub(super) fn has_first(&self, index: usize, group: &SpawnGroup) -> bool {
        let members = self.groups[index].members.len();
        match group.size {
            Some(_) => members >= group.members.len(),
            None => members == group.members.len(),
        }
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

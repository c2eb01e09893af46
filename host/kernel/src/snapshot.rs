//! Snapshots: a tree's state as bytes, so that a long log need not be folded
//! from its beginning.
//!
//! The log stays the truth. A snapshot of another format is not read but made
//! anew from the log, so the forms here may change freely, with the number. What
//! follows from something else (indexes, counters, timers) is left out and
//! computed again, and so is what stands at its default: there may be a million
//! runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU64;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::budget::Usage;
use crate::command::{Fairness, SpawnRequest, Surface};
use crate::fact::{Fate, RunSpec, RunStatus};
use crate::id::{RootId, RunId, Tenant, Timestamp};
use crate::lineage::PluginRef;
use crate::policy::{Limits, Policy};
use crate::run::budget::Account;
use crate::run::join::Group;
use crate::run::replan::ReplanState;
use crate::run::replay::Calls;
use crate::tree::{Run, RunIx, Timer, Tree};

/// Goes up with every change of what a snapshot looks like.
pub const SNAPSHOT_FORMAT: u32 = 5;

/// Bytes that are no snapshot of this tree; its log is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    #[error("the snapshot is of format {found}, and this host reads {SNAPSHOT_FORMAT}")]
    OtherFormat { found: u32 },
    #[error("the snapshot is of tree {found}")]
    OtherTree { found: RootId },
    #[error("the snapshot cannot be read: {0}")]
    Unreadable(String),
}

/// The format is read before what depends on it.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    format: u32,
    tree: T,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedTree {
    root: RootId,
    tenant: Tenant,
    policy: Arc<Policy>,
    seq: u64,
    plugins: Vec<Arc<PluginRef>>,
    runs: Vec<SavedRun>,
    #[serde(default, skip_serializing_if = "is_default")]
    groups: Vec<Group>,
    accounts: Vec<Account>,
    #[serde(default, skip_serializing_if = "is_default")]
    stops: Vec<RunIx>,
    #[serde(default, skip_serializing_if = "is_default")]
    decisions: Vec<usize>,
    #[serde(default, skip_serializing_if = "is_default")]
    usage: Usage,
    #[serde(default, skip_serializing_if = "is_default")]
    fairness: Fairness,
    tickets: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedRun {
    /// The place in the list of plugins.
    plugin: usize,
    /// The same, of each fallback.
    #[serde(default, skip_serializing_if = "is_default")]
    fallbacks: Vec<usize>,
    request: Arc<SpawnRequest>,
    key: Arc<str>,
    #[serde(default, skip_serializing_if = "is_default")]
    key_derived: bool,
    /// None: the parent's.
    #[serde(default, skip_serializing_if = "is_default")]
    limits: Option<Limits>,
    #[serde(default, skip_serializing_if = "is_default")]
    parent: Option<RunIx>,
    #[serde(default, skip_serializing_if = "is_default")]
    node_id: Option<Arc<str>>,
    surface: Surface,
    status: RunStatus,
    attempt: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    fate: Option<Fate>,
    #[serde(default, skip_serializing_if = "is_default")]
    guest_active: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    ticket: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "is_default")]
    fallback: Option<u8>,
    /// None: the first of all.
    #[serde(default, skip_serializing_if = "is_default")]
    first_attempt: Option<u32>,
    account: usize,
    created_at: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    started_at: Option<Timestamp>,
    /// None: the first start, or, before there is one, the spawn.
    #[serde(default, skip_serializing_if = "is_default")]
    attempt_started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_default")]
    retry_due: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_default")]
    finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_default")]
    finished_seq: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    usage: Usage,
    #[serde(default, skip_serializing_if = "is_default")]
    replan: ReplanState,
    #[serde(default, skip_serializing_if = "is_default")]
    superseded: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    late_logged: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    calls: Calls,
}

/// Whether a value is what is read where nothing stands.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Tree {
    /// The state up to [`Tree::seq`], all of whose events have been
    /// [taken](Tree::take_events); without what [`Tree::set_queued`] has told.
    pub fn snapshot(&self) -> Vec<u8> {
        assert!(self.fresh.is_empty() && self.settling.is_empty(), "a snapshot is taken between decisions");
        let plugins: BTreeMap<&PluginRef, usize> =
            self.plugins.iter().enumerate().map(|(place, plugin)| (&**plugin, place)).collect();
        let saved = SavedTree {
            root: self.id,
            tenant: self.tenant.clone(),
            policy: self.policy.clone(),
            seq: self.seq,
            plugins: self.plugins.iter().cloned().collect(),
            runs: self.runs.iter().map(|run| self.saved(run, &plugins)).collect(),
            groups: self.groups.clone(),
            accounts: self.accounts.clone(),
            stops: self.stops.clone(),
            decisions: self.decisions.clone(),
            usage: self.usage,
            fairness: self.waiting.fairness,
            tickets: self.waiting.tickets,
        };
        serde_json::to_vec(&Envelope { format: SNAPSHOT_FORMAT, tree: saved })
            .unwrap_or_else(|error| unreachable!("state has text keys and finite numbers only: {error}"))
    }

    fn saved(&self, run: &Run, plugins: &BTreeMap<&PluginRef, usize>) -> SavedRun {
        let above = run.parent.map(|parent| self.runs[parent].spec.limits);
        SavedRun {
            plugin: plugins[&*run.spec.plugin],
            fallbacks: run.spec.fallbacks.iter().map(|plugin| plugins[&**plugin]).collect(),
            request: run.spec.request.clone(),
            key: run.spec.spawn_key.clone(),
            key_derived: run.spec.key_derived,
            limits: Some(run.spec.limits).filter(|own| above != Some(*own)),
            parent: run.parent,
            node_id: run.node_id.clone(),
            surface: run.surface,
            status: run.status,
            attempt: run.attempt,
            fate: run.fate.clone(),
            guest_active: run.guest_active,
            ticket: run.spot.map(|spot| spot.ticket),
            fallback: run.fallback,
            first_attempt: Some(run.first_attempt).filter(|first| *first != 1),
            account: run.account,
            created_at: run.created_at,
            started_at: run.started_at,
            attempt_started_at: Some(run.attempt_started_at)
                .filter(|at| *at != run.started_at.unwrap_or(run.created_at)),
            retry_due: run.retry_due,
            finished_at: run.finished_at,
            finished_seq: run.finished_seq,
            usage: run.usage,
            replan: run.replan.clone(),
            superseded: run.superseded,
            late_logged: run.late_logged,
            calls: run.calls.clone(),
        }
    }

    /// The tree that a snapshot was taken of; [fold](Tree::fold_on) the events
    /// after its seq on it.
    pub fn restore(root: RootId, bytes: &[u8]) -> Result<Self, RestoreError> {
        let unreadable = |error: serde_json::Error| RestoreError::Unreadable(error.to_string());
        let envelope: Envelope<&RawValue> = serde_json::from_slice(bytes).map_err(unreadable)?;
        if envelope.format != SNAPSHOT_FORMAT {
            return Err(RestoreError::OtherFormat { found: envelope.format });
        }
        let saved: SavedTree = serde_json::from_str(envelope.tree.get()).map_err(unreadable)?;
        if saved.root != root {
            return Err(RestoreError::OtherTree { found: saved.root });
        }
        saved.check().map_err(|why| RestoreError::Unreadable(why.into()))?;
        Ok(saved.into_tree())
    }
}

impl SavedTree {
    /// Every place that is named is there, so that nothing that follows can panic.
    fn check(&self) -> Result<(), &'static str> {
        let must = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
        let (runs, groups, accounts) = (self.runs.len(), self.groups.len(), self.accounts.len());
        must(runs > 0, "it has no root")?;
        for (ix, run) in self.runs.iter().enumerate() {
            must(run.parent.map_or(ix == 0, |parent| parent < ix), "a run has no parent before it")?;
            must(run.limits.is_some() || ix > 0, "the root has no limits")?;
            let mut pinned = run.fallbacks.iter().chain([&run.plugin]);
            must(pinned.all(|plugin| *plugin < self.plugins.len()), "a run's plugin is not in it")?;
            let there = |place: u8| (place as usize) < run.fallbacks.len();
            must(run.fallback.is_none_or(there), "a run's fallback is not in it")?;
            must(run.ticket <= NonZeroU64::new(self.tickets), "a run has a ticket that nobody drew")?;
            must(run.account < accounts, "a run's account is not in it")?;
            must(run.calls.fits(runs, groups), "a call has led to what is not in it")?;
        }
        for group in &self.groups {
            must(group.fits(runs), "a group's runs are not in it")?;
        }
        for (index, account) in self.accounts.iter().enumerate() {
            let above = account.parent.is_none_or(|parent| parent < index);
            must(account.owner < runs && above, "an account's owner is not in it")?;
        }
        must(self.stops.iter().all(|ix| *ix < runs), "a run to stop is not in it")?;
        must(self.decisions.iter().all(|index| *index < groups), "a decided group is not in it")
    }

    fn into_tree(self) -> Tree {
        let mut tree = Tree::blank(self.root, self.tenant, self.policy);
        tree.seq = self.seq;
        (tree.waiting.fairness, tree.waiting.tickets) = (self.fairness, self.tickets);
        tree.plugins = BTreeSet::from_iter(self.plugins.iter().cloned());
        (tree.accounts, tree.usage) = (self.accounts, self.usage);
        (tree.stops, tree.decisions, tree.settling) = (self.stops, self.decisions, VecDeque::new());
        tree.runs.reserve(self.runs.len());
        let ready = self.runs.iter().enumerate();
        let mut ready: Vec<_> = ready.filter_map(|(ix, run)| Some((run.ticket?, ix))).collect();
        ready.sort_unstable();
        for run in self.runs {
            restore_run(&mut tree, run, &self.plugins);
        }
        for (ticket, ix) in ready {
            tree.stand_last(ix, ticket);
        }
        for (index, group) in self.groups.into_iter().enumerate() {
            restore_group(&mut tree, index, group);
        }
        tree.restore_notices();
        for (index, account) in tree.accounts.iter().enumerate() {
            tree.timers.extend(account.wall_timer.map(|due| (due, Timer::WallSpent(index))));
        }
        tree
    }
}

/// Adds a run, and what its parent and the tree know of it.
fn restore_run(tree: &mut Tree, saved: SavedRun, plugins: &[Arc<PluginRef>]) {
    let ix = tree.runs.len();
    let above = saved.parent.map(|parent| (tree.runs[parent].depth, tree.runs[parent].spec.limits));
    let run = Run {
        id: RunId { root: tree.id, index: ix as u32 },
        spec: RunSpec {
            plugin: plugins[saved.plugin].clone(),
            request: saved.request,
            spawn_key: saved.key,
            key_derived: saved.key_derived,
            fallbacks: saved.fallbacks.iter().map(|place| plugins[*place].clone()).collect(),
            limits: saved.limits.or(above.map(|(_, limits)| limits)).unwrap_or_default(),
        },
        parent: saved.parent,
        depth: above.map_or(0, |(depth, _)| depth + 1),
        group: None,
        node_id: saved.node_id,
        surface: saved.surface,
        status: saved.status,
        attempt: saved.attempt,
        fate: saved.fate,
        guest_active: saved.guest_active,
        spot: None,
        fallback: saved.fallback,
        first_attempt: saved.first_attempt.unwrap_or(1),
        children: Vec::new(),
        live_children: 0,
        keys: BTreeMap::new(),
        group_keys: BTreeMap::new(),
        groups: Vec::new(),
        noticed: Vec::new(),
        account: saved.account,
        created_at: saved.created_at,
        started_at: saved.started_at,
        attempt_started_at: saved.attempt_started_at.or(saved.started_at).unwrap_or(saved.created_at),
        retry_due: saved.retry_due,
        finished_at: saved.finished_at,
        finished_seq: saved.finished_seq,
        usage: saved.usage,
        replan: saved.replan,
        superseded: saved.superseded,
        late_logged: saved.late_logged,
        calls: saved.calls,
    };
    let live = !run.status.is_terminal();
    tree.live += u32::from(live);
    tree.active += u32::from(run.guest_active);
    if let Some(parent) = run.parent {
        let parent = &mut tree.runs[parent];
        parent.children.push(ix);
        parent.keys.insert(run.spec.spawn_key.clone(), ix);
        parent.live_children += u32::from(live && !run.is_abandoned());
    }
    tree.timers.extend(run.retry_due.map(|due| (due, Timer::RetryDue(ix))));
    if let Some(deadline) = run.deadline().filter(|_| run.fate.is_none()) {
        tree.timers.insert((deadline, Timer::RunDeadline(ix)));
    }
    tree.runs.push(run);
}

/// Adds a group, and what its owner, its members and the clock know of it.
fn restore_group(tree: &mut Tree, index: usize, group: Group) {
    for (ordinal, ix) in group.members.iter().enumerate() {
        tree.runs[ix].group = Some((index, ordinal as u32));
    }
    let owner = &mut tree.runs[group.owner];
    owner.groups.push(index);
    owner.group_keys.insert(group.spec.key_prefix.clone(), index);
    if group.decided.is_none() {
        tree.timers.insert((group.created_at.plus_ms(group.spec.timeout_ms), Timer::JoinTimeout(index)));
    }
    tree.groups.push(group);
}

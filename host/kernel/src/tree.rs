//! A run tree: the state that its log folds to, and what can be seen of it.
//!
//! A decision (the files in `run/`) looks at the state and emits an event, which
//! is applied at once (`fold.rs`); so the state is the fold of the log by
//! construction, and a decision of several steps sees each step's outcome. What
//! a decision has emitted waits in `fresh` until the engine takes it to the
//! store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::budget::Usage;
use crate::command::{ParentClose, Surface};
use crate::event::{Event, Fact};
use crate::fact::{ChildLifecycle, Fate, RunError, RunSpec, RunStatus};
use crate::id::{GroupId, RootId, RunId, Tenant, Timestamp};
use crate::lineage::{Lineage, PluginRef};
use crate::policy::Policy;
use crate::ready::{Spot, Waiting};
use crate::run::budget::Account;
use crate::run::join::Group;
use crate::run::replan::ReplanState;
use crate::run::replay::Calls;

/// A run's place in [`Tree::runs`], which is also its id's index.
pub(crate) type RunIx = usize;

/// What the tree waits for the clock to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    RunDeadline(RunIx),
    JoinTimeout(usize),
    RetryDue(RunIx),
    /// The wall-clock budget of an account runs out.
    WallSpent(usize),
}

/// Something that a run has spawned has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    Run(u32),
    /// The group is decided.
    Group(u32),
}

/// One run, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub spec: RunSpec,
    pub(crate) parent: Option<RunIx>,
    pub depth: u32,
    pub(crate) group: Option<(usize, u32)>,
    pub node_id: Option<Arc<str>>,
    pub surface: Surface,
    pub status: RunStatus,
    /// From 1: the try that runs or will.
    pub attempt: u32,
    /// Set once; the run is terminal when its guest and its children are too.
    pub(crate) fate: Option<Fate>,
    pub(crate) guest_active: bool,
    /// While it could start: its place among those that could.
    pub(crate) spot: Option<Spot>,
    /// The fallback that it has come to, by its place in the list.
    pub(crate) fallback: Option<u8>,
    /// The first try of the plugin that it has come to.
    pub(crate) first_attempt: u32,
    pub(crate) children: Vec<RunIx>,
    /// Children that are not terminal and were not spawned to be abandoned.
    pub(crate) live_children: u32,
    pub(crate) keys: BTreeMap<Arc<str>, RunIx>,
    pub(crate) group_keys: BTreeMap<Arc<str>, usize>,
    pub(crate) groups: Vec<usize>,
    /// What has ended below it, in that order; see `run/notice.rs`.
    pub(crate) noticed: Vec<Noticed>,
    pub(crate) account: usize,
    pub created_at: Timestamp,
    /// The first start.
    pub started_at: Option<Timestamp>,
    pub(crate) attempt_started_at: Timestamp,
    /// While it waits between two tries: when the wait is over.
    pub(crate) retry_due: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The place of the terminal event; what a join saw is what came before it.
    pub(crate) finished_seq: u64,
    pub usage: Usage,
    pub(crate) replan: ReplanState,
    /// A failure that was mended or accepted since.
    pub(crate) superseded: bool,
    pub(crate) late_logged: bool,
    /// What its guest has done in this try; empty while no guest runs.
    pub(crate) calls: Calls,
}

impl Run {
    /// What it gave back, once completed.
    pub fn output(&self) -> Option<&crate::payload::Payload> {
        match (&self.fate, self.status) {
            (Some(Fate::Completed(output)), RunStatus::Completed) => Some(output),
            _ => None,
        }
    }

    /// Why it did not complete, once it has ended otherwise.
    pub fn error(&self) -> Option<RunError> {
        match (&self.fate, self.status) {
            (Some(Fate::Failed(error)), RunStatus::Failed) => Some(error.clone()),
            (Some(Fate::Cancelled { reason }), RunStatus::Cancelled) => {
                Some(RunError::new("cancelled", format!("the run was cancelled: {reason}")))
            }
            (Some(Fate::TimedOut), RunStatus::TimedOut) => Some(RunError::new("timed_out", "the run took too long")),
            _ => None,
        }
    }

    /// The plugin of the try that runs or will, or of the last one that did.
    pub fn plugin(&self) -> &Arc<PluginRef> {
        match self.fallback {
            Some(place) => &self.spec.fallbacks[place as usize],
            None => &self.spec.plugin,
        }
    }

    /// How it will end or has ended, once that is settled.
    pub fn settled(&self) -> Option<RunStatus> {
        self.fate.as_ref().map(Fate::status)
    }

    /// When the run is ended for taking too long.
    pub fn deadline(&self) -> Option<Timestamp> {
        Some(self.started_at?.plus_ms(self.spec.request.timeout_ms?))
    }

    /// When the try began that runs, or the last one that did.
    pub fn attempt_started_at(&self) -> Timestamp {
        self.attempt_started_at
    }

    /// A number that is the same in every replay of this run.
    pub fn seed(&self) -> u64 {
        crate::id::seed(self.id.root, u64::from(self.id.index))
    }

    /// The place of the event that ended it, once it has ended.
    pub fn ended_seq(&self) -> Option<u64> {
        self.status.is_terminal().then_some(self.finished_seq)
    }

    /// Whether new work of this run is refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.status.is_terminal() || self.fate.is_some()
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.spec.request.parent_close == ParentClose::Abandon
    }
}

/// A root run and all its descendants.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub(crate) id: RootId,
    /// Written out, once for all runs.
    pub(crate) trace_id: Arc<str>,
    pub(crate) tenant: Tenant,
    pub(crate) policy: Arc<Policy>,
    pub(crate) seq: u64,
    /// The plugins of all runs, once each.
    pub(crate) plugins: BTreeSet<Arc<PluginRef>>,
    pub(crate) runs: Vec<Run>,
    pub(crate) groups: Vec<Group>,
    pub(crate) accounts: Vec<Account>,
    /// Runs that could start.
    pub(crate) waiting: Waiting,
    /// Runs whose guest was to be stopped, in the order of the decisions.
    pub(crate) stops: Vec<RunIx>,
    /// Groups that were decided, in that order.
    pub(crate) decisions: Vec<usize>,
    pub(crate) timers: BTreeSet<(Timestamp, Timer)>,
    /// Runs that are not terminal.
    pub(crate) live: u32,
    /// Runs whose guest runs.
    pub(crate) active: u32,
    pub(crate) usage: Usage,
    /// Decided and not yet taken to the store.
    pub(crate) fresh: Vec<Event>,
    /// Within a decision: runs that may have become able to end.
    pub(crate) settling: VecDeque<RunIx>,
    /// Runs of the tenant that wait to start, over all its trees; told by the
    /// engine where policy limits them, and no part of the log.
    pub(crate) tenant_queued: u64,
}

impl Tree {
    /// A tree without a run, to apply its first event to.
    pub(crate) fn blank(id: RootId, tenant: Tenant, policy: Arc<Policy>) -> Self {
        Self {
            id,
            trace_id: id.trace_id().into(),
            tenant,
            policy,
            seq: 0,
            plugins: BTreeSet::new(),
            runs: Vec::new(),
            groups: Vec::new(),
            accounts: Vec::new(),
            waiting: Waiting::default(),
            stops: Vec::new(),
            decisions: Vec::new(),
            timers: BTreeSet::new(),
            live: 0,
            active: 0,
            usage: Usage::default(),
            fresh: Vec::new(),
            settling: VecDeque::new(),
            tenant_queued: 0,
        }
    }

    /// Decides a fact: it is applied, and waits to be taken to the store.
    pub(crate) fn emit(&mut self, now: Timestamp, run: RunIx, surface: Surface, fact: Fact) {
        let node_id = self.runs.get(run).and_then(|run| run.node_id.clone());
        self.emit_from(now, run, node_id, surface, None, fact);
    }

    /// Decides that a run went one step further. It is told to the parent, and
    /// under the node of the parent's graph that the run was spawned for.
    pub(crate) fn emit_life(&mut self, now: Timestamp, ix: RunIx, life: ChildLifecycle) {
        self.emit_about(now, ix, Fact::ChildLifecycle(Box::new(life)));
    }

    /// As [`Tree::emit_life`], any fact.
    pub(crate) fn emit_about(&mut self, now: Timestamp, ix: RunIx, fact: Fact) {
        let run = &self.runs[ix];
        let (parent, node_id, surface) = (run.parent.unwrap_or(ix), run.node_id.clone(), run.surface);
        self.emit_from(now, parent, node_id, surface, None, fact);
    }

    /// As [`Tree::emit`], from a named node of the run's graph, and in answer to a
    /// host call of its guest.
    pub(crate) fn emit_from(
        &mut self,
        now: Timestamp,
        run: RunIx,
        node_id: Option<Arc<str>>,
        surface: Surface,
        call: Option<u32>,
        fact: Fact,
    ) {
        let event = Event { seq: self.seq + 1, at: now, run_id: self.run_id(run), node_id, call, surface, fact };
        self.apply(&event);
        self.fresh.push(event);
    }

    /// What was decided and is not taken yet, in order.
    pub fn decided(&self) -> &[Event] {
        &self.fresh
    }

    /// What was decided since the last time, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.fresh)
    }

    pub(crate) fn run_id(&self, ix: RunIx) -> RunId {
        RunId { root: self.id, index: ix as u32 }
    }

    // What the engine looks at.

    pub fn id(&self) -> RootId {
        self.id
    }

    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The policy that the whole tree is decided under.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// The place of the last event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The root run.
    pub fn root(&self) -> &Run {
        &self.runs[0]
    }

    /// A run of this tree.
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(id.index as usize).filter(|run| run.id == id)
    }

    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What all runs together have spent.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Whether every run has ended.
    pub fn is_ended(&self) -> bool {
        self.live == 0
    }

    /// Runs whose guest runs.
    pub fn active(&self) -> u32 {
        self.active
    }

    /// Guests that were to be stopped, the `from`th decision and later; those
    /// that have stopped since are still listed.
    pub fn stops(&self, from: usize) -> impl Iterator<Item = RunId> + '_ {
        self.stops[from.min(self.stops.len())..].iter().map(|ix| self.run_id(*ix))
    }

    pub fn stop_count(&self) -> usize {
        self.stops.len()
    }

    /// Groups that were decided, the `from`th decision and later.
    pub fn decisions(&self, from: usize) -> impl Iterator<Item = GroupId> + '_ {
        self.decisions[from.min(self.decisions.len())..].iter().map(|index| self.group_id(*index))
    }

    pub fn decision_count(&self) -> usize {
        self.decisions.len()
    }

    /// Whether a run's guest runs.
    pub fn guest_active(&self, id: RunId) -> bool {
        self.run(id).is_some_and(|run| run.guest_active)
    }

    /// Runs whose guest runs according to the log, in order of their ids: what a
    /// host that starts over has to run again, or, where it [is
    /// closing](Tree::is_closing), to [finish](Tree::finish) as
    /// [`Outcome::Stopped`](crate::Outcome::Stopped).
    pub fn active_guests(&self) -> impl Iterator<Item = RunId> + '_ {
        self.runs.iter().filter(|run| run.guest_active).map(|run| run.id)
    }

    /// Whether how a run will end is settled, and it has not ended yet.
    pub fn is_closing(&self, id: RunId) -> bool {
        self.run(id).is_some_and(|run| run.fate.is_some() && !run.status.is_terminal())
    }

    /// When [`Tree::tick`] has something to do.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// How many runs of the tenant wait to start, over all its trees, for the
    /// quota on them.
    pub fn set_queued(&mut self, queued: u64) {
        self.tenant_queued = queued;
    }

    /// The run of the graph that waits for a run of one of its nodes; none where no graph
    /// has asked for it, or that has come to its end.
    pub fn asked_by(&self, run: &Run) -> Option<&Run> {
        run.node_id.as_ref()?;
        let graph = &self.runs[run.parent?];
        (graph.fate.is_none() && !graph.status.is_terminal()).then_some(graph)
    }

    /// Where a run stands.
    pub fn lineage(&self, run: &Run) -> Lineage {
        Lineage {
            run_id: run.id,
            root_run_id: self.id.run(),
            parent_run_id: run.parent.map(|ix| self.run_id(ix)),
            parent_node_id: run.node_id.clone(),
            depth: run.depth,
            spawn_key: run.parent.map(|_| run.spec.spawn_key.clone()),
            group_id: run.group.map(|(group, _)| self.group_id(group)),
            ordinal: run.group.map(|(_, ordinal)| ordinal),
            attempt: run.attempt,
            tenant: self.tenant.clone(),
            trace_id: self.trace_id.clone(),
        }
    }

    /// The one copy of a plugin's name and digest that the tree's runs share.
    pub(crate) fn shared_plugin(&mut self, plugin: &Arc<PluginRef>) -> Arc<PluginRef> {
        match self.plugins.get(plugin) {
            Some(known) => known.clone(),
            None => {
                self.plugins.insert(plugin.clone());
                plugin.clone()
            }
        }
    }

    pub(crate) fn group_id(&self, index: usize) -> GroupId {
        GroupId { root: self.id, index: index as u32 }
    }

    /// Whether `run` is `ancestor` or below it.
    pub(crate) fn is_below(&self, run: RunIx, ancestor: RunIx) -> bool {
        let mut at = Some(run);
        while let Some(ix) = at.filter(|ix| *ix >= ancestor) {
            if ix == ancestor {
                return true;
            }
            at = self.runs[ix].parent;
        }
        false
    }
}

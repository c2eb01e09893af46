//! Fold: what each event does to a tree's state.
//!
//! [`Tree::apply`] is the only place where state changes, for an event that was
//! just decided and for one that is read back. What comes from outside is
//! checked first, so that `apply` may take what an event speaks of for granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::budget::Usage;
use crate::command::ParentClose;
use crate::event::{Event, Fact};
use crate::fact::{BudgetMove, ChildLifecycle, Fate, RunError, RunSpec, RunStatus, SpawnDecision, Step};
use crate::id::{GroupId, RootId, RunId, Timestamp};
use crate::run::replan::ReplanState;
use crate::run::replay::Calls;
use crate::tree::{Run, RunIx, Timer, Tree};

/// A log that cannot be this tree's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of tree {root} does not fold at seq {seq}: {why}")]
pub struct FoldError {
    pub root: RootId,
    pub seq: u64,
    pub why: String,
}

impl Tree {
    /// The state that a log folds to.
    pub fn fold(root: RootId, events: impl IntoIterator<Item = Event>) -> Result<Self, FoldError> {
        let refuse = |seq, why: String| FoldError { root, seq, why };
        let mut events = events.into_iter();
        let first = events.next().ok_or_else(|| refuse(0, "it is empty".into()))?;
        let Fact::SpawnDecision(opening) = &first.fact else {
            return Err(refuse(first.seq, format!("it begins with {}", first.fact.name())));
        };
        let Some(spec) = &opening.tree else {
            return Err(refuse(first.seq, "its first event does not open a tree".into()));
        };
        let mut tree = Self::blank(root, spec.tenant.clone(), spec.policy.clone());
        tree.check(&first).map_err(|why| refuse(first.seq, why))?;
        tree.apply(&first);
        tree.fold_on(events)?;
        Ok(tree)
    }

    /// Applies what the log says next. What comes before the event that is
    /// refused, if one is, has been applied.
    pub fn fold_on(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), FoldError> {
        for event in events {
            self.check(&event).map_err(|why| FoldError { root: self.id, seq: event.seq, why })?;
            self.apply(&event);
        }
        Ok(())
    }

    /// Whether an event can follow: its seq, that what it speaks of is there, and
    /// that it stands so that this could happen to it.
    pub(crate) fn check(&self, event: &Event) -> Result<(), String> {
        if event.seq != self.seq + 1 {
            return Err(format!("seq {} was expected", self.seq + 1));
        }
        if let Fact::SpawnDecision(decision) = &event.fact {
            self.check_spawn(event, decision)?;
        } else {
            self.known(event.run_id)?;
        }
        match &event.fact {
            Fact::ChildLifecycle(life) => self.check_lifecycle(life),
            Fact::JoinDecision(join) => match self.groups.get(self.known_group(join.group_id)?) {
                Some(group) if group.decided.is_some() => Err(format!("group {} is decided twice", join.group_id)),
                _ => Ok(()),
            },
            Fact::CancellationPropagation(cancel) => {
                cancel.cancelled_run_ids.iter().try_for_each(|id| self.known(*id).map(drop))
            }
            Fact::ReplanDecision(replan) => {
                self.known(replan.run_id)?;
                let steps = replan.plan.iter().flat_map(|plan| &plan.steps);
                steps
                    .flat_map(|step| step.run_id.iter().chain(&step.replaces))
                    .try_for_each(|id| self.known(*id).map(drop))
            }
            Fact::Budget(moved) => self.check_budget_move(event.run_id, moved),
            Fact::SpawnDecision(_)
            | Fact::PolicyDeny(_)
            | Fact::RouteDecision(_)
            | Fact::JudgeVerdict(_)
            | Fact::NodeFailure(_)
            | Fact::NodeCompletion(_)
            | Fact::Progress(_) => Ok(()),
        }
    }

    fn known(&self, id: RunId) -> Result<RunIx, String> {
        match self.run(id) {
            Some(_) => Ok(id.index as RunIx),
            None => Err(format!("it speaks of run {id}, which was not spawned")),
        }
    }

    fn known_group(&self, id: GroupId) -> Result<usize, String> {
        match id.root == self.id && (id.index as usize) < self.groups.len() {
            true => Ok(id.index as usize),
            false => Err(format!("it speaks of group {id}, which was not spawned")),
        }
    }

    fn check_spawn(&self, event: &Event, decision: &SpawnDecision) -> Result<(), String> {
        if decision.tree.is_some() != (self.seq == 0) {
            return Err("a tree is opened once, by its first event".into());
        }
        if decision.tree.is_some() {
            if decision.idempotent || decision.runs.len() != 1 || decision.group.is_some() || event.run_id.index != 0 {
                return Err("a tree is opened by its root run alone".into());
            }
        } else {
            self.known(event.run_id)?;
        }
        decision.replans.map_or(Ok(()), |of| self.known(of).map(drop))?;
        if decision.idempotent {
            decision.group_id.map_or(Ok(()), |group| self.known_group(group).map(drop))?;
            return decision.spawned_run_ids.iter().try_for_each(|id| self.known(*id).map(drop));
        }
        if decision.runs.len() != decision.spawned_run_ids.len() {
            return Err("it spawns other runs than it names".into());
        }
        for (place, id) in decision.spawned_run_ids.iter().enumerate() {
            if *id != self.run_id(self.runs.len() + place) {
                return Err(format!("run {id} is spawned out of order"));
            }
        }
        match (decision.group_id, &decision.group) {
            (None, None) => Ok(()),
            (Some(id), Some(_)) if id == self.group_id(self.groups.len()) => Ok(()),
            (Some(id), None) => match self.can_grow(self.known_group(id)?, decision.runs.len()) {
                true => Ok(()),
                false => Err(format!("group {id} has no room for what it adds")),
            },
            (Some(_), Some(_)) | (None, Some(_)) => Err("it spawns another group than it names".into()),
        }
    }

    fn check_lifecycle(&self, life: &ChildLifecycle) -> Result<(), String> {
        let ix = self.known(life.child_run_id)?;
        let run = &self.runs[ix];
        let could = match life.status {
            Step::Queued => run.retry_due.is_some(),
            Step::Started => run.spot.is_some(),
            Step::Retrying => {
                let there = |place: u8| (place as usize) < run.spec.fallbacks.len() && Some(place) > run.fallback;
                run.guest_active && run.fate.is_none() && life.falls_back_to.is_none_or(there)
            }
            Step::Paused | Step::Resumed | Step::Closing => !run.status.is_terminal(),
            Step::Completed | Step::Failed | Step::Cancelled | Step::TimedOut => match run.status.is_terminal() {
                true => life.late.is_some(),
                false => run.live_children == 0,
            },
        };
        match could && life.attempt == run.attempt {
            true => Ok(()),
            false => Err(format!(
                "run {} is {} in try {}, and cannot be {:?} in try {}",
                run.id,
                run.status.as_str(),
                run.attempt,
                life.status,
                life.attempt
            )),
        }
    }

    fn check_budget_move(&self, owner: RunId, moved: &BudgetMove) -> Result<(), String> {
        if !moved.settled && !moved.exhausted {
            return Ok(());
        }
        let account = &self.accounts[self.runs[self.known(owner)?].account];
        if self.run_id(account.owner) != owner {
            return Err(format!("run {owner} holds no budget of its own"));
        }
        match moved.settled && !account.may_settle() {
            true => Err(format!("the budget of run {owner} is drawn on, or settled already")),
            false => Ok(()),
        }
    }
}

impl Tree {
    pub(crate) fn apply(&mut self, event: &Event) {
        self.seq = event.seq;
        let ix = event.run_id.index as usize;
        match &event.fact {
            Fact::SpawnDecision(decision) => {
                if !decision.idempotent {
                    self.apply_spawn(event, decision);
                }
                self.apply_made(event, decision);
            }
            Fact::ChildLifecycle(life) => self.apply_lifecycle(event, life),
            Fact::JoinDecision(decision) => self.apply_join(event.seq, decision),
            Fact::CancellationPropagation(cancel) => {
                for id in &cancel.cancelled_run_ids {
                    self.apply_cancel(id.index as usize, &cancel.reason);
                }
            }
            Fact::ReplanDecision(decision) => self.apply_replan(event, decision),
            Fact::Budget(moved) => self.apply_budget(ix, event.at, moved),
            Fact::Progress(_)
            | Fact::RouteDecision(_)
            | Fact::JudgeVerdict(_)
            | Fact::NodeFailure(_)
            | Fact::NodeCompletion(_) => self.apply_reported(event),
            Fact::PolicyDeny(_) => {}
        }
    }

    fn apply_spawn(&mut self, event: &Event, decision: &SpawnDecision) {
        let parent = decision.tree.is_none().then_some(event.run_id.index as usize);
        if let Some(spec) = &decision.tree {
            self.waiting.fairness = spec.fairness;
        }
        let group = decision.group.as_ref().map(|spec| {
            let first = self.runs.len();
            self.apply_group(event, spec, first..first + decision.runs.len())
        });
        // Without a group of its own, it adds to one that there is.
        let group = group.or_else(|| decision.group_id.map(|id| id.index as usize));
        let first_ordinal = match (group, &decision.group) {
            (Some(group), None) => self.grow(group, decision.runs.len()),
            (_, Some(_)) | (None, None) => 0,
        };
        // A large group comes at once, and often is all that the tree will have.
        self.runs.reserve(decision.runs.len());
        if let Some(parent) = parent {
            self.runs[parent].children.reserve(decision.runs.len());
        }
        for (ordinal, spec) in (first_ordinal..).zip(&decision.runs) {
            let ix = self.runs.len();
            let account = self.open_account(ix, parent, &decision.tree, spec, event.at);
            let plugin = self.shared_plugin(&spec.plugin);
            let fallbacks = spec.fallbacks.iter().map(|plugin| self.shared_plugin(plugin)).collect();
            let RunSpec { request, spawn_key, key_derived, limits, .. } = spec;
            let (request, spawn_key) = (request.clone(), spawn_key.clone());
            self.runs.push(Run {
                id: self.run_id(ix),
                spec: RunSpec { plugin, request, spawn_key, key_derived: *key_derived, limits: *limits, fallbacks },
                parent,
                depth: parent.map_or(0, |parent| self.runs[parent].depth + 1),
                group: group.map(|group| (group, ordinal)),
                node_id: event.node_id.clone(),
                surface: event.surface,
                status: RunStatus::Queued,
                attempt: 1,
                fate: None,
                guest_active: false,
                spot: None,
                fallback: None,
                first_attempt: 1,
                children: Vec::new(),
                live_children: 0,
                keys: BTreeMap::new(),
                group_keys: BTreeMap::new(),
                groups: Vec::new(),
                noticed: Vec::new(),
                account,
                created_at: event.at,
                started_at: None,
                attempt_started_at: event.at,
                retry_due: None,
                finished_at: None,
                finished_seq: 0,
                usage: Usage::default(),
                replan: ReplanState::default(),
                superseded: false,
                late_logged: false,
                calls: Calls::default(),
            });
            self.make_ready(ix);
            self.live += 1;
            if let Some(parent) = parent {
                let parent = &mut self.runs[parent];
                parent.children.push(ix);
                parent.keys.insert(spec.spawn_key.clone(), ix);
                parent.live_children += u32::from(spec.request.parent_close != ParentClose::Abandon);
            }
        }
    }

    fn apply_lifecycle(&mut self, event: &Event, life: &ChildLifecycle) {
        let ix = life.child_run_id.index as usize;
        let usage = life.usage.unwrap_or_default();
        if life.late.is_some() {
            self.runs[ix].late_logged = true;
        }
        match life.status {
            Step::Queued => {
                self.disarm_run(ix);
                self.arm_deadline(ix);
                self.make_ready(ix);
            }
            Step::Started => self.apply_start(ix, event.at),
            Step::Retrying => {
                self.stop_guest(ix, event.at, &usage);
                let due = life.not_before.unwrap_or(event.at);
                let run = &mut self.runs[ix];
                run.attempt = life.attempt + 1;
                run.status = RunStatus::Queued;
                run.replan.begin_try();
                run.retry_due = Some(due);
                if let Some(place) = life.falls_back_to {
                    (run.fallback, run.first_attempt) = (Some(place), run.attempt);
                }
                self.timers.insert((due, Timer::RetryDue(ix)));
            }
            // Neither is written yet; a person's answer is not known here.
            Step::Paused => self.runs[ix].status = RunStatus::Paused,
            Step::Resumed => self.runs[ix].status = RunStatus::Running,
            Step::Closing => {
                self.set_fate(ix, fate_of(life, life.fate.unwrap_or(RunStatus::Failed)));
                if life.guest_stopped {
                    self.stop_guest(ix, event.at, &usage);
                }
            }
            Step::Completed => self.apply_end(event, life, ix, RunStatus::Completed),
            Step::Failed => self.apply_end(event, life, ix, RunStatus::Failed),
            Step::Cancelled => self.apply_end(event, life, ix, RunStatus::Cancelled),
            Step::TimedOut => self.apply_end(event, life, ix, RunStatus::TimedOut),
        }
    }

    fn apply_start(&mut self, ix: RunIx, at: Timestamp) {
        self.unready(ix);
        self.active += 1;
        let run = &mut self.runs[ix];
        let first = run.started_at.is_none();
        run.status = RunStatus::Running;
        run.guest_active = true;
        run.attempt_started_at = at;
        run.started_at.get_or_insert(at);
        if first {
            self.arm_deadline(ix);
        }
        self.wall_started(self.runs[ix].account, at);
    }

    fn apply_end(&mut self, event: &Event, life: &ChildLifecycle, ix: RunIx, status: RunStatus) {
        if self.runs[ix].status.is_terminal() {
            return; // A late result; it was noted above.
        }
        self.set_fate(ix, fate_of(life, status));
        self.stop_guest(ix, event.at, &life.usage.unwrap_or_default());
        let run = &mut self.runs[ix];
        run.status = status;
        run.finished_at = Some(event.at);
        run.finished_seq = event.seq;
        let (parent, group, abandoned) = (run.parent, run.group, run.is_abandoned());
        self.live -= 1;
        if let Some(parent) = parent.filter(|_| !abandoned) {
            self.runs[parent].live_children -= 1;
        }
        if let Some((group, _)) = group {
            self.groups[group].count(status);
        }
        if let Some(parent) = parent {
            self.notice(parent, ix, group);
        }
        let account = self.runs[ix].account;
        self.leave_account(account);
    }

    fn apply_cancel(&mut self, ix: RunIx, reason: &Arc<str>) {
        if !self.runs[ix].is_closed() {
            self.set_fate(ix, Fate::Cancelled { reason: reason.clone() });
        }
    }

    /// The first fate wins.
    fn set_fate(&mut self, ix: RunIx, fate: Fate) {
        if self.runs[ix].fate.is_some() {
            return;
        }
        self.disarm_run(ix);
        self.unready(ix);
        let run = &mut self.runs[ix];
        if run.guest_active && matches!(fate, Fate::Cancelled { .. } | Fate::TimedOut) {
            self.stops.push(ix);
        }
        run.fate = Some(fate);
    }

    fn stop_guest(&mut self, ix: RunIx, at: Timestamp, usage: &Usage) {
        let run = &mut self.runs[ix];
        run.usage.add(usage);
        let (account, started) = (run.account, run.attempt_started_at);
        run.calls = Calls::default();
        if std::mem::take(&mut run.guest_active) {
            self.active -= 1;
            self.wall_stopped(account, started);
        }
        self.usage.add(usage);
        self.charge(account, usage, at);
    }

    fn arm_deadline(&mut self, ix: RunIx) {
        if let Some(deadline) = self.runs[ix].deadline() {
            self.timers.insert((deadline, Timer::RunDeadline(ix)));
        }
    }

    /// Takes away what the clock would have done to a run.
    fn disarm_run(&mut self, ix: RunIx) {
        if let Some(deadline) = self.runs[ix].deadline() {
            self.timers.remove(&(deadline, Timer::RunDeadline(ix)));
        }
        if let Some(due) = self.runs[ix].retry_due.take() {
            self.timers.remove(&(due, Timer::RetryDue(ix)));
        }
    }
}

fn fate_of(life: &ChildLifecycle, status: RunStatus) -> Fate {
    match status {
        RunStatus::Completed => Fate::Completed(life.output.clone().unwrap_or_else(crate::payload::Payload::null)),
        RunStatus::Cancelled => Fate::Cancelled { reason: life.reason.clone().unwrap_or_else(|| "cancelled".into()) },
        RunStatus::TimedOut => Fate::TimedOut,
        RunStatus::Failed | RunStatus::Queued | RunStatus::Running | RunStatus::Paused => {
            Fate::Failed(life.error.clone().unwrap_or_else(|| RunError::new("host_failure", "the log names no error")))
        }
    }
}

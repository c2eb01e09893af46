//! What follows each command: the audit, the kill and the end of a tree.

use pleach_kernel::{Event, Fact, Finish, Outcome, Query, RunStatus, Tree};

use super::walk::{Finding, Simulation};

/// So many steps are each followed by a snapshot; of later ones it is one in
/// [`RESTORE_ONE_IN`], because a snapshot takes longer than a step.
const RESTORED_STEPS: u64 = 2_000;
const RESTORE_ONE_IN: u64 = 40;

use super::{Sabotage, requests};

impl Simulation<'_> {
    /// Takes what was decided, and has it audited.
    pub(super) fn take(&mut self, what: &str) -> Finding {
        for event in self.tree.take_events() {
            self.report.events += 1;
            *self.report.kinds.entry(event.fact.name()).or_default() += 1;
            let outcome = match &event.fact {
                Fact::ChildLifecycle(life) if life.late.is_some() => Some(format!("{:?} late", life.status)),
                Fact::ChildLifecycle(life) => Some(format!("{:?}", life.status)),
                Fact::JoinDecision(join) => Some(format!("{:?} {:?} {}", join.mode, join.status, join.reason)),
                Fact::CancellationPropagation(cancel) => Some(format!("cancel {}", cancel.reason)),
                Fact::ReplanDecision(replan) => Some(match &replan.plan {
                    Some(plan) => format!("plan of {} steps", plan.steps.len().min(1)),
                    None => format!("{:?} {:?}", replan.suggested_action, replan.reason),
                }),
                Fact::SpawnDecision(decision) if decision.idempotent => Some("found again".into()),
                _ => None,
            };
            if let Some(outcome) = outcome {
                *self.report.outcomes.entry(outcome).or_default() += 1;
            }
            if let Fact::SpawnDecision(decision) = &event.fact {
                self.report.runs += decision.runs.len() as u64;
            }
            self.auditor.observe(&event).map_err(|rule| format!("{what}: {rule}\n  {event:?}"))?;
            if let Fact::JoinDecision(join) = &event.fact {
                let result = format!("{:?}", self.tree.join_result(join.group_id));
                self.decided.push((join.group_id, result));
            }
            self.log.push(serde_json::to_string(&event).map_err(|error| error.to_string())?);
        }
        let settled = self.auditor.between_decisions().and_then(|()| self.auditor.agrees_with(&self.tree));
        settled.map_err(|rule| format!("{what}: {rule}"))
    }

    /// Everything that can happen by itself happens; then the tree has ended.
    pub(super) fn drain(&mut self) -> Finding {
        let mut patience = 100 * (self.tree.runs().len() + 10);
        while !self.tree.is_ended() {
            patience -= 1;
            if patience == 0 {
                return Err("a tree that nobody holds up ends".into());
            }
            let now = self.at();
            let first_ready = self.tree.ready().next();
            let active = self.tree.runs().iter().find(|run| self.tree.guest_active(run.id));
            if let Some((run_id, attempt)) = active.map(|run| (run.id, run.attempt)) {
                let usage = requests::usage(self.dice, 5);
                self.tree.finish(now, Finish { run_id, attempt, outcome: Outcome::Stopped, usage });
            } else if let Some(run) = first_ready {
                self.tree.start(now, run);
            } else if let Some(due) = self.tree.next_timer() {
                self.now = due.0.max(self.now);
                self.tree.tick(self.at());
            } else {
                return Err("a tree that has not ended waits for a guest, a start or the clock".into());
            }
            self.take("drain")?;
        }
        Ok(())
    }

    /// Takes a snapshot, which has to be the same tree; now and then it is kept,
    /// to be folded on later.
    pub(super) fn restore_now(&mut self) -> Finding {
        if self.report.steps > RESTORED_STEPS && !self.dice.one_in(RESTORE_ONE_IN) {
            return Ok(());
        }
        self.report.restores += 1;
        let bytes = self.tree.snapshot();
        if Tree::restore(self.tree.id(), &bytes).as_ref() != Ok(&self.tree) {
            return Err("what is restored from a snapshot equals the state".into());
        }
        if self.kept.is_none() || self.dice.one_in(4) {
            self.kept = Some((bytes, self.log.len()));
        }
        Ok(())
    }

    /// What the kept snapshot and the log after it say.
    fn folded_on(&self, events: &[Event]) -> Result<Option<Tree>, String> {
        let Some((bytes, seen)) = &self.kept else { return Ok(None) };
        let mut tree = Tree::restore(self.tree.id(), bytes).map_err(|error| error.to_string())?;
        tree.fold_on(events[*seen..].iter().cloned()).map_err(|error| error.to_string())?;
        match tree == self.tree {
            true => Ok(Some(tree)),
            false => Err("a snapshot and the fold of what came after equal the state".into()),
        }
    }

    /// Kills the tree and folds it anew from its log, whole or from a snapshot.
    pub(super) fn refold(&mut self) -> Finding {
        self.report.refolds += 1;
        let mut events: Vec<Event> = Vec::with_capacity(self.log.len());
        for line in &self.log {
            events.push(serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?);
        }
        let folded_on = self.folded_on(&events)?;
        if let Some(sabotage) = self.sabotage {
            self.break_log(sabotage, &mut events);
        }
        let folded = Tree::fold(self.tree.id(), events).map_err(|error| error.to_string())?;
        if folded != self.tree {
            return Err("the fold of the log equals the state".into());
        }
        self.tree = folded_on.filter(|_| self.dice.one_in(2)).unwrap_or(folded);
        for (group, result) in &self.decided {
            if format!("{:?}", self.tree.join_result(*group)) != *result {
                return Err(format!("a decided join never changes: {group}"));
            }
        }
        Ok(())
    }

    fn break_log(&mut self, sabotage: Sabotage, events: &mut Vec<Event>) {
        if events.len() < 3 {
            return;
        }
        let place = 1 + self.dice.below(events.len() as u64 - 2) as usize;
        match sabotage {
            Sabotage::Drop | Sabotage::DropAndRenumber => drop(events.remove(place)),
            Sabotage::Repeat => events.insert(place, events[place].clone()),
            Sabotage::Swap => events.swap(place, place + 1),
        }
        if sabotage != Sabotage::Drop {
            events.iter_mut().zip(1..).for_each(|(event, seq)| event.seq = seq);
        }
    }

    /// A finished tree, as it is shown.
    pub(super) fn look(&mut self) -> Finding {
        let view = self.tree.view(&Query::default()).map_err(|denial| denial.to_string())?;
        if view.node_count as usize != self.tree.runs().len() {
            return Err("a query without bounds shows every run".into());
        }
        let statuses = [RunStatus::Completed, RunStatus::Failed, RunStatus::Cancelled, RunStatus::TimedOut];
        match statuses.contains(&view.tree.status) && view.tree.finished_at.is_some() {
            true => Ok(()),
            false => Err("a tree that has ended shows how".into()),
        }
    }
}

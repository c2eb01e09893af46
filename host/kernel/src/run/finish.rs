//! Finish: a guest has stopped; end its run, and whatever ends with it.
//!
//! How a run ends is settled once (its fate). It becomes terminal when its guest
//! and all its children have ended, children before parents.

use super::cancel::Reach;
use super::fallback::Next;
use crate::command::{Finish, Outcome, ParentClose};
use crate::event::Fact;
use crate::fact::{ChildLifecycle, Fate, PluginVerdict, RunError, RunStatus, Step};
use crate::id::Timestamp;
use crate::lineage::Role;
use crate::tree::{RunIx, Tree};

impl Tree {
    /// Decides what the end of a guest means. The first terminal status wins; a
    /// result that comes after is written down as late, once.
    pub fn finish(&mut self, now: Timestamp, finish: Finish) {
        let Some(run) = self.run(finish.run_id) else { return };
        let ix = finish.run_id.index as RunIx;
        if !run.guest_active || run.attempt != finish.attempt {
            self.write_late(now, ix, &finish.outcome);
            return;
        }
        let mut usage = finish.usage;
        usage.wall_ms = now.since_ms(run.attempt_started_at);
        let mut life = self.lifecycle(ix, Step::Closing);
        life.usage = Some(usage);
        life.guest_stopped = true;
        if run.fate.is_some() {
            life.late = match finish.outcome {
                Outcome::Completed(_) => Some(RunStatus::Completed),
                Outcome::Failed(_) => Some(RunStatus::Failed),
                Outcome::Stopped => None,
            };
            self.close(now, ix, life);
        } else {
            match finish.outcome {
                Outcome::Completed(output) => {
                    life.output = Some(output);
                    life.fate = Some(RunStatus::Completed);
                    self.close(now, ix, life);
                }
                Outcome::Failed(error) => {
                    let next = self.after_failure(ix, &error);
                    life.error = Some(error);
                    match next {
                        Next::Retry => self.retry(now, ix, life),
                        Next::FallBack(place) => self.fall_back(now, ix, life, place),
                        Next::End => {
                            life.fate = Some(RunStatus::Failed);
                            self.close(now, ix, life);
                        }
                    }
                }
                Outcome::Stopped => {
                    life.error = Some(RunError::new("host_failure", "the host stopped the guest without a decision"));
                    life.fate = Some(RunStatus::Failed);
                    self.close(now, ix, life);
                }
            }
        }
        self.stop_overspent(now, ix);
        self.settle(now);
    }

    /// Ends a run whose fate is known or told by `life`, or notes that it will
    /// end when its guest and its children have.
    pub(crate) fn close(&mut self, now: Timestamp, ix: RunIx, mut life: ChildLifecycle) {
        let fate = life.fate.unwrap_or_else(|| self.runs[ix].fate.as_ref().map_or(RunStatus::Failed, Fate::status));
        let guest_stopped = life.guest_stopped || !self.runs[ix].guest_active;
        if guest_stopped && self.runs[ix].live_children == 0 {
            life.fate = None;
            life.guest_stopped = false;
            self.write_end(now, ix, fate, life);
            return;
        }
        life.fate = Some(fate);
        self.emit_life(now, ix, life);
        self.close_children(now, ix, fate);
    }

    /// No child outlives its parent unless it was spawned to.
    fn close_children(&mut self, now: Timestamp, ix: RunIx, fate: RunStatus) {
        let (reason, spare_waiting) = match fate {
            RunStatus::Completed | RunStatus::Failed => ("parent_closed", true),
            RunStatus::TimedOut => ("parent_timed_out", false),
            RunStatus::Cancelled | RunStatus::Queued | RunStatus::Running | RunStatus::Paused => {
                ("parent_cancelled", false)
            }
        };
        let close: Vec<RunIx> = self.runs[ix]
            .children
            .iter()
            .copied()
            .filter(|child| {
                // One whose end is settled may still have children of its own.
                let child = &self.runs[*child];
                !child.status.is_terminal()
                    && match child.spec.request.parent_close {
                        ParentClose::Cancel => true,
                        ParentClose::Wait => !spare_waiting,
                        ParentClose::Abandon => false,
                    }
            })
            .collect();
        if !close.is_empty() {
            let surface = self.runs[ix].surface;
            self.mark_cancelled(now, surface, ix, &close, Reach::NotAbandoned, reason);
        }
    }

    /// Ends every run that has become able to, until nothing more follows.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        while let Some(ix) = self.settling.pop_front() {
            let run = &self.runs[ix];
            if run.status.is_terminal() || run.guest_active || run.live_children > 0 {
                continue;
            }
            let Some(fate) = run.fate.as_ref().map(Fate::status) else {
                continue;
            };
            let life = self.lifecycle(ix, Step::Closing);
            self.write_end(now, ix, fate, life);
        }
    }

    fn write_end(&mut self, now: Timestamp, ix: RunIx, status: RunStatus, mut life: ChildLifecycle) {
        life.status = ended(status);
        // What an earlier event has said already is said again: whoever reads
        // only how a run ended finds it here.
        match &self.runs[ix].fate {
            Some(Fate::Completed(output)) => life.output = Some(output.clone()),
            Some(Fate::Failed(error)) => life.error = Some(error.clone()),
            Some(Fate::Cancelled { reason }) => life.reason = Some(reason.clone()),
            Some(Fate::TimedOut) | None => {}
        }
        self.write_verdict(now, ix, &life);
        let run = &self.runs[ix];
        let (parent, group) = (run.parent, run.group);
        self.emit_life(now, ix, life);
        self.give_up_groups(now, ix);
        self.settle_accounts(now, ix);
        if let Some((group, _)) = group {
            self.try_decide(now, group, Some(ix));
        }
        self.settling.extend(parent.filter(|parent| self.runs[*parent].fate.is_some()));
    }

    /// A judge's or a router's answer is an event of its own.
    fn write_verdict(&mut self, now: Timestamp, ix: RunIx, life: &ChildLifecycle) {
        let run = &self.runs[ix];
        let verdict = PluginVerdict { run_id: run.id, answer: life.output.clone(), error: life.error.clone() };
        let fact = match run.plugin().role {
            Role::Judge => Fact::JudgeVerdict(verdict),
            Role::Router => Fact::RouteDecision(verdict),
            Role::Agent | Role::Replanner => return,
        };
        self.emit_about(now, ix, fact);
    }

    fn write_late(&mut self, now: Timestamp, ix: RunIx, outcome: &Outcome) {
        let late = match outcome {
            Outcome::Completed(_) => RunStatus::Completed,
            Outcome::Failed(_) => RunStatus::Failed,
            Outcome::Stopped => return,
        };
        let run = &self.runs[ix];
        if run.late_logged || !run.status.is_terminal() {
            return;
        }
        let mut life = self.lifecycle(ix, ended(run.status));
        life.late = Some(late);
        self.emit_life(now, ix, life);
    }

    /// A lifecycle event with nothing but which run and which step.
    pub(crate) fn lifecycle(&self, ix: RunIx, status: Step) -> ChildLifecycle {
        let run = &self.runs[ix];
        ChildLifecycle {
            child_run_id: run.id,
            status,
            group_id: run.group.map(|(group, _)| self.group_id(group)),
            attempt: run.attempt,
            usage: None,
            output: None,
            error: None,
            reason: None,
            not_before: None,
            fate: None,
            guest_stopped: false,
            late: None,
            plugin: run.fallback.map(|_| run.plugin().clone()),
            falls_back_to: None,
        }
    }
}

/// The step that ends a run with this status.
fn ended(status: RunStatus) -> Step {
    match status {
        RunStatus::Completed => Step::Completed,
        RunStatus::Cancelled => Step::Cancelled,
        RunStatus::TimedOut => Step::TimedOut,
        RunStatus::Failed | RunStatus::Queued | RunStatus::Running | RunStatus::Paused => Step::Failed,
    }
}

//! Fallback: go on with another plugin where one's circuit is open or its tries are
//! used up.
//!
//! Each fallback is admitted with the run, as its target is. It has as many tries as
//! the run's retry policy gives; attempts count on. A run that was cancelled or has
//! timed out is not handed on, and neither is one whose budget is gone.

use std::sync::Arc;

use super::admission::found;
use crate::budget::Usage;
use crate::command::{Finish, Outcome, Resolution, Spawn, SpawnRequest};
use crate::denial::{Code, Denial};
use crate::fact::{ChildLifecycle, RunError};
use crate::id::{RunId, Timestamp};
use crate::lineage::PluginRef;
use crate::tree::{RunIx, Tree};

/// What follows from a try that failed.
pub(super) enum Next {
    Retry,
    FallBack(u8),
    End,
}

/// The fallbacks of a request, which are like its target: there, published, and for
/// the same.
pub(super) fn fallbacks(
    action: &'static str,
    spawn: &Spawn,
    target: &PluginRef,
) -> Result<Vec<Arc<PluginRef>>, Denial> {
    let names = &spawn.request.fallbacks;
    let mut pinned = Vec::with_capacity(names.len());
    for (place, name) in names.iter().enumerate() {
        let unknown = Resolution::NotFound { hint: "nobody has looked it up".into() };
        let plugin = found(action, name, spawn.fallbacks.get(place).unwrap_or(&unknown))?;
        if plugin.role != target.role {
            let message = format!(
                "the fallback {name} is of role {} and its target {} of role {}",
                plugin.role.as_str(),
                target.name,
                target.role.as_str()
            );
            return Err(Denial::new(Code::InvalidRequest, action, message).of_target(name));
        }
        pinned.push(plugin);
    }
    Ok(pinned)
}

impl Spawn {
    /// A request whose target and fallbacks are looked up with `resolve`.
    pub fn resolved(request: Arc<SpawnRequest>, resolve: impl Fn(&str) -> Resolution) -> Self {
        let resolution = resolve(&request.target);
        let fallbacks = request.fallbacks.iter().map(|name| resolve(name)).collect();
        Self { fallbacks, ..Self::new(request, resolution) }
    }
}

impl RunError {
    /// The code of a try that was not started because its plugin has failed too often.
    pub const CIRCUIT_OPEN: &str = "circuit_open";
    /// The code of a guest that was stopped because nothing is left to spend.
    pub const BUDGET_EXHAUSTED: &str = "budget_exhausted";

    pub fn circuit_open(message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(Self::CIRCUIT_OPEN, message) }
    }
}

impl Tree {
    /// Decides that a ready run fails without its guest being started; it may have
    /// another try, or a fallback. False where it is no longer ready.
    pub fn refuse_start(&mut self, now: Timestamp, run: RunId, error: RunError) -> bool {
        let started = self.start(now, run);
        if started {
            let attempt = self.runs[run.index as RunIx].attempt;
            let (outcome, usage) = (Outcome::Failed(error), Usage::default());
            self.finish(now, Finish { run_id: run, attempt, outcome, usage });
        }
        started
    }

    /// What follows from a failure. Where the circuit is open, a fallback is sooner
    /// there than another try.
    pub(super) fn after_failure(&self, ix: RunIx, error: &RunError) -> Next {
        let run = &self.runs[ix];
        let place = run.fallback.map_or(0, |place| place + 1);
        let there = (place as usize) < run.spec.fallbacks.len() && *error.code != *RunError::BUDGET_EXHAUSTED;
        let may_retry = self.may_retry(ix, error);
        match (there, may_retry) {
            (true, true) if *error.code == *RunError::CIRCUIT_OPEN => Next::FallBack(place),
            (_, true) => Next::Retry,
            (true, false) => Next::FallBack(place),
            (false, false) => Next::End,
        }
    }

    /// Writes that the tries of this plugin are over, and that the next one's may
    /// start at once.
    pub(super) fn fall_back(&mut self, now: Timestamp, ix: RunIx, mut life: ChildLifecycle, place: u8) {
        life.falls_back_to = Some(place);
        self.try_again(now, ix, life, now);
    }
}

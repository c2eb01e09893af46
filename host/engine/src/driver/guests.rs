//! Guests: start those that are ready, stop those that are to be stopped.

use std::sync::Arc;
use std::time::Instant;

use pleach_kernel::{Finish, Outcome, RunError, RunId, Timestamp, Usage};
use pleach_sandbox::{Job, LivePermit, Plugin, Stop};

use super::Driver;
use crate::dispatch::{Place, Taken};
use crate::error::Error;
use crate::mailbox::Input;
use crate::meter::RunMeter;

/// A guest that runs.
pub(super) struct Guest {
    pub attempt: u32,
    pub stop: Stop,
    meter: Option<Arc<RunMeter>>,
    _place: Place,
}

/// A run that was decided to start, and starts once that is queued.
pub(super) struct Starting {
    run: RunId,
    plugin: Arc<Plugin>,
    permit: LivePermit,
    place: Place,
}

impl Driver {
    /// Decides which ready runs start: those whose code is there, while the
    /// tree, the tenant and the host have places.
    pub(super) fn start_ready(&mut self, now: Timestamp) {
        let mut room = self.tree.room(self.waiting.count()) as usize;
        if room > 0 && self.tree.ready_count() > 0 {
            let ready: Vec<RunId> = self.tree.ready().take(room).collect();
            for run in ready {
                if room == 0 {
                    break;
                }
                let Some(plugin) = self.code_for(run) else { continue };
                let (tenant, quotas) = (self.tree.tenant(), self.tree.policy().quotas);
                let taken = self.shared.dispatcher.place(&self.shared.sandbox, tenant, &quotas, &self.mailbox);
                let (permit, place) = match taken {
                    Taken::Place(permit, place) => (permit, place),
                    Taken::QuotaFull => {
                        // Somebody else has the place that this tree was woken
                        // for, and wakes the next in line when it is free.
                        self.offered = false;
                        break;
                    }
                    Taken::HostFull => break,
                };
                if self.tree.start(now, run) {
                    self.starting.push(Starting { run, plugin, permit, place });
                    room -= 1;
                }
            }
        }
        if std::mem::take(&mut self.offered) && self.starting.is_empty() {
            self.shared.dispatcher.pass_on(&self.mailbox.tenant);
        }
        let queued = self.tree.ready_count() as u64;
        if queued != self.queued_runs {
            self.shared.dispatcher.queued(&self.mailbox.tenant, self.queued_runs, queued);
            self.queued_runs = queued;
        }
    }

    /// The code of a ready run; where it is not in memory, it is fetched, and
    /// the run stays ready until then.
    fn code_for(&mut self, run: RunId) -> Option<Arc<Plugin>> {
        let digest = self.tree.run(run)?.spec.plugin.digest.clone();
        if let Some(plugin) = self.shared.sandbox.cached(&digest) {
            return Some(plugin);
        }
        if self.loading.insert(digest.clone()) {
            let (shared, mailbox) = (self.shared.clone(), self.mailbox.clone());
            self.shared.runtime.spawn(async move {
                let result = load(&shared, &digest).await;
                mailbox.send(Input::Loaded { digest, result });
            });
        }
        None
    }

    /// Code has arrived, and the turn that follows starts what waited for it.
    /// Where it cannot be had, the runs that need it fail.
    pub(super) fn code_loaded(&mut self, digest: Arc<str>, result: Result<Arc<Plugin>, Error>) {
        self.loading.remove(&digest);
        let Err(error) = result else { return };
        let now = self.shared.clock.now();
        let stranded: Vec<RunId> = self
            .tree
            .ready()
            .filter(|run| self.tree.run(*run).is_some_and(|run| run.spec.plugin.digest == digest))
            .collect();
        for run in stranded {
            if self.tree.start(now, run) {
                let mut cause = RunError::new("plugin_unavailable", error.to_string());
                cause.retryable = true;
                let attempt = self.tree.run(run).map_or(1, |run| run.attempt);
                let outcome = Outcome::Failed(cause);
                self.tree.finish(now, Finish { run_id: run, attempt, outcome, usage: Usage::default() });
            }
        }
    }

    /// Starts what was decided to start; its events are queued by now.
    pub(super) fn start_guests(&mut self) {
        for Starting { run: id, plugin, permit, place } in std::mem::take(&mut self.starting) {
            let Some(run) = self.tree.run(id).filter(|_| self.tree.guest_active(id)) else { continue };
            let meter = self.pools.meter(&self.tree, id);
            let job = Job {
                lineage: self.tree.lineage(run),
                grant: run.spec.request.scopes.clone(),
                input: run.spec.request.input.clone(),
                deadline: run.deadline(),
                started_at: self.shared.clock.now(),
                seed: run.seed(),
                policy_version: self.tree.policy().version,
                accounts: meter.clone().map(|meter| meter as Arc<dyn pleach_sandbox::Meter>),
                permit,
            };
            let attempt = run.attempt;
            let stop = self.shared.sandbox.start(&plugin, job, self.mailbox.clone());
            self.guests.insert(id, Guest { attempt, stop, meter, _place: place });
        }
        // A run may have been cancelled in the turn that started it.
        self.stop_guests();
    }

    /// Signals guests that are to stop, and interrupts those whose time is up.
    pub(super) fn stop_guests(&mut self) {
        let now = Instant::now();
        if self.starting.is_empty() {
            let due = now + self.shared.grace;
            for run in self.tree.stops(self.stops_done) {
                if let Some(guest) = self.guests.get(&run) {
                    guest.stop.cancel();
                    self.kills.push_back((due, run, guest.attempt));
                }
            }
            self.stops_done = self.tree.stop_count();
        }
        while let Some((_, run, attempt)) = self.kills.pop_front_if(|(due, ..)| *due <= now) {
            if let Some(guest) = self.guests.get(&run).filter(|guest| guest.attempt == attempt) {
                guest.stop.kill();
            }
        }
    }

    pub(super) fn guest_finished(&mut self, finish: Finish) {
        let run = finish.run_id;
        let meter = self.guests.remove(&run).and_then(|guest| guest.meter);
        self.waiting.forget(run);
        if self.broken.is_none() {
            self.tree.finish(self.shared.clock.now(), finish);
        }
        // Only now is what it took counted by the kernel.
        if let Some(meter) = meter {
            meter.settle(&self.tree);
        }
    }
}

async fn load(shared: &super::Shared, digest: &str) -> Result<Arc<Plugin>, Error> {
    let bytes = || async {
        match shared.store.component(digest).await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err("the store does not have it; publish the same version again".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    Ok(shared.sandbox.load(digest, bytes).await?)
}

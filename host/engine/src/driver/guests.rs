//! Guests: start those that are ready, stop those that are to be stopped.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use pleach_kernel::{Finish, RunId, Timestamp};
use pleach_sandbox::{Job, LivePermit, Plugin, Replay, Stop};
use tokio::time::Instant;

use super::Driver;
use crate::dispatch::{Place, Taken};
use crate::meter::RunMeter;

/// A guest that runs.
pub(super) struct Guest {
    pub attempt: u32,
    pub stop: Stop,
    pub meter: Option<Arc<RunMeter>>,
    /// Entries in its journal, and the append that has the last of them.
    pub journal_len: u32,
    pub journal_in: u64,
    /// It is a graph: part of the host, and never dropped from memory.
    pub is_native: bool,
    /// It is being dropped from memory.
    pub parking: bool,
    /// What it waited for has come meanwhile.
    pub woken: bool,
    /// When it is looked at whether it has waited too long, if it is.
    pub looked_after: bool,
    _place: Place,
}

/// A run that was decided to start, and starts once that is queued.
pub(super) struct Starting {
    pub run: RunId,
    pub plugin: Arc<Plugin>,
    pub permit: LivePermit,
    pub place: Place,
    /// What its guest was answered before, and how many entries that is.
    pub replay: Replay,
    pub journal_len: u32,
    /// What it took before, where it was parked.
    pub meter: Option<Arc<RunMeter>>,
}

impl Driver {
    /// Decides which ready runs start: those whose code is there, while the
    /// tree, the tenant and the host have places.
    pub(super) fn start_ready(&mut self, now: Timestamp) {
        for (run, plugin) in self.startable() {
            let Some((permit, place)) = self.take_place(&plugin) else { break };
            if self.tree.start(now, run) {
                let (replay, journal_len, meter) = (Replay::default(), 0, None);
                self.starting.push(Starting { run, plugin, permit, place, replay, journal_len, meter });
            }
        }
        if std::mem::take(&mut self.offered) && self.starting.is_empty() {
            self.line.pass_on();
        }
        let queued = self.tree.ready_count() as u64;
        if queued != self.queued_runs {
            self.line.queued(self.queued_runs, queued);
            self.queued_runs = queued;
        }
    }

    /// As many ready runs as the tree has room for, with their code; those without
    /// hold up nobody, and have it fetched.
    fn startable(&mut self) -> Vec<(RunId, Arc<Plugin>)> {
        let room = self.room() as usize;
        let mut found: Vec<(RunId, Arc<Plugin>)> = Vec::with_capacity(room.min(self.tree.ready_count()));
        let mut absent: Vec<RunId> = Vec::new();
        let digest_of = |run: RunId| self.tree.run(run).map(|run| &run.spec.plugin.digest);
        for run in self.tree.ready() {
            if found.len() == room {
                break;
            }
            let Some(digest) = digest_of(run) else { continue };
            // Neighbours are mostly of one plugin.
            let known = found.last().filter(|(_, plugin)| plugin.digest() == digest).map(|(_, plugin)| plugin.clone());
            if let Some(plugin) = known.or_else(|| self.shared.plugin(digest)) {
                found.push((run, plugin));
            } else if !absent.iter().any(|other| digest_of(*other) == Some(digest)) {
                absent.push(run);
            }
        }
        for run in absent {
            self.code_for(run);
        }
        found
    }

    /// A place for one more guest; where there is none, this tree is woken when
    /// there may be.
    pub(super) fn take_place(&mut self, plugin: &Plugin) -> Option<(LivePermit, Place)> {
        if plugin.is_native() {
            let place = Place::of_no_quota(&self.line);
            return Some((self.shared.graphs.permit()?, place));
        }
        let guests = &self.shared.guests;
        let quotas = self.tree.policy().quotas;
        let (live, memory_bytes) = (guests.live(), guests.memory_bytes());
        match self.shared.dispatcher.place(&self.line, live, memory_bytes, &quotas, &self.mailbox) {
            Taken::Place(permit, place) => Some((permit, place)),
            Taken::QuotaFull => {
                // Somebody else has the place that this tree was woken for, and
                // wakes the next in line when it is free.
                self.offered = false;
                None
            }
            Taken::HostFull => None,
        }
    }

    /// Starts what was decided to start; its events are queued by now.
    pub(super) fn start_guests(&mut self) {
        for starting in std::mem::take(&mut self.starting) {
            let Starting { run: id, plugin, permit, place, replay, journal_len, meter } = starting;
            let Some(run) = self.tree.run(id).filter(|_| self.tree.guest_active(id)) else { continue };
            let meter = meter.or_else(|| self.pools.meter(&self.tree, id));
            let job = Job {
                lineage: self.tree.lineage(run),
                grant: run.spec.request.scopes.clone(),
                input: run.spec.request.input.clone(),
                deadline: run.deadline(),
                started_at: run.attempt_started_at(),
                seed: run.seed(),
                policy_version: self.tree.policy().version,
                accounts: meter.clone().map(|meter| meter as Arc<dyn pleach_sandbox::Meter>),
                permit,
                replay,
            };
            let (attempt, is_native) = (run.attempt, plugin.is_native());
            self.graphs += u32::from(is_native);
            let stop = self.shared.guests.start(&plugin, job, self.mailbox.clone());
            let guest = Guest {
                attempt,
                stop,
                meter,
                journal_len,
                journal_in: 0,
                is_native,
                parking: false,
                woken: false,
                looked_after: false,
                _place: place,
            };
            self.guests.insert(id, guest);
        }
        // A run may have been cancelled in the turn that started it.
        self.stop_guests();
    }

    /// Signals guests that are to stop, and interrupts those whose time is up.
    pub(super) fn stop_guests(&mut self) {
        let now = Instant::now();
        if self.starting.is_empty() {
            let due = now + self.shared.habits.grace;
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
        // What is told twice counts once.
        let Entry::Occupied(guest) = self.guests.entry(run) else { return };
        if guest.get().attempt != finish.attempt {
            return;
        }
        let guest = guest.remove();
        self.graphs -= u32::from(guest.is_native);
        self.waiting.forget(run);
        self.listeners.forget(run);
        if !self.decides() {
            return;
        }
        self.forget_journal(run, guest.journal_len, guest.journal_in);
        self.tree.finish(self.shared.clock.now(), finish);
        // Only now is what it took counted by the kernel.
        if let Some(meter) = guest.meter {
            meter.settle(&self.tree);
        }
    }
}

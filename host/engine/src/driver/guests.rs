//! Guests: start those that are ready, stop those that are to be stopped.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use pleach_kernel::{Finish, Priority, ReadyRun, RunId, Timestamp};
use pleach_sandbox::{Job, LivePermit, Plugin, Replay, Stop};
use tokio::time::Instant;

use super::Driver;
use super::code::Code;
use crate::breakers::Trial;
use crate::dispatch::{Place, Want};
use crate::meter::RunMeter;

/// So many ready runs are looked at together: where there are places for a few only,
/// looking at all that wait would be for nothing.
const AT_ONCE: usize = 64;

/// A guest that runs.
pub(super) struct Guest {
    pub plugin: Arc<Plugin>,
    pub attempt: u32,
    pub stop: Stop,
    pub meter: Option<Arc<RunMeter>>,
    /// Entries in its journal, and the append that has the last of them.
    pub journal_len: u32,
    pub journal_in: u64,
    /// It is a graph, which only waits for others: it is never dropped from memory.
    pub is_graph: bool,
    /// It is being dropped from memory.
    pub parking: bool,
    /// What it waited for has come meanwhile.
    pub woken: bool,
    /// When it is looked at whether it has waited too long, if it is.
    pub looked_after: bool,
    pub trial: Option<Trial>,
    _place: Option<Place>,
}

/// A run that was decided to start.
pub(super) struct Starting {
    pub run: RunId,
    pub code: Code,
    pub permit: LivePermit,
    /// None for a graph.
    pub place: Option<Place>,
    /// What its guest was answered before, and how many entries that is.
    pub replay: Replay,
    pub journal_len: u32,
    /// What it took before, where it was parked.
    pub meter: Option<Arc<RunMeter>>,
    pub trial: Option<Trial>,
}

impl Driver {
    /// Starts ready runs: those whose code is there, while the tree, the tenant and the host
    /// have places. How many those are.
    pub(super) fn start_ready(&mut self, now: Timestamp) -> u64 {
        let mut started = 0;
        let mut is_more = true;
        while is_more {
            is_more = self.start_some(now, &mut started);
            // The first of many run while others are decided on.
            self.start_guests();
        }
        // What nobody here has use for is the next one's.
        self.granted.clear();
        self.line_up();
        let queued = self.tree.ready_count() as u64;
        if queued != self.queued_runs {
            self.line.queued(self.queued_runs, queued);
            self.queued_runs = queued;
        }
        started
    }

    /// Decides to start a few ready runs, or has them fail where their plugin's circuit is open.
    /// Whether there may be more to start.
    fn start_some(&mut self, now: Timestamp, started: &mut u64) -> bool {
        let startable = self.startable();
        for (done, (ready, code)) in startable.iter().enumerate() {
            let run = ready.run;
            let trial = match self.ask_circuit(run, &code.plugin, now) {
                Ok(trial) => trial,
                Err(error) => {
                    self.tree.refuse_start(now, run, error);
                    continue;
                }
            };
            let Some((permit, place)) = self.take_place(&code.plugin) else {
                for (ready, _) in &startable[done..] {
                    self.wants(ready.priority, ready.mean);
                }
                return false;
            };
            if self.tree.start(now, run) {
                *started += 1;
                let (code, replay, journal_len, meter) = (code.clone(), Replay::default(), 0, None);
                self.starting.push(Starting { run, code, permit, place, replay, journal_len, meter, trial });
            }
        }
        startable.len() == AT_ONCE
    }

    /// The first ready runs that the tree has room for, with their code; those without
    /// hold up nobody, and have it fetched.
    fn startable(&mut self) -> Vec<(ReadyRun, Code)> {
        let most = (self.room() as usize).min(AT_ONCE);
        if most == 0 || self.tree.ready_count() == 0 {
            return Vec::new();
        }
        let mut found: Vec<(ReadyRun, Code)> = Vec::with_capacity(most.min(self.tree.ready_count()));
        let mut absent: Vec<RunId> = Vec::new();
        let digest_of = |run: RunId| self.tree.run(run).map(|run| &run.plugin().digest);
        for ready in self.tree.ready_by(|plugin| self.line.durations.mean(plugin)) {
            if found.len() == most {
                break;
            }
            let Some(run) = self.tree.run(ready.run) else { continue };
            // Neighbours are mostly of one plugin.
            match self.code(run, found.last().map(|(_, code)| code)) {
                Ok(code) => found.push((ready, code)),
                Err(of) if absent.iter().any(|other| digest_of(*other) == digest_of(of)) => {}
                Err(of) => absent.push(of),
            }
        }
        for run in absent {
            self.fetch_code_of(run);
        }
        found
    }

    /// A place for one more guest, if there is one; where there is none, say what is
    /// [wanted](Driver::wants). A graph takes nothing of what guests share.
    pub(super) fn take_place(&mut self, plugin: &Plugin) -> Option<(LivePermit, Option<Place>)> {
        if plugin.is_graph() {
            return Some((self.shared.graphs.permit()?, None));
        }
        let quotas = self.tree.policy().quotas;
        let granted = self.granted.pop().or_else(|| self.shared.dispatcher.take(&self.line, &quotas))?;
        Some((granted.permit, Some(granted.place)))
    }

    /// A run of this priority, whose plugin takes so long, has found no place.
    pub(super) fn wants(&mut self, priority: Priority, mean: u64) {
        let best = self.wanted.map_or((priority, mean), |other| other.min((priority, mean)));
        self.wanted = Some(best);
    }

    /// Lines up where runs have found no place, to be sent one; and leaves the line
    /// where none wait any more.
    fn line_up(&mut self) {
        let dispatcher = &self.shared.dispatcher;
        match self.wanted.take() {
            Some((priority, mean)) => {
                let (fairness, quotas) = (self.tree.fairness(), self.tree.policy().quotas);
                self.is_lined_up = true;
                dispatcher.line_up(&self.line, &self.mailbox, &Want { priority, fairness, mean, quotas });
            }
            None if std::mem::take(&mut self.is_lined_up) => dispatcher.withdraw(&self.line, self.mailbox.root),
            None => {}
        }
    }

    /// Starts what was decided to start; its events are the next that are queued.
    pub(super) fn start_guests(&mut self) {
        for starting in std::mem::take(&mut self.starting) {
            let Starting { run: id, code, permit, place, replay, journal_len, meter, trial } = starting;
            let Some(run) = self.tree.run(id).filter(|_| self.tree.guest_active(id)) else { continue };
            let meter = meter.or_else(|| self.pools.meter(&self.tree, id));
            let Code { plugin, asked_by } = code;
            let job = Job {
                lineage: self.tree.lineage(run),
                asked_by,
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
            let (attempt, is_graph) = (run.attempt, plugin.is_graph());
            self.graphs += u32::from(is_graph);
            let stop = self.shared.guests.start(&plugin, job, self.mailbox.clone());
            let guest = Guest {
                plugin,
                attempt,
                stop,
                meter,
                journal_len,
                journal_in: 0,
                is_graph,
                parking: false,
                woken: false,
                looked_after: false,
                trial,
                _place: place,
            };
            self.guests.insert(id, Box::new(guest));
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
        self.graphs -= u32::from(guest.is_graph);
        self.waiting.forget(run);
        self.listeners.forget(run);
        if !self.decides() {
            return;
        }
        self.forget_journal(run, guest.journal_len, guest.journal_in);
        if !guest.is_graph {
            self.try_ended(run, &finish.outcome, guest.trial);
        }
        self.tree.finish(self.shared.clock.now(), finish);
        // Only now is what it took counted by the kernel.
        if let Some(meter) = guest.meter {
            meter.settle(&self.tree);
        }
    }
}

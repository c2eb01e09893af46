//! Park: guests that wait for long are dropped from memory, and run again from
//! their journal when what they wait for is there.
//!
//! A tree whose host has died starts with all its guests like this.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pleach_kernel::{Outcome, RunId, Timestamp, Usage};
use pleach_sandbox::LivePermit;
use tokio::time::Instant;

use super::Driver;
use super::code::Code;
use super::guests::{Guest, Starting};
use crate::breakers::Trial;
use crate::dispatch::{Place, Pressure};
use crate::meter::RunMeter;

/// A guest that sleeps is not dropped for less, however much its place is wanted.
const SHORT_SLEEP_MS: u64 = 100;

/// Guests that are not in memory, and when to look at those that are.
#[derive(Default)]
pub(super) struct Parking {
    parked: BTreeMap<RunId, Parked>,
    /// What they wait for is there, and their journals are not on disk yet.
    unwritten: VecDeque<(u64, RunId)>,
    /// To be run again, in this order, when there are places.
    woken: VecDeque<RunId>,
    /// When which guests will have waited too long, if they still wait.
    looks: VecDeque<(Instant, RunId, u32)>,
    /// Whether this tree is asked to give way when others want its places.
    is_known: bool,
}

struct Parked {
    attempt: u32,
    /// What it had used. None of a guest that another host ran.
    used: Option<Usage>,
    /// How many host calls it had begun; 0 where nobody knows.
    calls: u32,
    meter: Option<Arc<RunMeter>>,
    journal: Written,
    stage: Stage,
    trial: Option<Trial>,
}

/// What is known of a parked guest's journal.
#[derive(Clone, Copy)]
enum Written {
    /// It has none. One of an earlier try may still be on disk.
    Nothing,
    /// All of it is on disk with this append; 0 for what another host wrote.
    With(u64),
}

/// How far a parked guest is on its way back.
enum Stage {
    Waits,
    Woken,
    /// It has a place, and its journal is being read: no more of them lie in
    /// memory than there are places.
    Reads {
        code: Code,
        permit: LivePermit,
        place: Option<Place>,
    },
}

impl Parking {
    /// A guest that ran when the log ended.
    pub(super) fn left_by_another_host(&mut self, run: RunId, attempt: u32) {
        let journal = Written::With(0);
        let stage = Stage::Waits;
        let parked = Parked { attempt, used: None, calls: 0, meter: None, journal, stage, trial: None };
        self.parked.insert(run, parked);
    }

    pub(super) fn runs(&self) -> Vec<RunId> {
        self.parked.keys().copied().collect()
    }

    /// Guests that are to be run again as soon as they can.
    pub(super) fn woken(&self) -> impl Iterator<Item = RunId> + '_ {
        self.woken.iter().copied()
    }

    /// A parked guest is not run again; what it had used.
    pub(super) fn forget(&mut self, run: RunId) -> (Usage, Option<Arc<RunMeter>>) {
        self.woken.retain(|other| *other != run);
        let parked = self.parked.remove(&run);
        parked.map_or_else(Default::default, |parked| (parked.used.unwrap_or_default(), parked.meter))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.looks.front().map(|(at, ..)| *at)
    }
}

impl Driver {
    /// Parks guests that have begun to wait while others want their places, and
    /// those that have waited for too long.
    pub(super) fn park_waiting(&mut self) {
        let began = self.waiting.take_began();
        if !began.is_empty() && !std::mem::replace(&mut self.parking.is_known, true) {
            self.shared.dispatcher.has_waiters(&self.mailbox);
        }
        let pressure = if began.is_empty() { Pressure::None } else { self.shared.dispatcher.pressure(&self.line) };
        let now = Instant::now();
        for run in began {
            if !self.give_way_of(run, pressure) {
                self.look_after(run, now + self.shared.habits.park_after);
            }
        }
        if std::mem::take(&mut self.gives_way) {
            self.give_way();
        }
        while let Some((_, run, attempt)) = self.parking.looks.pop_front_if(|(at, ..)| *at <= now) {
            let Some(guest) = self.guests.get_mut(&run).filter(|guest| guest.attempt == attempt) else { continue };
            guest.looked_after = false;
            match self.waiting.since(run) {
                Some(since) if now.duration_since(since) >= self.shared.habits.park_after => self.park(run),
                Some(since) => self.look_after(run, since + self.shared.habits.park_after),
                // Looked at again when it next waits.
                None => {}
            }
        }
    }

    fn look_after(&mut self, run: RunId, at: Instant) {
        let Some(guest) = self.guests.get_mut(&run) else { return };
        if !std::mem::replace(&mut guest.looked_after, true) {
            // The span is always the same, so almost always this is the end.
            let place = self.parking.looks.partition_point(|(other, ..)| *other <= at);
            self.parking.looks.insert(place, (at, run, guest.attempt));
        }
    }

    /// Others need the places of guests that wait.
    fn give_way(&mut self) {
        let pressure = self.shared.dispatcher.pressure(&self.line);
        if pressure == Pressure::None {
            return;
        }
        // Those in memory: many more may wait that are parked.
        let mut waiting: Vec<RunId> =
            self.guests.keys().copied().filter(|run| self.waiting.since(*run).is_some()).collect();
        waiting.sort_unstable();
        for run in waiting {
            self.give_way_of(run, pressure);
        }
    }

    /// Whether a guest that waits was parked because others need its place.
    fn give_way_of(&mut self, run: RunId, pressure: Pressure) -> bool {
        let now = self.shared.clock.now();
        let gives_way = match (pressure, self.waiting.sleeps_until(run)) {
            (Pressure::None, _) | (Pressure::Tenant, Some(_)) => false,
            (Pressure::Tenant | Pressure::Host, None) => self.waiting.since(run).is_some(),
            (Pressure::Host, Some(until)) => until.since_ms(now) >= SHORT_SLEEP_MS,
        };
        if gives_way {
            self.park(run);
        }
        gives_way
    }

    fn park(&mut self, run: RunId) {
        // One whose end is settled was told so, and may be tidying up.
        if self.tree.is_closing(run) {
            return;
        }
        let Some(guest) = self.guests.get_mut(&run).filter(|guest| !guest.parking) else { return };
        guest.parking = true;
        // In this order: a guest that is parked takes no notice of a reply that
        // was dropped.
        guest.stop.park();
        self.waiting.unhear(run);
    }

    /// A guest is out of memory.
    pub(super) fn guest_parked(&mut self, parked: pleach_sandbox::Parked) {
        let run = parked.run_id;
        let Some(guest) = self.guests.remove(&run) else { return };
        if !self.decides() {
            return;
        }
        let used = Usage { cpu_us: parked.cpu_us, host_calls: parked.host_calls, ..Usage::default() };
        if self.tree.is_closing(run) {
            self.waiting.forget(run);
            self.forget_journal(run, guest.journal_len, guest.journal_in);
            self.try_ended(run, &Outcome::Stopped, guest.trial);
            self.stop_gone(self.shared.clock.now(), run, used);
            if let Some(meter) = guest.meter {
                meter.settle(&self.tree);
            }
            return;
        }
        let Guest { attempt, meter, journal_len, journal_in, woken, trial, .. } = *guest;
        let journal = if journal_len == 0 { Written::Nothing } else { Written::With(journal_in) };
        let (used, calls, stage) = (Some(used), parked.calls, Stage::Waits);
        self.parking.parked.insert(run, Parked { attempt, used, calls, meter, journal, stage, trial });
        // It may have asked for something else while it was being parked, and have been
        // answered or not: nobody has heard that.
        if !self.waiting.unhear(run) || woken {
            self.wake(run);
        }
    }

    /// What a parked guest waits for is there.
    pub(super) fn wake(&mut self, run: RunId) {
        if let Some(guest) = self.guests.get_mut(&run) {
            guest.woken = true;
            return;
        }
        let Some(parked) = self.parking.parked.get_mut(&run) else { return };
        if !matches!(parked.stage, Stage::Waits) {
            return;
        }
        parked.stage = Stage::Woken;
        match parked.journal {
            Written::With(append) if append > self.appends_durable => self.parking.unwritten.push_back((append, run)),
            Written::Nothing | Written::With(_) => self.parking.woken.push_back(run),
        }
    }

    /// More of the log is on disk.
    pub(super) fn wake_written(&mut self) {
        // Almost always in order: what a wait began with was written before.
        let on_disk = self.appends_durable;
        let unwritten = std::mem::take(&mut self.parking.unwritten);
        for (append, run) in unwritten {
            match append <= on_disk {
                true => self.parking.woken.push_back(run),
                false => self.parking.unwritten.push_back((append, run)),
            }
        }
    }

    /// Runs parked guests again, while there are places.
    pub(super) fn start_woken(&mut self) {
        for _ in 0..self.parking.woken.len() {
            let Some(run) = self.parking.woken.pop_front() else { return };
            let Some(journal) = self.parking.parked.get(&run).map(|parked| parked.journal) else { continue };
            let Some(code) = self.code_for(run) else {
                self.parking.woken.push_back(run);
                continue;
            };
            let Some((permit, place)) = self.take_place(&code.plugin) else {
                self.parking.woken.push_front(run);
                self.wants(self.tree.run(run).map_or_else(Default::default, |run| run.spec.request.priority), 0);
                return;
            };
            if let Some(parked) = self.parking.parked.get_mut(&run) {
                parked.stage = Stage::Reads { code, permit, place };
            }
            match journal {
                Written::Nothing => self.journal_loaded(run, Ok(Vec::new())),
                Written::With(_) => self.load_journal(run),
            }
        }
    }

    /// A parked guest that has a place is run again with what it was answered.
    pub(super) fn journal_loaded(&mut self, run: RunId, result: Result<Vec<Vec<u8>>, pleach_store::Error>) {
        if !self.decides() || !self.parking.parked.contains_key(&run) {
            return;
        }
        let replay = result.and_then(|bodies| Ok((self.replay(run, &bodies)?, bodies.len() as u32)));
        let (mut replay, journal_len) = match replay {
            Ok(replay) => replay,
            // Without its journal the run cannot go on, and with a part of it it
            // would go wrong.
            Err(error) => return self.break_off(error),
        };
        let Some(Parked { used, calls, meter, stage, trial, .. }) = self.parking.parked.remove(&run) else { return };
        let Stage::Reads { code, permit, place } = stage else { return };
        replay.cpu_us = used.map(|used| used.cpu_us);
        // The last call that it had begun is the one that it waited in.
        replay.reached = replay.reached.max(calls.saturating_sub(1));
        if let Some(meter) = &meter {
            meter.replay();
        }
        self.starting.push(Starting { run, code, permit, place, replay, journal_len, meter, trial });
    }

    /// Ends parked guests whose runs were decided to end: there is nobody who
    /// could tidy up.
    pub(super) fn end_parked(&mut self, now: Timestamp) {
        while self.parked_stops_done < self.tree.stop_count() {
            let stopped: Vec<RunId> = self.tree.stops(self.parked_stops_done).collect();
            self.parked_stops_done = self.tree.stop_count();
            for run in stopped {
                let Some(parked) = self.parking.parked.remove(&run) else { continue };
                if parked.attempt != self.attempt(run) {
                    continue;
                }
                self.waiting.forget(run);
                // Of ten thousand that are cancelled at once, most have none.
                if let Written::With(_) = parked.journal {
                    self.journals.forget.push(run.index);
                }
                self.try_ended(run, &Outcome::Stopped, parked.trial);
                self.stop_gone(now, run, parked.used.unwrap_or_default());
                if let Some(meter) = parked.meter {
                    meter.settle(&self.tree);
                }
            }
        }
    }
}

//! The task that owns one tree.
//!
//! A loop takes everything that waits in the mailbox, has the kernel decide on
//! it, answers, starts and stops guests, and queues the events in the store
//! before it looks at anything that comes of that. What leaves the host (a
//! result, an event, the answer to whoever operates it) waits until its events
//! are on disk.

mod alarm;
pub(crate) mod calls;
mod code;
mod guests;
mod journal;
mod leave;
mod log;
mod nodes;
mod park;
mod tries;
mod waiting;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use pleach_kernel::{Caller, Finish, Outcome, Priority, RunId, Surface, Timestamp, Tree, Usage};
use pleach_sandbox::{Call, Plugin, give_way};
use pleach_store::Store;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::append::Journals;
use crate::breakers::{Breakers, Circuits};
use crate::clock::Clock;
use crate::dispatch::{Dispatcher, Granted, Line};
use crate::ended::Ended;
use crate::error::Error;
use crate::graphs::Graphs;
use crate::guests::Guests;
use crate::habits::Habits;
use crate::mailbox::{Ask, Input, Mailbox};
use crate::meter::Pools;
use crate::missing::Missing;
use crate::program::Programs;
use crate::registry::Registry;
use crate::stage;
use alarm::Alarm;
use code::Codes;
use guests::{Guest, Starting};
use journal::Intent;
use nodes::Listeners;
use park::Parking;
use waiting::{Answer, Waiting};

/// From so many runs on that a decision is about, it takes milliseconds, for which
/// guests on the same thread would have to wait.
const LARGE: usize = 1_000;

/// Inputs that are decided on together.
const BATCH: usize = 4_096;

/// A tree keeps room for so many between turns.
const USUAL_BATCH: usize = 32;

/// What every driver of a host works with.
pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub guests: Arc<dyn Guests>,
    pub registry: Registry,
    pub dispatcher: Arc<Dispatcher>,
    pub breakers: Breakers,
    pub clock: Clock,
    pub runtime: Handle,
    /// Graphs that were compiled.
    pub graphs: Graphs,
    /// Those that the embedder has provided.
    pub programs: Programs,
    /// Plugins that unfinished runs are pinned to and this store lacks.
    pub missing: Missing,
    pub habits: Habits,
}

impl Shared {
    /// A plugin that is ready to run.
    pub(crate) fn plugin(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.guests.cached(digest).or_else(|| self.graphs.cached(digest)).or_else(|| self.programs.get(digest))
    }
}

/// Which threads a driver runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Those of guests, where waking it costs nothing.
    BesideGuests,
    /// The host's own: for what would hold up guests, or where guests would hold it up.
    Apart,
}

/// How a driver's task has ended.
pub(crate) enum Driven {
    /// Every run has ended and that is on disk; or why the tree could not go on.
    Ended(Option<Error>),
    /// It is to go on in another place.
    Moves(Box<Driver>),
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    place: Place,
    /// Wakes it when there is something to do although nothing has arrived.
    alarm: Alarm,
    /// Taken out of the mailbox, and not decided on yet.
    taken: Vec<Input>,
    begun: bool,
    /// Something has happened that something may follow from.
    has_news: bool,
    tree: Tree,
    mailbox: Arc<Mailbox>,
    inbox: mpsc::UnboundedReceiver<Input>,
    /// What the tree shares with others of its tenant: places, and what is known of
    /// plugins.
    line: Arc<Line>,
    circuits: Arc<Circuits>,
    /// The last seq that was queued in the store.
    queued_seq: u64,
    /// The last seq that is on disk.
    durable_seq: u64,
    /// How many appends were queued, and how many of them are on disk.
    appends_queued: u64,
    appends_durable: u64,
    /// Boxed: a map has room for about twice what it holds.
    guests: HashMap<RunId, Box<Guest>>,
    /// Decided to start, and not started yet.
    starting: Vec<Starting>,
    /// How many of the tree's stops were acted on: where the guest is live, and
    /// where it is parked.
    stops_done: usize,
    parked_stops_done: usize,
    /// How many of the tree's join decisions were acted on.
    decisions_done: usize,
    /// Guests that were told to stop, and when they will be made to.
    kills: VecDeque<(Instant, RunId, u32)>,
    codes: Codes,
    waiting: Waiting,
    /// Graphs that wait for what ends next.
    listeners: Listeners,
    /// Graphs that run: they take no places.
    graphs: u32,
    parking: Parking,
    /// What this turn adds to journals.
    journals: Journals,
    /// Effects that wait until what leads to them is on disk.
    intents: VecDeque<Intent>,
    /// Answers to guests that go out in this turn, before its events are queued.
    answers: Vec<Answer>,
    /// Answers to operators by the seq that has to be on disk first.
    held: VecDeque<(u64, Answer)>,
    /// Operators that wait for runs to end.
    ends: BTreeMap<RunId, Vec<oneshot::Sender<Result<Ended, Error>>>>,
    pools: Pools,
    /// Places that it was sent, and has not used yet.
    granted: Vec<Granted>,
    /// What the best of its runs is like that found no place in this turn.
    wanted: Option<(Priority, u64)>,
    /// Whether it stands in line for a place.
    is_lined_up: bool,
    /// Others need the places of guests that wait.
    gives_way: bool,
    /// Runs of this tree that the dispatcher counts as queued.
    queued_runs: u64,
    /// The seq of the newest snapshot, and whether one is being made.
    snapshot_seq: u64,
    snapshotting: bool,
    /// What is to become one when this append is on disk.
    snapshot: Option<(u64, Tree)>,
    /// Why the log cannot be written any more.
    broken: Option<pleach_store::Error>,
    /// Nothing more is decided here.
    detached: bool,
}

impl Driver {
    /// A driver for a tree whose log is on disk up to `durable_seq`, and its newest
    /// snapshot of `snapshot_seq`. Guests that ran when the log ended are run again.
    pub(crate) fn new(
        shared: Arc<Shared>,
        tree: Tree,
        (durable_seq, snapshot_seq): (u64, u64),
        mailbox: Arc<Mailbox>,
        inbox: mpsc::UnboundedReceiver<Input>,
    ) -> Self {
        let line = shared.dispatcher.line(tree.tenant());
        let circuits = shared.breakers.circuits(tree.tenant());
        // No guest of an earlier host is left to be stopped or answered.
        let (stops, decisions) = (tree.stop_count(), tree.decision_count());
        Self {
            shared,
            place: if tree.runs().len() < LARGE { Place::BesideGuests } else { Place::Apart },
            alarm: Alarm::default(),
            taken: Vec::new(),
            begun: false,
            has_news: true,
            mailbox,
            inbox,
            line,
            circuits,
            queued_seq: durable_seq,
            durable_seq,
            appends_queued: 0,
            appends_durable: 0,
            guests: HashMap::new(),
            starting: Vec::new(),
            stops_done: stops,
            parked_stops_done: stops,
            decisions_done: decisions,
            kills: VecDeque::new(),
            codes: Codes::default(),
            waiting: Waiting::default(),
            listeners: Listeners::default(),
            graphs: 0,
            parking: Parking::default(),
            journals: Journals::default(),
            intents: VecDeque::new(),
            answers: Vec::new(),
            held: VecDeque::new(),
            ends: BTreeMap::new(),
            pools: Pools::default(),
            granted: Vec::new(),
            wanted: None,
            is_lined_up: false,
            gives_way: false,
            queued_runs: 0,
            snapshot_seq,
            snapshotting: false,
            snapshot: None,
            broken: None,
            detached: false,
            tree,
        }
    }

    /// Sends the first answer once the tree's first events are on disk.
    pub(crate) fn hold_until_open(&mut self, reply: oneshot::Sender<Result<(), Error>>) {
        self.held.push_back((self.tree.seq(), Answer::Opened(reply)));
    }

    /// Where it is to run.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Runs the tree until it has ended, or the driver has to move.
    pub(crate) async fn run(mut self: Box<Self>) -> Driven {
        if !std::mem::replace(&mut self.begun, true) {
            self.resume();
            self.take_turns();
        }
        // What was taken in before it moved is answered, even if that was the last.
        while !self.taken.is_empty() || !self.is_done() {
            if !self.taken.is_empty() {
                // It has moved, and what came meanwhile may say that the store has failed
                // the tree: nothing may be appended after that.
                self.take_waiting();
            } else if !self.take_in().await {
                return Driven::Moves(self);
            }
            let mut taken = std::mem::take(&mut self.taken);
            // With nothing taken in, it is the alarm that has rung.
            self.has_news |= taken.is_empty();
            for input in taken.drain(..) {
                self.has_news |= self.take(input);
            }
            if taken.capacity() <= USUAL_BATCH {
                self.taken = taken;
            }
            self.take_turns();
            if !self.inbox.is_empty() {
                // Those who share its thread have a turn before it goes on.
                give_way().await;
            }
        }
        self.leave();
        Driven::Ended(self.broken.as_ref().map(|cause| self.stopped_by(cause)))
    }

    /// Waits for something to do, and takes it in; whether it is to be done here.
    async fn take_in(&mut self) -> bool {
        // Where the disk cannot keep up, guests are not answered until it has
        // caught up: else one that asks without end would fill memory.
        if let Some(room) = self.shared.store.room() {
            room.await;
        }
        let due = self.next_due();
        let first = tokio::select! {
            biased;
            input = self.inbox.recv() => input,
            () = self.alarm.rings(due) => None,
        };
        self.taken.extend(first);
        self.take_waiting();
        let weight: usize = self.taken.iter().map(|input| self.weight(input)).sum();
        let place = match weight >= LARGE || self.shared.guests.is_crowded() {
            true => Place::Apart,
            false => Place::BesideGuests,
        };
        let stays = std::mem::replace(&mut self.place, place) == place;
        if !stays {
            self.alarm.stop();
        }
        stays
    }

    /// Takes in what waits in the mailbox.
    fn take_waiting(&mut self) {
        while self.taken.len() < BATCH
            && let Ok(input) = self.inbox.try_recv()
        {
            self.taken.push(input);
        }
    }

    /// About how many runs have to be looked at for an input.
    fn weight(&self, input: &Input) -> usize {
        match input {
            Input::Call { call: Call::SpawnGroup { members, .. }, .. } => members.len(),
            Input::Call { call: Call::NodeRuns { runs, .. }, .. } => runs.len(),
            Input::Call { call: Call::Cancel { .. }, .. } | Input::Ask(_) | Input::Detach => self.tree.runs().len(),
            _ => 1,
        }
    }

    /// Takes up the guests that ran when the log ended: those whose end is
    /// settled have no more to say, the others are run again from the start.
    fn resume(&mut self) {
        self.mailbox.feed.reach(self.durable_seq);
        let now = self.shared.clock.now();
        let active: Vec<RunId> = self.tree.active_guests().collect();
        for run in active {
            if self.tree.is_closing(run) {
                self.journals.forget.push(run.index);
                self.stop_gone(now, run, Usage::default());
            } else {
                self.parking.left_by_another_host(run, self.attempt(run));
            }
        }
        for run in self.parking.runs() {
            self.wake(run);
        }
    }

    /// A run whose guest is not there any more ends as its fate says.
    fn stop_gone(&mut self, now: Timestamp, run: RunId, usage: Usage) {
        let attempt = self.attempt(run);
        self.tree.finish(now, Finish { run_id: run, attempt, outcome: Outcome::Stopped, usage });
    }

    fn attempt(&self, run: RunId) -> u32 {
        self.tree.run(run).map_or(1, |run| run.attempt)
    }

    fn take_turns(&mut self) {
        while std::mem::take(&mut self.has_news) {
            self.turn();
        }
    }

    /// What follows from whatever was taken in.
    fn turn(&mut self) {
        let now = self.shared.clock.now();
        if self.decides() {
            let (mut told, mut started) = (0, 0);
            stage::decide().in_scope(|| {
                self.tree.tick(now);
                self.end_parked(now);
                told = self.tree.seq();
                // Joins that are decided now free places, and starting fills them.
                self.resume_waiting(now);
            });
            self.tell_guests();
            stage::dispatch().in_scope(|| {
                self.park_waiting();
                self.start_woken();
                started = self.start_ready(now);
            });
            // Whoever waits for what was decided since is told in the next turn; nobody
            // waits for a start.
            self.has_news |= self.tree.seq() > told + started;
        }
        self.tell_guests();
        self.commit();
        self.let_out();
    }

    /// What guests are told is decided, and its events are the next that are queued: writing
    /// them down takes time, in which guests do theirs. Who is to stop learns it first.
    fn tell_guests(&mut self) {
        self.note_decisions();
        self.stop_guests();
        for answer in std::mem::take(&mut self.answers) {
            answer.send();
        }
    }

    /// How many more guests of this tree may run.
    fn room(&self) -> u32 {
        self.tree.room(self.waiting.count() + self.graphs)
    }

    /// Whether what is decided here still counts.
    fn decides(&self) -> bool {
        self.broken.is_none() && !self.detached
    }

    /// Whether anything may follow from it.
    fn take(&mut self, input: Input) -> bool {
        match input {
            Input::Call { run, call } => stage::decide().in_scope(|| self.guest_call(run, call)),
            Input::Finished(finish) => stage::settle().in_scope(|| self.guest_finished(finish)),
            Input::Parked(parked) => self.guest_parked(parked),
            Input::Ask(ask) => self.operator_ask(ask),
            Input::Durable { append, seq, result } => return self.durable(append, seq, result),
            // Ready runs are looked at in every turn.
            Input::Room(granted) => {
                self.is_lined_up = false;
                // Else it is the next one's.
                if self.decides() {
                    self.granted.push(granted);
                }
            }
            Input::GiveWay => self.gives_way = true,
            Input::Detach => self.detach(),
            Input::Journal { run, result } => self.journal_loaded(run, result),
            Input::Loaded { digest, result } => self.code_loaded(digest, result),
            Input::Snapshot { seq } => self.snapshot_made(seq),
        }
        true
    }

    fn operator_ask(&mut self, ask: Ask) {
        let now = self.shared.clock.now();
        match ask {
            Ask::Cancel { cancel, reply } => {
                let answer = match self.undecided() {
                    Some(why) => Err(why),
                    None => {
                        self.tree.cancel_subtree(now, Caller::Operator, Surface::Api, &cancel).map_err(Error::Denied)
                    }
                };
                self.held.push_back((self.tree.seq(), Answer::Cancelled(reply, Box::new(answer))));
            }
            Ask::View { query, reply } => {
                let answer = self.tree.view(&query).map_err(|denial| Error::Denied(Box::new(denial)));
                self.held.push_back((self.tree.seq(), Answer::Viewed(reply, Box::new(answer))));
            }
            Ask::Wait { run, reply } => {
                if self.tree.run(run).is_some() {
                    self.ends.entry(run).or_default().push(reply);
                    self.answer_ends();
                }
            }
        }
    }

    /// When the loop has something to do although nothing has arrived.
    fn next_due(&self) -> Option<Instant> {
        let at = |at: Timestamp| self.shared.clock.instant_of(at);
        let decides = self.decides();
        let timer = self.tree.next_timer().filter(|_| decides).map(at);
        let sleeper = self.waiting.next_sleeper().filter(|_| decides).map(at);
        let park = self.parking.next_due().filter(|_| decides);
        let kill = self.kills.front().map(|(at, ..)| *at);
        timer.into_iter().chain(sleeper).chain(park).chain(kill).min()
    }

    fn is_done(&self) -> bool {
        let on_disk = self.appends_durable == self.appends_queued;
        let settled = self.broken.is_some() || on_disk && (self.detached || self.tree.is_ended());
        settled && self.guests.is_empty()
    }
}

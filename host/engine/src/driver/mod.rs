//! The task that owns one tree.
//!
//! A loop takes everything that waits in the mailbox, has the kernel decide on
//! it, queues the events in the store, and only then lets answers out and
//! starts and stops guests. What leaves the host (a result, an event, the
//! answer to whoever operates it) waits until its events are on disk.

pub(crate) mod calls;
mod guests;
mod log;
mod waiting;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_kernel::{Caller, RunId, Surface, Tree};
use pleach_sandbox::Sandbox;
use pleach_store::Store;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::mailbox::{Ask, Input, Mailbox};
use crate::meter::Pools;
use crate::registry::Registry;
use crate::run::Ended;
use guests::{Guest, Starting};
use waiting::{Answer, Waiting};

/// Inputs that are decided on together.
const BATCH: usize = 4_096;

/// What every driver of a host works with.
pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub sandbox: Sandbox,
    pub registry: Registry,
    pub dispatcher: Arc<Dispatcher>,
    pub clock: Clock,
    pub runtime: Handle,
    /// How long a guest that was told to stop may take to.
    pub grace: Duration,
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    tree: Tree,
    mailbox: Arc<Mailbox>,
    inbox: mpsc::UnboundedReceiver<Input>,
    /// The last seq that was queued in the store.
    queued_seq: u64,
    /// The last seq that is on disk.
    durable_seq: u64,
    guests: HashMap<RunId, Guest>,
    /// Decided to start, and not started yet.
    starting: Vec<Starting>,
    /// How many of the tree's stops were acted on.
    stops_done: usize,
    /// How many of the tree's join decisions were acted on.
    decisions_done: usize,
    /// Guests that were told to stop, and when they will be made to.
    kills: VecDeque<(Instant, RunId, u32)>,
    /// Digests whose code is being loaded for a ready run.
    loading: HashSet<Arc<str>>,
    waiting: Waiting,
    /// Answers to guests that go out once their events are queued.
    answers: Vec<Answer>,
    /// Answers to operators by the seq that has to be on disk first.
    held: VecDeque<(u64, Answer)>,
    /// Operators that wait for runs to end.
    ends: BTreeMap<RunId, Vec<oneshot::Sender<Result<Ended, Error>>>>,
    pools: Pools,
    /// It was woken because a place has become free.
    offered: bool,
    /// Runs of this tree that the dispatcher counts as queued.
    queued_runs: u64,
    /// Why the log cannot be written any more.
    broken: Option<pleach_store::Error>,
}

impl Driver {
    /// A driver for a tree whose log is on disk up to `durable_seq`; `answer`
    /// is told when the rest of it is.
    pub(crate) fn new(
        shared: Arc<Shared>,
        tree: Tree,
        durable_seq: u64,
        mailbox: Arc<Mailbox>,
        inbox: mpsc::UnboundedReceiver<Input>,
    ) -> Self {
        Self {
            shared,
            tree,
            mailbox,
            inbox,
            queued_seq: durable_seq,
            durable_seq,
            guests: HashMap::new(),
            starting: Vec::new(),
            stops_done: 0,
            decisions_done: 0,
            kills: VecDeque::new(),
            loading: HashSet::new(),
            waiting: Waiting::default(),
            answers: Vec::new(),
            held: VecDeque::new(),
            ends: BTreeMap::new(),
            pools: Pools::default(),
            offered: false,
            queued_runs: 0,
            broken: None,
        }
    }

    /// Sends the first answer once the tree's first events are on disk.
    pub(crate) fn hold_until_open(&mut self, reply: oneshot::Sender<Result<(), Error>>) {
        self.held.push_back((self.tree.seq(), Answer::Opened(reply)));
    }

    /// Runs the tree until every run of it has ended and that is on disk.
    pub(crate) async fn run(mut self) {
        self.turn();
        while !self.is_done() {
            // Where the disk cannot keep up, guests are not answered until it has
            // caught up: else one that asks without end would fill memory.
            self.shared.store.room().await;
            let due = self.next_due();
            let first = tokio::select! {
                biased;
                input = self.inbox.recv() => input,
                () = sleep_until(due) => None,
            };
            let mut next = first;
            let mut taken = 0;
            while let Some(input) = next {
                self.take(input);
                taken += 1;
                next = if taken < BATCH { self.inbox.try_recv().ok() } else { None };
            }
            self.turn();
        }
        self.leave();
    }

    /// What follows from whatever was taken in.
    fn turn(&mut self) {
        let now = self.shared.clock.now();
        if self.broken.is_none() {
            self.tree.tick(now);
            // Joins that are decided now free places, and starting fills them.
            self.resume_waiting();
            self.start_ready(now);
        }
        self.stop_guests();
        self.commit();
        self.let_out();
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Call { run, call } => self.guest_call(run, call),
            Input::Finished(finish) => self.guest_finished(finish),
            Input::Ask(ask) => self.operator_ask(ask),
            Input::Durable { seq, result } => self.durable(seq, result),
            // Ready runs are looked at in every turn.
            Input::Room => self.offered = true,
            Input::Loaded { digest, result } => self.code_loaded(digest, result),
        }
    }

    fn operator_ask(&mut self, ask: Ask) {
        let now = self.shared.clock.now();
        match ask {
            Ask::Cancel { cancel, reply } => {
                let answer = match &self.broken {
                    Some(cause) => Err(self.stopped_by(cause)),
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
        let timer = self.tree.next_timer().filter(|_| self.broken.is_none());
        let timer = timer.map(|at| self.shared.clock.instant_of(at));
        let kill = self.kills.front().map(|(at, ..)| *at);
        timer.into_iter().chain(kill).min()
    }

    fn is_done(&self) -> bool {
        let settled = self.broken.is_some() || (self.tree.is_ended() && self.durable_seq == self.tree.seq());
        settled && self.guests.is_empty()
    }

    /// The last thing a driver does: whoever still waits hears how it ended.
    fn leave(&mut self) {
        self.shared.dispatcher.queued(&self.mailbox.tenant, self.queued_runs, 0);
        // It may have been woken after its last turn.
        self.inbox.close();
        while let Ok(input) = self.inbox.try_recv() {
            self.offered |= matches!(input, Input::Room);
        }
        if self.offered {
            self.shared.dispatcher.pass_on(&self.mailbox.tenant);
        }
        if let Some(cause) = self.broken.take() {
            for (run_id, waiting) in std::mem::take(&mut self.ends) {
                for reply in waiting {
                    let _ = reply.send(Err(Error::TreeStopped { run_id, cause: Box::new(cause.clone()) }));
                }
            }
        }
        self.mailbox.feed.advance(crate::events::Reached { seq: self.durable_seq, ended: true });
    }

    fn stopped_by(&self, cause: &pleach_store::Error) -> Error {
        Error::TreeStopped { run_id: self.tree.id().run(), cause: Box::new(cause.clone()) }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

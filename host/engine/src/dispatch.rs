//! Dispatch: how many guests run at once on this host and for each tenant, and who is
//! next where places are short.
//!
//! A tree takes a place before it starts a guest and gives it back when the guest has
//! stopped or was parked. Where there is none, or others wait for one already, it lines
//! up (`dispatch/queue.rs`), and is sent a place when it is next. While anybody stands
//! in a line, guests that wait for other runs have to give way: they are parked, so
//! that those they wait for can run.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pleach_kernel::{Quotas, RootId, Tenant};
use pleach_sandbox::{Live, LivePermit};
use tokio::runtime::Handle;

use crate::durations::Durations;
use crate::mailbox::{Input, Mailbox};
use queue::Queue;
pub(crate) use queue::Want;

/// The places of one host.
pub(crate) struct Dispatcher {
    live: Live,
    runtime: Handle,
    state: Mutex<State>,
    /// Trees with guests that wait or have waited, to be asked to give way.
    waiters: Mutex<BTreeMap<RootId, Weak<Mailbox>>>,
    /// Whether trees wait for the host to have a place; changed with `state` held.
    is_short: AtomicBool,
}

struct State {
    queue: Queue<Weak<Mailbox>>,
    lines: HashMap<Tenant, Arc<Line>>,
    /// By the tenants' numbers in the queue.
    by_number: Vec<Arc<Line>>,
    /// Somebody waits for a place of the host, on behalf of whoever is next then.
    is_ushered: bool,
}

/// What the trees of one tenant share.
pub(crate) struct Line {
    tenant: Tenant,
    number: usize,
    /// Whether trees wait because of the tenant's quota; changed with `state` held.
    is_short: AtomicBool,
    queued: AtomicU64,
    pub durations: Durations,
}

/// A place for a guest, in its tenant's quota and on the host.
pub(crate) struct Granted {
    /// Given back first: whoever is told of the other looks for this.
    pub permit: LivePermit,
    pub place: Place,
}

/// A guest's place in its tenant's quota; given back when dropped.
pub(crate) struct Place {
    dispatcher: Arc<Dispatcher>,
    line: Arc<Line>,
}

/// Which guests have to give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    None,
    /// A tenant's quota is short: a guest that sleeps counts as running there, so
    /// only those that wait for other runs give way.
    Tenant,
    /// The host has no place: everything that waits gives way.
    Host,
}

impl Dispatcher {
    /// Hands out the places of `live`, for guests that take so much memory each. What
    /// has to be waited for is waited for in `runtime`.
    pub(crate) fn new(live: Live, memory_bytes: u64, runtime: Handle) -> Arc<Self> {
        let queue = Queue::new(memory_bytes);
        let state = State { queue, lines: HashMap::new(), by_number: Vec::new(), is_ushered: false };
        Arc::new(Self {
            live,
            runtime,
            state: Mutex::new(state),
            waiters: Mutex::default(),
            is_short: AtomicBool::new(false),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the trees of a tenant share.
    pub(crate) fn line(&self, tenant: &Tenant) -> Arc<Line> {
        let mut state = self.state();
        if let Some(line) = state.lines.get(tenant) {
            return line.clone();
        }
        let number = state.queue.add_tenant();
        let line = Arc::new(Line {
            tenant: tenant.clone(),
            number,
            is_short: AtomicBool::new(false),
            queued: AtomicU64::new(0),
            durations: Durations::default(),
        });
        state.lines.insert(tenant.clone(), line.clone());
        state.by_number.push(line.clone());
        line
    }

    /// A place for one more guest, where there is one that nobody waits for.
    pub(crate) fn take(self: &Arc<Self>, line: &Arc<Line>, quotas: &Quotas) -> Option<Granted> {
        if self.is_short.load(Ordering::SeqCst) || !self.state().queue.take(line.number, quotas) {
            return None;
        }
        let place = Place { dispatcher: self.clone(), line: line.clone() };
        Some(Granted { permit: self.live.try_acquire()?, place })
    }

    /// A tree waits, and is sent [`Input::Room`] with a place when it is next; one for
    /// each time that it lines up.
    pub(crate) fn line_up(self: &Arc<Self>, line: &Line, mailbox: &Arc<Mailbox>, want: &Want) {
        let mut state = self.state();
        state.queue.line_up(line.number, mailbox.root, Arc::downgrade(mailbox), want);
        self.serve(state, Some(line), None);
    }

    /// A tree waits no longer.
    pub(crate) fn withdraw(self: &Arc<Self>, line: &Line, root: RootId) {
        let mut state = self.state();
        state.queue.withdraw(root);
        self.serve(state, Some(line), None);
    }

    /// Gives out what places there are, and notes for whom there are none; `line` is
    /// the one that something has changed for, if it was not the host.
    fn serve(self: &Arc<Self>, mut state: MutexGuard<'_, State>, line: Option<&Line>, mut spare: Option<LivePermit>) {
        let mut granted: Vec<(Arc<Line>, Weak<Mailbox>, LivePermit)> = Vec::new();
        let is_short = loop {
            let Some(next) = state.queue.next() else { break false };
            let Some(permit) = spare.take().or_else(|| self.live.try_acquire()) else { break true };
            if let Some((number, tree)) = state.queue.grant(next) {
                granted.push((state.by_number[number].clone(), tree, permit));
            }
        };
        let newly_short = !self.is_short.swap(is_short, Ordering::SeqCst) && is_short;
        let mut lines_newly_short: Vec<Tenant> = Vec::new();
        for line in granted.iter().map(|(line, ..)| &**line).chain(line) {
            let is_short = state.queue.is_short_of_quota(line.number);
            if !line.is_short.swap(is_short, Ordering::SeqCst) && is_short {
                lines_newly_short.push(line.tenant.clone());
            }
        }
        let ushers = is_short && !state.is_ushered;
        state.is_ushered |= is_short;
        // Whatever is dropped from here on may come back here.
        drop(state);
        drop(spare);
        for (line, tree, permit) in granted {
            let granted = Granted { permit, place: Place { dispatcher: self.clone(), line } };
            if let Some(mailbox) = tree.upgrade() {
                mailbox.send(Input::Room(granted));
            }
        }
        if ushers {
            self.usher();
        }
        if newly_short {
            self.ask_to_give_way(None);
        }
        for tenant in &lines_newly_short {
            self.ask_to_give_way(Some(tenant));
        }
    }

    /// Waits for a place of the host. Who has it is decided when it is there.
    fn usher(self: &Arc<Self>) {
        let dispatcher = self.clone();
        self.runtime.spawn(async move {
            // Else the host is shutting down, and nobody starts any more.
            if let Ok(permit) = dispatcher.live.acquire().await {
                dispatcher.state().is_ushered = false;
                dispatcher.serve(dispatcher.state(), None, Some(permit));
            }
        });
    }

    /// A guest has stopped.
    fn give_back(self: &Arc<Self>, line: &Line) {
        let mut state = self.state();
        state.queue.give_back(line.number);
        if !state.queue.is_empty() {
            self.serve(state, Some(line), None);
        }
    }

    /// A tree has guests that wait, and is asked to give way from now on. To be
    /// called before looking at [`Dispatcher::pressure`].
    pub(crate) fn has_waiters(&self, mailbox: &Arc<Mailbox>) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.insert(mailbox.root, Arc::downgrade(mailbox));
    }

    /// A tree has left.
    pub(crate) fn leave(self: &Arc<Self>, line: &Line, root: RootId) {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).remove(&root);
        if !self.state().queue.is_empty() {
            self.withdraw(line, root);
        }
    }

    pub(crate) fn pressure(&self, line: &Line) -> Pressure {
        if self.is_short.load(Ordering::SeqCst) {
            Pressure::Host
        } else if line.is_short.load(Ordering::SeqCst) {
            Pressure::Tenant
        } else {
            Pressure::None
        }
    }

    fn ask_to_give_way(&self, tenant: Option<&Tenant>) {
        let waiters: Vec<Weak<Mailbox>> = {
            let waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
            waiters.values().cloned().collect()
        };
        for mailbox in waiters.iter().filter_map(Weak::upgrade) {
            if tenant.is_none_or(|tenant| *tenant == mailbox.tenant) {
                mailbox.send(Input::GiveWay);
            }
        }
    }
}

impl Line {
    /// Runs of the tenant that wait to start, over all its trees; a tree says by
    /// how many its own have changed.
    pub(crate) fn queued(&self, before: u64, now: u64) -> u64 {
        self.queued.fetch_add(now, Ordering::SeqCst);
        self.queued.fetch_sub(before, Ordering::SeqCst).saturating_sub(before)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.dispatcher.give_back(&self.line);
    }
}

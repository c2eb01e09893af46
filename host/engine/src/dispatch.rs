//! Dispatch: how many guests run at once on this host and for each tenant.
//!
//! A tree takes a place before it starts a guest and gives it back when the
//! guest has stopped or was parked. Where there is none, it waits in line;
//! whoever gives one back wakes the first in that line. While anybody stands in
//! a line, guests that wait for other runs have to give way: they are parked, so
//! that those they wait for can run.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pleach_kernel::{Quotas, RootId, Tenant};
use pleach_sandbox::{Live, LivePermit};

use crate::mailbox::{Input, Mailbox};

/// The places of one host.
#[derive(Default)]
pub(crate) struct Dispatcher {
    tenants: Mutex<HashMap<Tenant, Arc<Line>>>,
    /// Trees with guests that wait or have waited, to be asked to give way.
    waiters: Mutex<BTreeMap<RootId, Weak<Mailbox>>>,
    /// Trees that wait for the host to have a place.
    host_line: AtomicUsize,
}

/// One tenant's places, and the trees that wait for one.
#[derive(Default)]
pub(crate) struct Line {
    used: Mutex<InUse>,
    /// Whether anybody waits; changed only with `used` held.
    pressed: AtomicBool,
}

#[derive(Default)]
struct InUse {
    running: u32,
    memory_bytes: u64,
    queued: u64,
    waiting: VecDeque<Weak<Mailbox>>,
}

/// A guest's place in its tenant's quota; given back when dropped.
pub(crate) struct Place {
    line: Arc<Line>,
    memory_bytes: u64,
    running: u32,
}

impl Place {
    /// For what takes nothing of the tenant's quota.
    pub(crate) fn of_no_quota(line: &Arc<Line>) -> Self {
        Self { line: line.clone(), memory_bytes: 0, running: 0 }
    }
}

/// What came of asking for a place.
pub(crate) enum Taken {
    Place(LivePermit, Place),
    /// The tenant's quota is used up; whoever gives something back wakes the
    /// next in line.
    QuotaFull,
    /// The host is full.
    HostFull,
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
    /// The places of a tenant.
    pub(crate) fn line(&self, tenant: &Tenant) -> Arc<Line> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.entry(tenant.clone()).or_default().clone()
    }

    /// A place for one more guest, or a promise to be woken with
    /// [`Input::Room`] when there may be one.
    pub(crate) fn place(
        self: &Arc<Self>,
        line: &Arc<Line>,
        live: &Live,
        memory_bytes: u64,
        quotas: &Quotas,
        mailbox: &Arc<Mailbox>,
    ) -> Taken {
        match line.take(quotas, memory_bytes, mailbox) {
            Ok(()) => {}
            Err(newly_pressed) => {
                if newly_pressed {
                    self.ask_to_give_way(Some(&mailbox.tenant));
                }
                return Taken::QuotaFull;
            }
        }
        let place = Place { line: line.clone(), memory_bytes, running: 1 };
        match live.try_acquire() {
            Some(permit) => Taken::Place(permit, place),
            None => {
                drop(place);
                self.wait_for_live(live, mailbox);
                Taken::HostFull
            }
        }
    }

    /// Sends [`Input::Room`] once a guest of this host has stopped.
    fn wait_for_live(self: &Arc<Self>, live: &Live, mailbox: &Arc<Mailbox>) {
        if !mailbox.begin_waiting_for_live() {
            return;
        }
        if self.host_line.fetch_add(1, Ordering::SeqCst) == 0 {
            self.ask_to_give_way(None);
        }
        let runtime = mailbox.runtime().clone();
        let (dispatcher, mailbox, live) = (self.clone(), mailbox.clone(), live.clone());
        runtime.spawn(async move {
            // The permit is given back at once: this is about when, not who.
            let _ = live.acquire().await;
            dispatcher.host_line.fetch_sub(1, Ordering::SeqCst);
            mailbox.end_waiting_for_live();
            mailbox.send(Input::Room);
        });
    }

    /// A tree has guests that wait, and is asked to give way from now on. To be
    /// called before looking at [`Dispatcher::pressure`].
    pub(crate) fn has_waiters(&self, mailbox: &Arc<Mailbox>) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        waiters.insert(mailbox.root, Arc::downgrade(mailbox));
    }

    /// A tree has left.
    pub(crate) fn leave(&self, root: RootId) {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner).remove(&root);
    }

    pub(crate) fn pressure(&self, line: &Line) -> Pressure {
        if self.host_line.load(Ordering::SeqCst) > 0 {
            Pressure::Host
        } else if line.pressed.load(Ordering::SeqCst) {
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
    fn used(&self) -> MutexGuard<'_, InUse> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, or lines up for one; then the error says whether this tree
    /// is the first that has to.
    fn take(&self, quotas: &Quotas, memory_bytes: u64, mailbox: &Arc<Mailbox>) -> Result<(), bool> {
        let mut used = self.used();
        let full = quotas.max_running.is_some_and(|most| used.running >= most)
            || quotas.memory_bytes.is_some_and(|most| used.memory_bytes + memory_bytes > most);
        if full {
            used.line_up(mailbox);
            return Err(!self.pressed.swap(true, Ordering::SeqCst));
        }
        used.running += 1;
        used.memory_bytes += memory_bytes;
        Ok(())
    }

    /// A tree that was woken had no use for the place: it is the next one's.
    pub(crate) fn pass_on(&self) {
        let mut used = self.used();
        self.wake_next(&mut used);
    }

    /// Runs of the tenant that wait to start, over all its trees; a tree says by
    /// how many its own have changed.
    pub(crate) fn queued(&self, before: u64, now: u64) -> u64 {
        let mut used = self.used();
        used.queued = (used.queued + now).saturating_sub(before);
        used.queued
    }

    fn wake_next(&self, used: &mut InUse) {
        while let Some(next) = used.waiting.pop_front() {
            if next.upgrade().is_some_and(|mailbox| mailbox.send(Input::Room)) {
                break;
            }
        }
        if used.waiting.is_empty() {
            self.pressed.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.running == 0 {
            return;
        }
        let mut used = self.line.used();
        used.running -= self.running;
        used.memory_bytes -= self.memory_bytes;
        self.line.wake_next(&mut used);
    }
}

impl InUse {
    fn line_up(&mut self, mailbox: &Arc<Mailbox>) {
        let me = Arc::downgrade(mailbox);
        if !self.waiting.iter().any(|other| other.ptr_eq(&me)) {
            self.waiting.push_back(me);
        }
    }
}

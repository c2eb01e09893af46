//! Dispatch: how many guests run at once on this host and for each tenant.
//!
//! A tree takes a place before it starts a guest and gives it back when the
//! guest has stopped. Where there is none, it waits in line; whoever gives one
//! back wakes the first in that line.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pleach_kernel::{Quotas, Tenant};
use pleach_sandbox::{LivePermit, Sandbox};

use crate::mailbox::{Input, Mailbox};

/// What each tenant has in use.
#[derive(Default)]
pub(crate) struct Dispatcher {
    tenants: Mutex<HashMap<Tenant, InUse>>,
}

#[derive(Default)]
struct InUse {
    running: u32,
    memory_bytes: u64,
    queued: u64,
    /// Trees that wait for a place.
    waiting: VecDeque<Weak<Mailbox>>,
}

/// A guest's place in its tenant's quota; given back when dropped.
pub(crate) struct Place {
    dispatcher: Arc<Dispatcher>,
    tenant: Tenant,
    memory_bytes: u64,
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

impl Dispatcher {
    /// A place for one more guest, or a promise to be woken with
    /// [`Input::Room`] when there may be one.
    pub(crate) fn place(
        self: &Arc<Self>,
        sandbox: &Sandbox,
        tenant: &Tenant,
        quotas: &Quotas,
        mailbox: &Arc<Mailbox>,
    ) -> Taken {
        let memory_bytes = sandbox.limits().memory_bytes as u64;
        if !self.take(tenant, quotas, memory_bytes, mailbox) {
            return Taken::QuotaFull;
        }
        let place = Place { dispatcher: self.clone(), tenant: tenant.clone(), memory_bytes };
        match sandbox.try_acquire_live() {
            Some(permit) => Taken::Place(permit, place),
            None => {
                drop(place);
                mailbox.wait_for_live(sandbox);
                Taken::HostFull
            }
        }
    }

    fn take(&self, tenant: &Tenant, quotas: &Quotas, memory_bytes: u64, mailbox: &Arc<Mailbox>) -> bool {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let used = tenants.entry(tenant.clone()).or_default();
        let full = quotas.max_running.is_some_and(|most| used.running >= most)
            || quotas.memory_bytes.is_some_and(|most| used.memory_bytes + memory_bytes > most);
        if full {
            used.line_up(mailbox);
            return false;
        }
        used.running += 1;
        used.memory_bytes += memory_bytes;
        true
    }

    /// A tree that was woken had no use for the place: it is the next one's.
    pub(crate) fn pass_on(&self, tenant: &Tenant) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = tenants.get_mut(tenant) {
            used.wake_next();
        }
    }

    /// Runs of a tenant that wait to start, over all its trees; a tree says by
    /// how many its own have changed.
    pub(crate) fn queued(&self, tenant: &Tenant, before: u64, now: u64) -> u64 {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let used = tenants.entry(tenant.clone()).or_default();
        used.queued = (used.queued + now).saturating_sub(before);
        used.queued
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.dispatcher.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(used) = tenants.get_mut(&self.tenant) else { return };
        used.running -= 1;
        used.memory_bytes -= self.memory_bytes;
        used.wake_next();
    }
}

impl InUse {
    fn line_up(&mut self, mailbox: &Arc<Mailbox>) {
        let me = Arc::downgrade(mailbox);
        if !self.waiting.iter().any(|other| other.ptr_eq(&me)) {
            self.waiting.push_back(me);
        }
    }

    fn wake_next(&mut self) {
        while let Some(next) = self.waiting.pop_front() {
            if next.upgrade().is_some_and(|mailbox| mailbox.send(Input::Room)) {
                return;
            }
        }
    }
}

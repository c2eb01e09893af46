//! Meters: what running guests have used of an account and not yet settled.
//!
//! The kernel settles what a run has used when the run stops. Until then it is
//! counted here, in one pool for each account and amount, shared by all runs
//! that draw on it; so an amount is never overdrawn by more than one call in
//! flight for each run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pleach_kernel::{Budget, Dimension, RunId, Tree};
use pleach_sandbox::{Exhausted, Meter};

/// What is left of one amount, and what is being used of it.
#[derive(Default)]
struct Pool {
    left: AtomicU64,
    in_flight: AtomicU64,
}

impl Pool {
    /// Takes `amount` unless nothing is left.
    fn take(&self, amount: u64) -> Result<(), Exhausted> {
        let before = self.in_flight.fetch_add(amount, Relaxed);
        if before >= self.left.load(Relaxed) {
            self.in_flight.fetch_sub(amount, Relaxed);
            return Err(Exhausted);
        }
        Ok(())
    }
}

/// What the runs of one tree draw on.
#[derive(Default)]
pub(crate) struct Pools(HashMap<(RunId, &'static str), (Dimension, Arc<Pool>)>);

/// One run's share: where it takes from, and what it has taken.
#[derive(Default)]
pub(crate) struct RunMeter {
    calls: Option<Share>,
    calls_taken: AtomicU64,
    /// Of those taken, how many have yet to be made again in a replay.
    calls_paid: AtomicU64,
    cpu: Option<Share>,
    cpu_taken: AtomicU64,
}

/// A pool, and whose account it counts for.
struct Share {
    holder: RunId,
    dimension: Dimension,
    pool: Arc<Pool>,
}

impl RunMeter {
    /// The guest was parked and is about to be run again: the calls that it makes
    /// once more are paid for, and so is its processor time.
    pub(crate) fn replay(&self) {
        self.calls_paid.store(self.calls_taken.load(Relaxed), Relaxed);
    }

    /// Whether a call was paid for by the one that it repeats.
    fn is_paid(&self) -> bool {
        self.calls_paid.fetch_update(Relaxed, Relaxed, |paid| paid.checked_sub(1)).is_ok()
    }

    /// The run has stopped, and the kernel has counted what it took: in this
    /// order, so that nothing is free twice in between.
    pub(crate) fn settle(&self, tree: &Tree) {
        for (share, taken) in [(&self.calls, &self.calls_taken), (&self.cpu, &self.cpu_taken)] {
            let Some(Share { holder, dimension, pool }) = share else { continue };
            if let Some((_, left)) = tree.budget_holder(*holder, *dimension) {
                pool.left.store(left, Relaxed);
            }
            pool.in_flight.fetch_sub(taken.load(Relaxed), Relaxed);
        }
    }
}

impl Meter for RunMeter {
    fn host_call(&self) -> Result<(), Exhausted> {
        if self.is_paid() {
            return Ok(());
        }
        take(&self.calls, &self.calls_taken, 1)
    }

    fn host_call_replayed(&self) {
        if let Some(share) = self.calls.as_ref().filter(|_| !self.is_paid()) {
            // It was made under a host that is gone.
            share.pool.in_flight.fetch_add(1, Relaxed);
            self.calls_taken.fetch_add(1, Relaxed);
        }
    }

    fn cpu(&self, micros: u64) -> Result<(), Exhausted> {
        take(&self.cpu, &self.cpu_taken, micros)
    }
}

fn take(share: &Option<Share>, taken: &AtomicU64, amount: u64) -> Result<(), Exhausted> {
    if let Some(share) = share {
        share.pool.take(amount)?;
        taken.fetch_add(amount, Relaxed);
    }
    Ok(())
}

impl Pools {
    /// Whether nothing limits any run.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The meter of a run that starts; none where nothing limits it.
    pub(crate) fn meter(&mut self, tree: &Tree, run: RunId) -> Option<Arc<RunMeter>> {
        let mut pool = |dimension: Dimension| {
            let (holder, left) = tree.budget_holder(run, dimension)?;
            let (_, pool) = self.0.entry((holder, dimension.name())).or_insert_with(|| {
                let pool = Pool { left: AtomicU64::new(left), in_flight: AtomicU64::new(0) };
                (dimension, Arc::new(pool))
            });
            Some(Share { holder, dimension, pool: pool.clone() })
        };
        let (calls, cpu) = (pool(Dimension::HostCalls), pool(Dimension::CpuUs));
        (calls.is_some() || cpu.is_some()).then(|| Arc::new(RunMeter { calls, cpu, ..RunMeter::default() }))
    }

    /// After a decision: what the kernel says is left.
    pub(crate) fn refresh(&self, tree: &Tree) {
        for ((holder, _), (dimension, pool)) in &self.0 {
            if let Some((_, left)) = tree.budget_holder(*holder, *dimension) {
                pool.left.store(left, Relaxed);
            }
        }
    }

    /// What is left for a run, less what is being used.
    pub(crate) fn remaining(&self, tree: &Tree, run: RunId) -> Budget {
        let settled = tree.remaining_budget(run);
        let used = |dimension: Dimension| {
            let holder = tree.budget_holder(run, dimension)?.0;
            Some(self.0.get(&(holder, dimension.name()))?.1.in_flight.load(Relaxed))
        };
        Budget::from_limits(|dimension| Some(settled.limit(dimension)?.saturating_sub(used(dimension).unwrap_or(0))))
    }
}

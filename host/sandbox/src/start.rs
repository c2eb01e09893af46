//! Starting, watching and stopping one guest.
//!
//! A guest runs as one task of the guest runtime. The task owns the store, and
//! the store owns everything of the guest's: dropping the task's future is how
//! a guest is interrupted, whether it computes (it is stopped at its next
//! epoch) or waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use pleach_kernel::{Finish, Grant, Lineage, Outcome, Payload, RunId, Timestamp, Usage};
use wasmtime::{Engine, Store};

use crate::call::{Kernel, Meter};
use crate::capability::files::Roots;
use crate::config::GuestLimits;
use crate::engine::Slot;
use crate::error::Error;
use crate::guest::{Guest, Identity};
use crate::live::LivePermit;
use crate::load::Loader;
use crate::outcome;
use crate::plugin::Plugin;
use crate::role::Linked;
use crate::ticker::Ticker;
use crate::vitals::Vitals;

/// A guest that computes gives way after so much fuel, should the epoch be late.
const FUEL_YIELD: u64 = 1_000_000;

/// One run to start.
pub struct Job {
    /// Who runs, and which try it is.
    pub lineage: Lineage,
    pub grant: Grant,
    pub input: Payload,
    /// Only told to the guest: ending it in time is up to whoever started it.
    pub deadline: Option<Timestamp>,
    /// Where the run's logical clock begins.
    pub started_at: Timestamp,
    /// The same in every replay of the run.
    pub seed: u64,
    /// Written into the refusals that the sandbox makes by itself.
    pub policy_version: u64,
    pub accounts: Option<Arc<dyn Meter>>,
    pub permit: LivePermit,
}

/// The way to end a guest that was started. Dropping it ends nothing.
#[derive(Clone)]
pub struct Stop(pub(crate) Arc<Vitals>);

impl Stop {
    /// Signals the guest: what it waits for, and every later call, answers
    /// `cancelled`. How it ends is up to the guest.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Interrupts the guest, wherever it is. Its outcome is `Stopped`, unless it
    /// ended by itself before.
    pub fn kill(&self) {
        self.0.kill();
    }
}

/// What every run of a sandbox shares.
pub(crate) struct Grounds {
    pub(crate) loader: Arc<Loader>,
    pub(crate) ticker: Ticker,
    pub(crate) roots: Arc<Roots>,
}

/// Where one run takes place: a slot of the pool, or the engine without one.
enum Place<'a> {
    Pooled { slot: Slot, engine: &'a Engine },
    OnDemand { linked: Arc<Linked>, engine: &'a Engine },
}

/// Says how a guest ended, exactly once and last of all: also where its task
/// was dropped with the runtime, or panicked.
struct Finishing {
    kernel: Arc<dyn Kernel>,
    vitals: Arc<Vitals>,
    run_id: RunId,
    attempt: u32,
    permit: Option<LivePermit>,
    cpu_us: u64,
    outcome: Option<Outcome>,
}

impl Finishing {
    fn with(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        self.permit = None;
        let outcome = self.outcome.take().unwrap_or_else(|| {
            if std::thread::panicking() {
                outcome::host_failure("the host failed while it ran this plugin; its log says more")
            } else {
                Outcome::Stopped
            }
        });
        let usage = Usage { cpu_us: self.cpu_us, host_calls: self.vitals.host_calls(), ..Usage::default() };
        self.kernel.finished(Finish { run_id: self.run_id, attempt: self.attempt, outcome, usage });
    }
}

/// The task of one guest, from its start to its end.
///
/// Whatever becomes of the task, `finishing` speaks last: what is declared
/// later is dropped earlier.
pub(crate) fn task(
    plugin: Arc<Plugin>,
    job: Job,
    kernel: Arc<dyn Kernel>,
    vitals: Arc<Vitals>,
    grounds: Arc<Grounds>,
) -> impl Future<Output = ()> + Send + 'static {
    let Job { lineage, grant, input, deadline, seed, policy_version, accounts, permit, .. } = job;
    let mut finishing = Finishing {
        kernel: kernel.clone(),
        vitals: vitals.clone(),
        run_id: lineage.run_id,
        attempt: lineage.attempt,
        permit: Some(permit),
        cpu_us: 0,
        outcome: None,
    };
    let guest = Guest::new(
        Identity { lineage, grant, deadline, seed, policy_version },
        &grounds,
        kernel,
        vitals.clone(),
        accounts.clone(),
    );
    async move {
        let run = guest_of(&plugin, guest, &input, &grounds);
        let outcome = watch(run, &vitals, &mut finishing.cpu_us, accounts, &grounds.ticker).await;
        finishing.with(outcome);
    }
}

/// Polls a guest, measures it, and drops it when it is killed or out of means.
async fn watch(
    guest: impl Future<Output = Outcome>,
    vitals: &Vitals,
    cpu_us: &mut u64,
    accounts: Option<Arc<dyn Meter>>,
    ticker: &Ticker,
) -> Outcome {
    let mut guest = pin!(guest);
    let mut killed = pin!(vitals.killed());
    let mut nanos = 0;
    poll_fn(|context| {
        if killed.as_mut().poll(context).is_ready() {
            return Poll::Ready(Outcome::Stopped);
        }
        let polled = {
            let _computing = ticker.computing();
            let begun = Instant::now();
            let polled = guest.as_mut().poll(context);
            nanos += begun.elapsed().as_nanos() as u64;
            polled
        };
        let before = std::mem::replace(cpu_us, nanos / 1_000);
        if let Some(accounts) = &accounts
            && accounts.cpu(*cpu_us - before).is_err()
            && polled.is_pending()
        {
            return Poll::Ready(outcome::out_of_cpu());
        }
        polled
    })
    .await
}

/// A guest from its instantiation to its result. The store is dropped before
/// the slot that it takes up.
async fn guest_of(plugin: &Plugin, guest: Guest, input: &Payload, grounds: &Grounds) -> Outcome {
    let limits = &grounds.loader.limits;
    match place(plugin, &grounds.loader) {
        Ok(Place::Pooled { slot, engine }) => {
            let outcome = in_store(plugin.linked(), engine, guest, input, limits).await;
            drop(slot);
            outcome
        }
        Ok(Place::OnDemand { linked, engine }) => in_store(&linked, engine, guest, input, limits).await,
        Err(error) => outcome::host_failure(error.to_string()),
    }
}

fn place<'a>(plugin: &Plugin, loader: &'a Loader) -> Result<Place<'a>, Error> {
    let pool = loader.engines.pool.as_ref().filter(|_| plugin.is_pooled());
    if let Some((pool, slot)) = pool.and_then(|pool| Some((pool, pool.slot()?))) {
        return Ok(Place::Pooled { slot, engine: &pool.engine });
    }
    let linked = plugin.on_demand(&loader.linkers, &loader.engines)?;
    Ok(Place::OnDemand { linked, engine: &loader.engines.on_demand })
}

async fn in_store(linked: &Linked, engine: &Engine, guest: Guest, input: &Payload, limits: &GuestLimits) -> Outcome {
    let mut store = match store(engine, guest, limits) {
        Ok(store) => store,
        Err(error) => return outcome::host_failure(format!("no store could be made for the guest: {error:#}")),
    };
    match linked.call(&mut store, input).await {
        Ok(Ok(output)) => Outcome::Completed(output),
        Ok(Err(error)) => Outcome::Failed(error),
        Err(error) => outcome::of_error(&error, store.data().limiter.refused_memory(), limits.memory_bytes),
    }
}

fn store(engine: &Engine, guest: Guest, limits: &GuestLimits) -> wasmtime::Result<Store<Guest>> {
    let mut store = Store::try_new(engine, guest)?;
    store.limiter(|guest| &mut guest.limiter);
    store.set_fuel(limits.max_fuel)?;
    store.fuel_async_yield_interval(Some(FUEL_YIELD))?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store.set_hostcall_fuel(limits.call_bytes);
    store.set_max_component_handles(limits.handles);
    Ok(store)
}

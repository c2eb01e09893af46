//! Starting, watching and stopping one guest.
//!
//! A guest runs as one task: a component on the guests' threads, in a store that
//! owns everything of its, and a native wherever it is polled. Dropping the
//! task's future is how a guest is interrupted, whether it computes (it is
//! stopped at its next epoch) or waits.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use pleach_kernel::{Finish, Grant, Lineage, Outcome, Payload, RunError, RunId, Timestamp, Usage};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::call::{Kernel, Meter, Parked};
use crate::capability::files::Roots;
use crate::config::GuestLimits;
use crate::engine::{SLOT_TABLE_ELEMENTS, Slot};
use crate::guest::Guest;
use crate::handback::give_back;
use crate::hostcalls::{HostCalls, Identity};
use crate::limiter::JournalLimit;
use crate::live::LivePermit;
use crate::load::Loader;
use crate::native::Program;
use crate::offstack::{Calls, OffStack};
use crate::outcome;
use crate::plugin::{Component, Plugin, Work};
use crate::replay::Replay;
use crate::role::Linked;
use crate::spinning::Spinning;
use crate::stage;
use crate::ticker::{TICK, Ticker};
use crate::vitals::{Interruption, Vitals};

/// A guest that computes gives way after so much fuel, should the epoch be late.
const FUEL_YIELD: u64 = 1_000_000;

/// One run to start.
pub struct Job {
    /// Who runs, and which try it is.
    pub lineage: Lineage,
    /// The graph that has asked for it, which knows what it may give.
    pub asked_by: Option<Arc<Plugin>>,
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
    /// What this try did before; the default for one that starts.
    pub replay: Replay,
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

    /// Interrupts the guest like a kill, and has its run fail with `error`: for
    /// what whoever answers its calls finds wrong with them, such as a spawn that
    /// is another one in a replay. The first failure counts.
    pub fn fail(&self, error: RunError) {
        self.0.fail(error);
    }

    /// Drops the guest where it waits, to be started again later with what it was
    /// answered so far. It hears nothing from now on, and [`Kernel::parked`] is
    /// told in place of its end, unless it had ended or was killed.
    pub fn park(&self) {
        self.0.park();
    }
}

/// What every run of a sandbox shares.
pub(crate) struct Grounds {
    pub(crate) loader: Arc<Loader>,
    pub(crate) ticker: Ticker,
    pub(crate) spinning: Spinning,
    pub(crate) roots: Arc<Roots>,
}

/// How a task ended.
enum Ending {
    Finished(Outcome),
    Parked,
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
    ending: Option<Ending>,
}

impl Finishing {
    fn with(mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        self.permit = None;
        let ending = self.ending.take().unwrap_or_else(|| {
            if std::thread::panicking() {
                let message = "the host failed while it ran this plugin; its log says more";
                return Ending::Finished(outcome::host_failure(message));
            }
            interrupted(&self.vitals)
        });
        let Self { run_id, attempt, cpu_us, .. } = *self;
        let host_calls = self.vitals.host_calls();
        match ending {
            Ending::Finished(outcome) => {
                let usage = Usage { cpu_us, host_calls, ..Usage::default() };
                self.kernel.finished(Finish { run_id, attempt, outcome, usage });
            }
            Ending::Parked => {
                let calls = self.vitals.calls_begun();
                self.kernel.parked(Parked { run_id, attempt, cpu_us, host_calls, calls });
            }
        }
    }
}

/// How a guest ended that is not polled any more.
fn interrupted(vitals: &Vitals) -> Ending {
    match vitals.interruption() {
        Interruption::Failed(error) => Ending::Finished(Outcome::Failed(error)),
        Interruption::Killed => Ending::Finished(Outcome::Stopped),
        Interruption::Parked => Ending::Parked,
    }
}

/// Starts a native guest: the future is its task, to be polled wherever whoever
/// starts it likes. It takes no thread, timer or clock of its own, so it is not
/// measured, and is held to the default limits. A component ends at once with `host_failure`: it takes a
/// [`crate::Sandbox`] to run one.
pub fn start_native(
    plugin: &Arc<Plugin>,
    job: Job,
    kernel: Arc<dyn Kernel>,
) -> (Stop, impl Future<Output = ()> + Send + 'static) {
    let begun = Begun::new(job, kernel, &GuestLimits::default());
    let stop = begun.stop();
    let plugin = plugin.clone();
    let task = async move {
        match plugin.work() {
            Work::Native { program, .. } => begun.native(program.as_ref(), false).await,
            Work::Component(_) => {
                begun.finishing.with(Ending::Finished(outcome::host_failure(
                    "a component was started as a native program; it takes a sandbox to run it",
                )));
            }
        }
    };
    (stop, task)
}

/// A guest that was begun and is not polled yet.
///
/// Whatever becomes of it, `finishing` speaks last: a field that is declared
/// earlier is dropped earlier, and so is what a task declares later.
pub(crate) struct Begun {
    calls: Box<HostCalls>,
    input: Payload,
    accounts: Option<Arc<dyn Meter>>,
    asked_by: Option<Arc<Plugin>>,
    /// Its processor time until the replay is over was charged before.
    is_prepaid: bool,
    finishing: Finishing,
}

impl Begun {
    /// In a box: what an async function is given stays with it until it is over.
    pub(crate) fn new(job: Job, kernel: Arc<dyn Kernel>, limits: &GuestLimits) -> Box<Self> {
        let Job { lineage, asked_by, grant, input, deadline, started_at, seed, policy_version, .. } = job;
        let (accounts, permit, replay) = (job.accounts, job.permit, job.replay);
        let (run_id, attempt) = (lineage.run_id, lineage.attempt);
        let (cpu_us, journal) = (replay.cpu_us, JournalLimit::new(limits, replay.size()));
        let vitals = Arc::new(Vitals::new(replay.begin()));
        let finishing = Finishing {
            kernel: kernel.clone(),
            vitals: vitals.clone(),
            run_id,
            attempt,
            permit: Some(permit),
            cpu_us: cpu_us.unwrap_or(0),
            ending: None,
        };
        let identity = Identity { lineage, grant, deadline, seed, policy_version };
        let calls = HostCalls::new(identity, started_at, kernel, vitals, accounts.clone(), journal);
        let calls = Box::new(calls);
        Box::new(Self { calls, input, accounts, asked_by, is_prepaid: cpu_us.is_some(), finishing })
    }

    pub(crate) fn stop(&self) -> Stop {
        Stop(self.finishing.vitals.clone())
    }

    /// The task of one guest, from its start to its end. What takes much room is made
    /// when the guest's turn comes: thousands may be in line before it.
    pub(crate) async fn run(self: Box<Self>, plugin: Arc<Plugin>, grounds: Arc<Grounds>) {
        match plugin.work() {
            Work::Native { program, .. } => {
                Box::pin(self.native(program.as_ref(), program.is_measured())).await;
            }
            Work::Component(component) => Box::pin(self.component(component, &grounds)).await,
        }
    }

    async fn native(self: Box<Self>, program: &dyn Program, is_measured: bool) {
        let Self { calls, input, accounts, asked_by, is_prepaid, mut finishing } = unboxed(self);
        let mut account = Account::new(accounts, is_prepaid, &finishing);
        let accepting = Accepting::new(asked_by, &calls);
        let running = program.run(unboxed(calls), input);
        let run = async move {
            match running.await {
                Ok(output) => accepting.outcome(output),
                Err(error) => Outcome::Failed(error),
            }
        };
        let vitals = &*finishing.vitals;
        let ending = watch(pin!(run), vitals, |poll| match is_measured {
            true => account.charge(vitals, &mut finishing.cpu_us, || {
                let begun = Instant::now();
                (poll(), begun.elapsed())
            }),
            false => poll(),
        })
        .await;
        finishing.with(ending);
    }

    async fn component(self: Box<Self>, component: &Component, grounds: &Grounds) {
        let Self { calls, input, accounts, asked_by, is_prepaid, mut finishing } = unboxed(self);
        let mut account = Account::new(accounts, is_prepaid, &finishing);
        let mut turns = grounds.spinning.guest();
        let accepting = Accepting::new(asked_by, &calls);
        let off_stack = OffStack::default();
        let calls = Calls::new(calls, off_stack.clone());
        // In a block: when it is over, the guest, its store and its slot are gone, or are
        // `handback`'s, and only then is its end told. Made where it is pinned, since a
        // future has room for whatever a variable once held.
        let ending = {
            let vitals = &*finishing.vitals;
            let guest = pin!(async {
                match guest_of(component, calls, &input, grounds).await {
                    Outcome::Completed(output) => accepting.outcome(output),
                    other => other,
                }
            });
            let measured = |poll: &mut dyn FnMut() -> Poll<Outcome>| {
                account.charge(vitals, &mut finishing.cpu_us, || {
                    let _computing = grounds.ticker.computing();
                    let begun = Instant::now();
                    vitals.begin_turn(begun);
                    let polled = poll();
                    let turn = begun.elapsed();
                    if polled.is_pending() {
                        // One that waits does not compute, however long it did before.
                        turns.took(if vitals.waits() { Duration::ZERO } else { turn });
                    }
                    (polled, turn)
                })
            };
            watch(pin!(off_stack.run(guest)), vitals, measured).await
        };
        finishing.with(ending);
    }
}

/// Out of its box, which would stay for as long as a variable that held it.
#[expect(clippy::boxed_local, reason = "the box goes here")]
fn unboxed<T>(boxed: Box<T>) -> T {
    *boxed
}

/// The graph that has asked for a run, for which of its nodes, and as which member.
struct Accepting(Option<(Arc<Plugin>, Arc<str>, Option<u32>)>);

impl Accepting {
    fn new(asked_by: Option<Arc<Plugin>>, calls: &HostCalls) -> Self {
        let run = calls.lineage();
        Self(asked_by.zip(run.parent_node_id.clone()).map(|(graph, node)| (graph, node, run.ordinal)))
    }

    /// What comes of an output: finding out is paid for like making it.
    fn outcome(self, output: Payload) -> Outcome {
        let accepted = self.0.map_or(Ok(()), |(graph, node, ordinal)| graph.accepts(&node, ordinal, &output));
        match accepted {
            Ok(()) => Outcome::Completed(output),
            Err(error) => Outcome::Failed(error),
        }
    }
}

/// The processor time of one guest, and who pays for it.
struct Account {
    meter: Option<Arc<dyn Meter>>,
    /// Its time until the replay is over was charged before.
    is_prepaid: bool,
    /// What it has used before included.
    nanos: u64,
}

impl Account {
    fn new(meter: Option<Arc<dyn Meter>>, is_prepaid: bool, finishing: &Finishing) -> Self {
        Self { meter, is_prepaid, nanos: finishing.cpu_us.saturating_mul(1_000) }
    }

    /// Charges for a turn, and ends a guest that cannot pay for another.
    fn charge(
        &mut self,
        vitals: &Vitals,
        cpu_us: &mut u64,
        turn: impl FnOnce() -> (Poll<Outcome>, Duration),
    ) -> Poll<Outcome> {
        let is_free = self.is_prepaid && vitals.is_replaying();
        let (polled, took) = turn();
        if !is_free {
            self.nanos = self.nanos.saturating_add(took.as_nanos() as u64);
        }
        let before = std::mem::replace(cpu_us, self.nanos / 1_000);
        match &self.meter {
            Some(meter) if !is_free && meter.cpu(*cpu_us - before).is_err() && polled.is_pending() => {
                Poll::Ready(outcome::out_of_cpu())
            }
            _ => polled,
        }
    }
}

/// Polls a guest, each time through `measure`, and drops it when it is
/// interrupted.
async fn watch(
    mut guest: Pin<&mut impl Future<Output = Outcome>>,
    vitals: &Vitals,
    mut measure: impl FnMut(&mut dyn FnMut() -> Poll<Outcome>) -> Poll<Outcome>,
) -> Ending {
    let mut stopped = pin!(vitals.interrupted());
    poll_fn(|context| {
        if stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(interrupted(vitals));
        }
        let polled = measure(&mut || guest.as_mut().poll(context));
        if vitals.has_failed() {
            return Poll::Ready(interrupted(vitals));
        }
        polled.map(|outcome| Ending::Finished(outcome::of_replay(outcome, vitals)))
    })
    .await
}

/// A guest that is ready to be called, where it takes place. Made apart from the
/// waiting: what is only there to make it would be kept for as long as the guest lives.
struct Placed<'a> {
    // The store goes before the slot that it takes up.
    store: Store<Guest>,
    linked: Callee<'a>,
    slot: Option<Slot>,
}

/// The plugin as it is linked in the engine of a place.
enum Callee<'a> {
    Pooled(&'a Linked),
    OnDemand(Arc<Linked>),
}

impl Callee<'_> {
    fn get(&self) -> &Linked {
        match self {
            Self::Pooled(linked) => linked,
            Self::OnDemand(linked) => linked,
        }
    }
}

/// A guest from its instantiation to its result.
async fn guest_of(plugin: &Component, calls: Calls, input: &Payload, grounds: &Grounds) -> Outcome {
    let mut placed = match placed(plugin, calls, grounds) {
        Ok(placed) => placed,
        Err(outcome) => return outcome,
    };
    let outcome = match placed.linked.get().call(&mut placed.store, input).await {
        Ok(Ok(output)) => Outcome::Completed(output),
        Ok(Err(error)) => Outcome::Failed(error),
        Err(error) => {
            let refused_memory = placed.store.data().limiter.refused_memory();
            outcome::of_error(&error, refused_memory, grounds.loader.limits.memory_bytes)
        }
    };
    stage::drop().in_scope(|| match placed {
        // In this order: the store, then the slot that it took up.
        Placed { store, slot: Some(slot), .. } => give_back((store, slot)),
        on_demand => drop(on_demand),
    });
    outcome
}

fn placed<'a>(plugin: &'a Component, calls: Calls, grounds: &Grounds) -> Result<Placed<'a>, Outcome> {
    let loader = &grounds.loader;
    let mut guest = Guest::new(calls, grounds);
    if plugin.is_pooled() {
        // Wherever there is a place for it, it is held to what a slot has: else
        // a replay in another place could take another way.
        guest.limiter.hold_tables(SLOT_TABLE_ELEMENTS);
    }
    let pool = loader.engines.pool.as_ref().filter(|_| plugin.is_pooled());
    let (engine, linked, slot) = match pool.and_then(|pool| Some((pool, pool.slot()?))) {
        Some((pool, slot)) => (&pool.engine, Callee::Pooled(plugin.linked()), Some(slot)),
        None => {
            let linked = plugin.on_demand(&loader.linkers, &loader.engines);
            let linked = linked.map_err(|error| outcome::host_failure(error.to_string()))?;
            (&loader.engines.on_demand, Callee::OnDemand(linked), None)
        }
    };
    let store = stage::instantiate().in_scope(|| store(engine, guest, &loader.limits));
    let store =
        store.map_err(|error| outcome::host_failure(format!("no store could be made for the guest: {error:#}")))?;
    Ok(Placed { store, linked, slot })
}

/// What a guest does that finds that the clock has ticked: it gives way, unless its turn
/// has only begun. One that goes on after a wait finds so each time.
fn at_tick(turn: Duration) -> UpdateDeadline {
    match turn < TICK / 2 {
        true => UpdateDeadline::Continue(1),
        false => UpdateDeadline::Yield(1),
    }
}

fn store(engine: &Engine, guest: Guest, limits: &GuestLimits) -> wasmtime::Result<Store<Guest>> {
    let mut store = Store::try_new(engine, guest)?;
    store.limiter(|guest| &mut guest.limiter);
    store.set_fuel(limits.max_fuel)?;
    store.fuel_async_yield_interval(Some(FUEL_YIELD))?;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|context| Ok(at_tick(context.data().calls.vitals().turn(Instant::now()))));
    store.set_hostcall_fuel(limits.call_bytes);
    store.set_max_component_handles(limits.handles);
    Ok(store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_gives_way_at_a_tick_unless_its_turn_has_only_begun() {
        assert!(matches!(at_tick(Duration::ZERO), UpdateDeadline::Continue(1)));
        assert!(matches!(at_tick(TICK / 3), UpdateDeadline::Continue(1)));
        assert!(matches!(at_tick(TICK), UpdateDeadline::Yield(1)));
        assert!(matches!(at_tick(TICK / 2), UpdateDeadline::Yield(1)));
    }

    #[test]
    fn a_turn_begins_anew_each_time_however_long_the_guest_has_waited() {
        let vitals = Vitals::new(None);
        let now = Instant::now();
        assert!(vitals.turn(now + TICK) >= TICK);
        vitals.begin_turn(now + 100 * TICK);
        assert!(vitals.turn(now + 100 * TICK + TICK / 4) < TICK / 2);
        assert!(vitals.turn(now + 101 * TICK) >= TICK / 2);
    }
}

//! Guests of a simulation run on the test's own runtime, and their ends may
//! come late or twice. So may a driver come late to where it moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pleach_kernel::{Finish, Role, RunId, Tenant};
use pleach_sandbox::{Call, Error, Inspection, Job, Kernel, Live, Parked, Plugin, Stop, start_native};

use super::program::{AGENT, Agent, REPLANNER, Replanner, SPARE};
use super::world::World;
use crate::guests::{BoxFuture, Bytes, Guests};

pub(super) struct SimGuests {
    plugins: BTreeMap<Arc<str>, Arc<Plugin>>,
    live: Live,
    lateness: Arc<Lateness>,
    world: Arc<World>,
}

/// By how many milliseconds the ends of guests come late, and drivers that move,
/// over and over; where it is odd, ends come twice.
struct Lateness(Vec<u64>, AtomicU64);

impl Lateness {
    fn next(&self) -> u64 {
        let turn = self.1.fetch_add(1, Ordering::Relaxed) as usize;
        self.0[turn % self.0.len()]
    }
}

impl SimGuests {
    pub(super) fn new(world: &Arc<World>, places: usize, lateness: Vec<u64>) -> Self {
        let agent = Plugin::native(digest(AGENT), Role::Agent, Arc::new(Agent(world.clone())));
        let spare = Plugin::native(digest(SPARE), Role::Agent, Arc::new(Agent(world.clone())));
        let replanner = Plugin::native(digest(REPLANNER), Role::Replanner, Arc::new(Replanner));
        let plugins = [agent, spare, replanner].map(|plugin| (plugin.digest().clone(), plugin));
        let lateness = Arc::new(Lateness(lateness, AtomicU64::new(0)));
        Self { plugins: plugins.into(), live: Live::new(places), lateness, world: world.clone() }
    }
}

/// The digest of a simulated plugin.
pub(super) fn digest(name: &str) -> Arc<str> {
    format!("sha256:{name}").into()
}

impl Guests for SimGuests {
    fn inspect(&self, _: &[u8]) -> Result<Inspection, Error> {
        Err(Error::ShutDown)
    }

    fn cached(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.plugins.get(digest).cloned()
    }

    fn load<'a>(&'a self, digest: &'a str, _: Bytes) -> BoxFuture<'a, Result<Arc<Plugin>, Error>> {
        Box::pin(async { self.cached(digest).ok_or(Error::ShutDown) })
    }

    fn start(&self, plugin: &Arc<Plugin>, job: Job, kernel: Arc<dyn Kernel>) -> Stop {
        let kernel = Arc::new(Late { kernel, lateness: self.lateness.clone(), world: self.world.clone() });
        let (stop, running) = start_native(plugin, job, kernel);
        tokio::spawn(running);
        stop
    }

    fn drive(&self, _: &Tenant, driver: BoxFuture<'static, ()>) {
        // Like the ends of guests: much can come while a driver moves.
        let late = self.lateness.next();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(late)).await;
            driver.await;
        });
    }

    fn is_crowded(&self) -> bool {
        // Half of the time, so that drivers move.
        self.world.lock().said.is_multiple_of(2)
    }

    fn live(&self) -> &Live {
        &self.live
    }

    fn memory_bytes(&self) -> u64 {
        1
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// The kernel, as a guest reaches it whose end is told late.
struct Late {
    kernel: Arc<dyn Kernel>,
    lateness: Arc<Lateness>,
    world: Arc<World>,
}

impl Kernel for Late {
    fn call(&self, run: RunId, call: Call) {
        self.world.lock().said += 1;
        self.kernel.call(run, call);
    }

    fn finished(&self, finish: Finish) {
        self.world.lock().said += 1;
        let late = self.lateness.next();
        if late == 0 {
            return self.kernel.finished(finish);
        }
        let kernel = self.kernel.clone();
        // Dropped with the runtime there is nobody left to tell.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(late)).await;
            kernel.finished(finish.clone());
            if late % 2 == 1 {
                tokio::time::sleep(Duration::from_millis(late)).await;
                kernel.finished(finish);
            }
        });
    }

    fn parked(&self, parked: Parked) {
        self.world.lock().said += 1;
        self.kernel.parked(parked);
    }

    fn now_nanos(&self) -> u64 {
        self.kernel.now_nanos()
    }
}

//! The sandbox: what the engine holds to run guests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pleach_kernel::Tenant;
use tokio::sync::oneshot;

use crate::cache::CodeCache;
use crate::call::Kernel;
use crate::capability::files::Roots;
use crate::config::{Config, GuestLimits};
use crate::engine::{Engines, most_live_guests};
use crate::error::Error;
use crate::inspect::{self, Inspection};
use crate::live::{Live, LivePermit};
use crate::load::Loader;
use crate::plugin::Plugin;
use crate::spinning::Spinning;
use crate::start::{Begun, Grounds, Job, Stop};
use crate::ticker::Ticker;
use crate::workers::Workers;

/// So many guests that compute on each thread make it crowded.
const CROWD_A_THREAD: usize = 2;

/// Runs guests. Cheap to clone; all clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    grounds: Arc<Grounds>,
    live: Live,
    count: usize,
    workers: Workers,
}

impl Sandbox {
    /// Sets up the engines and the threads that guests run on.
    pub fn new(config: Config) -> Result<Self, Error> {
        let engines = Engines::new(&config.limits, config.pool_slots)?;
        let cache = config.code_cache.map(|folder| CodeCache::open(folder, &engines.on_demand)).transpose()?;
        let count = match config.workers {
            0 => std::thread::available_parallelism().map_or(2, |count| count.get()),
            workers => workers,
        };
        let patience = Duration::from_secs(config.compile_seconds);
        let all_engines = engines.all();
        let loader = Loader::new(engines, cache, config.limits, patience)?;
        let workers = Workers::start(count)?;
        // Last: nobody stops the clock where something after it fails.
        let ticker = Ticker::start(all_engines)?;
        Ok(Self(Arc::new(Inner {
            grounds: Arc::new(Grounds {
                loader,
                ticker,
                spinning: Spinning::default(),
                roots: Arc::new(Roots::new(config.roots)),
            }),
            live: Live::new(config.max_live.min(most_live_guests())),
            count,
            workers,
        })))
    }

    /// Looks at a component without compiling it, and refuses what could not be
    /// run: no component, no plugin, unknown imports, too large. It validates
    /// every function: megabytes take a moment, which is not an async thread's.
    pub fn inspect(&self, bytes: &[u8]) -> Result<Inspection, Error> {
        inspect::inspect(bytes, &self.0.grounds.loader.engines.on_demand, &self.0.grounds.loader.limits)
    }

    /// A plugin that was loaded before.
    pub fn cached(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.0.grounds.loader.loaded(digest)
    }

    /// Loads a plugin: from memory, from code that was compiled before, or by
    /// compiling `bytes`, which is asked only then. Whoever asks for the same
    /// digest meanwhile waits for the same load. To be called in a tokio runtime.
    pub async fn load<F>(&self, digest: &str, bytes: impl FnOnce() -> F) -> Result<Arc<Plugin>, Error>
    where
        F: Future<Output = Result<Vec<u8>, String>>,
    {
        self.0.grounds.loader.load(digest, bytes).await
    }

    /// Starts a guest and returns at once. `kernel` hears its calls, and how it
    /// ended, from the guests' threads.
    pub fn start(&self, plugin: &Arc<Plugin>, job: Job, kernel: Arc<dyn Kernel>) -> Stop {
        let tenant = job.lineage.tenant.clone();
        let begun = Begun::new(job, kernel, self.limits());
        let stop = begun.stop();
        self.0.workers.spawn(&tenant, begun.run(plugin.clone(), self.0.grounds.clone()));
        stop
    }

    /// Runs a task of the host's beside the guests, in the turns of its tenant: one that
    /// they tell what they do. It is dropped when the sandbox is shut down.
    pub fn spawn(&self, tenant: &Tenant, task: impl Future<Output = ()> + Send + 'static) {
        self.0.workers.spawn_listener(tenant, task);
    }

    /// Whether so many guests compute that a task beside them would have to wait:
    /// each takes its turn of about a millisecond.
    pub fn is_crowded(&self) -> bool {
        self.0.grounds.spinning.count() > CROWD_A_THREAD * self.0.count
    }

    /// A place for one more live guest, if there is one.
    pub fn try_acquire_live(&self) -> Option<LivePermit> {
        self.0.live.try_acquire()
    }

    /// Waits for a place for one more live guest.
    pub async fn acquire_live(&self) -> Result<LivePermit, Error> {
        self.0.live.acquire().await
    }

    /// How many guests can be live at once on this machine.
    pub fn max_live(&self) -> usize {
        self.0.live.most()
    }

    /// The places for live guests.
    pub fn places(&self) -> &Live {
        &self.0.live
    }

    /// How many places for guests are taken.
    pub fn live(&self) -> usize {
        self.0.live.now()
    }

    /// What one guest may take.
    pub fn limits(&self) -> &GuestLimits {
        &self.0.grounds.loader.limits
    }

    /// Interrupts every guest that is still live and waits until all are gone,
    /// for ten seconds at most.
    /// A guest that is started after this is stopped before it begins.
    pub async fn shutdown(&self) {
        self.0.live.close();
        // Waiting for threads to end is nothing for an async thread to do.
        let (done, ended) = oneshot::channel();
        let inner = self.0.clone();
        std::thread::spawn(move || {
            inner.workers.stop();
            inner.workers.wait();
            inner.grounds.ticker.stop();
            done.send(())
        });
        let _ = ended.await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.grounds.ticker.stop();
    }
}

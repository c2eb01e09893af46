//! The sandbox: what the engine holds to run guests.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
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

/// Threads for what guests read from disk.
const DISK_THREADS: usize = 16;

/// The guest runtime looks at its timers after so many turns. Each turn of a
/// guest that computes takes a millisecond: with tokio's 61, a sleeper would
/// oversleep by that many.
const TURNS_BETWEEN_TIMERS: u32 = 4;

/// So many guests that compute on each thread make it crowded.
const CROWD_A_THREAD: usize = 2;

/// What shutting down waits for guests that do not give way.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// Runs guests. Cheap to clone; all clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    grounds: Arc<Grounds>,
    live: Live,
    workers: usize,
    guests: Handle,
    /// None once it was shut down.
    runtime: Mutex<Option<Runtime>>,
}

impl Sandbox {
    /// Sets up the engines and the threads that guests run on.
    pub fn new(config: Config) -> Result<Self, Error> {
        let engines = Engines::new(&config.limits, config.pool_slots)?;
        let cache = config.code_cache.map(|folder| CodeCache::open(folder, &engines.on_demand)).transpose()?;
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(2, |count| count.get()),
            workers => workers,
        };
        let runtime = guest_runtime(workers)?;
        let ticker = Ticker::start(engines.all())?;
        let patience = Duration::from_secs(config.compile_seconds);
        let loader = Loader::new(engines, cache, config.limits, patience)?;
        Ok(Self(Arc::new(Inner {
            grounds: Arc::new(Grounds {
                loader,
                ticker,
                spinning: Spinning::default(),
                roots: Arc::new(Roots::new(config.roots)),
            }),
            workers,
            live: Live::new(config.max_live.min(most_live_guests())),
            guests: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
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
    /// ended, from the guest runtime's threads.
    pub fn start(&self, plugin: &Arc<Plugin>, job: Job, kernel: Arc<dyn Kernel>) -> Stop {
        let begun = Begun::new(job, kernel, self.limits());
        let stop = begun.stop();
        self.0.guests.spawn(begun.run(plugin.clone(), self.0.grounds.clone()));
        stop
    }

    /// Runs a task of the host's beside the guests, with which it takes turns. It
    /// is dropped when the sandbox is shut down.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.guests.spawn(task);
    }

    /// Whether so many guests compute that a task beside them would have to wait:
    /// each takes its turn of about a millisecond.
    pub fn is_crowded(&self) -> bool {
        self.0.grounds.spinning.count() > CROWD_A_THREAD * self.0.workers
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

    /// Interrupts every guest that is still live and waits until all are gone.
    /// A guest that is started after this is stopped before it begins.
    pub async fn shutdown(&self) {
        self.0.live.close();
        let Some(runtime) = self.0.take_runtime() else { return };
        // Waiting for threads to end is nothing for an async thread to do.
        let (done, ended) = oneshot::channel();
        let ticker = self.0.grounds.ticker.clone();
        std::thread::spawn(move || {
            runtime.shutdown_timeout(SHUTDOWN);
            ticker.stop();
            done.send(())
        });
        let _ = ended.await;
    }
}

impl Inner {
    fn take_runtime(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.take_runtime() {
            // Not waiting: this may be one of the runtime's own threads.
            runtime.shutdown_background();
        }
        self.grounds.ticker.stop();
    }
}

/// Guests share their threads by turns: each gives way at every epoch, to
/// whoever has waited longest. There is no bound on how many want to compute at
/// once: holding some back would delay a guest that only has to wake and end
/// behind others that compute, which taking turns does not.
fn guest_runtime(workers: usize) -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(DISK_THREADS)
        .thread_name("pleach-guest")
        .event_interval(TURNS_BETWEEN_TIMERS)
        .enable_time()
        .build()
        .map_err(|e| Error::Setup { what: "starting the threads for guests", why: e.to_string() })
}

//! From a component's digest to a plugin that can be started: from memory, from
//! compiled code on disk, or by compiling.
//!
//! Each component is compiled at most once at a time, whoever asks. Compiling
//! is not interrupted: where it takes too long, the ones who asked are told so,
//! and the thread goes on and keeps what it made.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, watch};

use crate::cache::{CodeCache, hex};
use crate::config::GuestLimits;
use crate::engine::Engines;
use crate::error::Error;
use crate::inspect;
use crate::plugin::{Linkers, Plugin};

/// The most plugins that are kept in memory; the least recently used goes.
const MOST_PLUGINS: usize = 256;

/// The most components that are compiled at once; each takes all processors for
/// a while, and memory many times its size.
const MOST_COMPILES: usize = 2;

/// Plugins that are loaded, and those on their way.
pub(crate) struct Loader {
    pub(crate) engines: Engines,
    pub(crate) linkers: Linkers,
    pub(crate) limits: GuestLimits,
    cache: Option<CodeCache>,
    patience: Duration,
    compiles: Arc<Semaphore>,
    shelves: Mutex<Shelves>,
    uses: AtomicU64,
}

#[derive(Default)]
struct Shelves {
    loaded: HashMap<Arc<str>, Arc<Plugin>>,
    loading: HashMap<Arc<str>, watch::Receiver<Progress>>,
}

/// None while it is being loaded.
type Progress = Option<Result<Arc<Plugin>, Error>>;

/// Whoever holds this loads one component; dropping it lets another try.
struct Flight {
    loader: Weak<Loader>,
    digest: Arc<str>,
    /// None once it has landed.
    landed: Option<watch::Sender<Progress>>,
}

impl Flight {
    /// Tells everyone who waits. Whoever asks from now on finds the plugin, or
    /// begins anew.
    fn land(mut self, result: Result<Arc<Plugin>, Error>) {
        if let Some(loader) = self.loader.upgrade() {
            loader.settle(&self.digest, result.as_ref().ok());
        }
        if let Some(landed) = self.landed.take() {
            landed.send_replace(Some(result));
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(loader) = self.loader.upgrade()
            && self.landed.is_some()
        {
            loader.settle(&self.digest, None);
        }
    }
}

impl Loader {
    pub(crate) fn new(
        engines: Engines,
        cache: Option<CodeCache>,
        limits: GuestLimits,
        patience: Duration,
    ) -> Result<Arc<Self>, Error> {
        let linkers = Linkers::new(&engines)?;
        Ok(Arc::new(Self {
            engines,
            linkers,
            limits,
            cache,
            patience,
            compiles: Arc::new(Semaphore::new(MOST_COMPILES)),
            shelves: Mutex::default(),
            uses: AtomicU64::new(0),
        }))
    }

    /// A plugin that is in memory.
    pub(crate) fn loaded(&self, digest: &str) -> Option<Arc<Plugin>> {
        let plugin = self.shelves().loaded.get(digest).cloned()?;
        plugin.touch(self.uses.fetch_add(1, Ordering::Relaxed));
        Some(plugin)
    }

    pub(crate) async fn load<F>(self: &Arc<Self>, digest: &str, bytes: impl FnOnce() -> F) -> Result<Arc<Plugin>, Error>
    where
        F: Future<Output = Result<Vec<u8>, String>>,
    {
        let digest: Arc<str> = digest.into();
        if !is_digest(&digest) {
            let why = "its digest is not `sha256:` and 64 hexadecimal digits in lower case".into();
            return Err(Error::Bytes { digest, why });
        }
        let mut bytes = Some(bytes);
        loop {
            if let Some(plugin) = self.loaded(&digest) {
                return Ok(plugin);
            }
            let (flight, mut progress) = self.board(&digest);
            let leads = flight.is_some();
            if let Some((flight, bytes)) = flight.zip(bytes.take_if(|_| leads)) {
                self.take_off(flight, bytes).await;
            }
            match tokio::time::timeout(self.patience, progress.wait_for(Option::is_some)).await {
                Ok(Ok(result)) => return result.clone().unwrap_or(Err(Error::ShutDown)),
                // Whoever led was dropped, or its thread died: the next leads.
                Ok(Err(_)) if !leads => {}
                Ok(Err(_)) => {
                    return Err(Error::Compile { digest, why: "its thread died; the log says more".into() });
                }
                Err(_) => {
                    return Err(Error::CompileTime { digest, seconds: self.patience.as_secs() });
                }
            }
        }
    }

    /// Joins a load that is under way, or begins one, which is then up to the
    /// caller.
    fn board(self: &Arc<Self>, digest: &Arc<str>) -> (Option<Flight>, watch::Receiver<Progress>) {
        let mut shelves = self.shelves();
        if let Some(progress) = shelves.loading.get(digest) {
            return (None, progress.clone());
        }
        let (landed, progress) = watch::channel(None);
        shelves.loading.insert(digest.clone(), progress.clone());
        (Some(Flight { loader: Arc::downgrade(self), digest: digest.clone(), landed: Some(landed) }), progress)
    }

    /// Reads compiled code, or compiles; both on a thread of their own.
    async fn take_off<F>(self: &Arc<Self>, flight: Flight, bytes: impl FnOnce() -> F)
    where
        F: Future<Output = Result<Vec<u8>, String>>,
    {
        let digest = flight.digest.clone();
        let loader = self.clone();
        let wanted = digest.clone();
        let compiled = tokio::task::spawn_blocking(move || loader.read_cache(&wanted)).await;
        if let Ok(Some(plugin)) = compiled {
            return flight.land(Ok(plugin));
        }
        let bytes = match bytes().await {
            Ok(bytes) => bytes,
            Err(why) => return flight.land(Err(Error::Bytes { digest, why })),
        };
        let turn = self.compiles.clone().acquire_owned().await;
        let loader = self.clone();
        let thread = std::thread::Builder::new().name("pleach-compile".into()).spawn(move || {
            let result = loader.compile(&flight.digest, &bytes);
            drop(turn);
            flight.land(result);
        });
        if let Err(error) = thread {
            // The flight went down with the thread; whoever waits is told.
            tracing::error!("no thread to compile {digest} on: {error}");
        }
    }

    fn read_cache(&self, digest: &Arc<str>) -> Option<Arc<Plugin>> {
        let code = self.cache.as_ref()?.read(digest)?;
        match Plugin::from_code(digest.clone(), &code, &self.linkers, &self.engines) {
            Ok(plugin) => Some(Arc::new(plugin)),
            Err(error) => {
                tracing::warn!(%digest, "compiled code does not load, compiling anew: {error}");
                None
            }
        }
    }

    fn compile(&self, digest: &Arc<str>, bytes: &[u8]) -> Result<Arc<Plugin>, Error> {
        let found = digest_of(bytes);
        if found != *digest {
            return Err(Error::Digest { expected: digest.clone(), found });
        }
        // Also what was published before this host became stricter is looked at.
        inspect::inspect(bytes, &self.engines.on_demand, &self.limits)?;
        let code = self
            .engines
            .on_demand
            .precompile_component(bytes)
            .map_err(|e| Error::Compile { digest: digest.clone(), why: format!("{e:#}") })?;
        let plugin = Plugin::from_code(digest.clone(), &code, &self.linkers, &self.engines)?;
        if let Some(cache) = &self.cache {
            cache.write(digest, &code);
        }
        Ok(Arc::new(plugin))
    }

    /// Ends a load, and keeps what came of it.
    fn settle(&self, digest: &Arc<str>, plugin: Option<&Arc<Plugin>>) {
        let mut shelves = self.shelves();
        shelves.loading.remove(digest);
        let Some(plugin) = plugin else { return };
        plugin.touch(self.uses.fetch_add(1, Ordering::Relaxed));
        if shelves.loaded.len() >= MOST_PLUGINS {
            let oldest = shelves.loaded.values().min_by_key(|plugin| plugin.used.load(Ordering::Relaxed));
            if let Some(oldest) = oldest.map(|plugin| plugin.digest().clone()) {
                shelves.loaded.remove(&oldest);
            }
        }
        shelves.loaded.insert(digest.clone(), plugin.clone());
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn digest_of(bytes: &[u8]) -> Arc<str> {
    format!("sha256:{}", hex(&Sha256::digest(bytes))).into()
}

/// A digest names files, so nothing else may pass for one.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

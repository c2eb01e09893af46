//! Setting a host up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pleach_kernel::{CircuitBreaker, Limits};
use pleach_sandbox::{Config, GuestLimits, Sandbox};

use crate::clock::Clock;
use crate::error::Error;
use crate::habits::Habits;
use crate::host::Host;

/// What a host is built with. Everything has a default: a store in memory, no
/// folders to read, no code cache, the built-in ceilings.
pub struct HostBuilder {
    store: String,
    roots: Vec<(String, PathBuf)>,
    config: Config,
    ceilings: Limits,
    habits: Habits,
    recover: bool,
    look: bool,
}

impl Default for HostBuilder {
    fn default() -> Self {
        Self {
            store: "memory:".into(),
            roots: Vec::new(),
            config: Config::default(),
            ceilings: Limits::CEILING,
            habits: Habits {
                grace: Duration::from_millis(500),
                park_after: Duration::from_secs(30),
                snapshot_every: 16_384,
                circuit_breaker: Some(CircuitBreaker::default()),
            },
            recover: true,
            look: false,
        }
    }
}

impl HostBuilder {
    /// `sqlite:PATH` or `memory:`.
    pub fn store(mut self, url: &str) -> Self {
        self.store = url.to_owned();
        self
    }

    /// A folder that guests with the scope `fs.read:NAME/…` can read.
    pub fn root(mut self, name: &str, dir: impl AsRef<Path>) -> Self {
        self.roots.push((name.to_owned(), dir.as_ref().to_owned()));
        self
    }

    /// Where compiled code is kept between starts.
    pub fn code_cache(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.code_cache = Some(dir.into());
        self
    }

    /// What no policy goes beyond.
    pub fn ceilings(mut self, ceilings: Limits) -> Self {
        self.ceilings = ceilings;
        self
    }

    /// What one guest may take.
    pub fn guest_limits(mut self, limits: GuestLimits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Guests that are live at once; the machine may allow fewer.
    pub fn max_live(mut self, guests: usize) -> Self {
        self.config.max_live = guests;
        self
    }

    /// How long a guest that is told to stop may take to, before it is
    /// interrupted. 500 ms unless set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.habits.grace = grace;
        self
    }

    /// How long a guest waits (for other runs, or for the clock) before it is
    /// dropped from memory, to be run again from its journal when what it waits
    /// for is there. 30 s unless set. Under pressure it may be sooner.
    pub fn park_after(mut self, wait: Duration) -> Self {
        self.habits.park_after = wait;
        self
    }

    /// After so many events of a tree, at the earliest, its state is written down
    /// beside its log. 16,384 unless set.
    pub fn snapshot_every(mut self, events: u64) -> Self {
        self.habits.snapshot_every = events.max(1);
        self
    }

    /// When plugins that fail are not tried for a while; none: they always are. Five
    /// failures in 300 s stop it for 60 s unless set, and two successes end that.
    pub fn circuit_breaker(mut self, breaker: Option<CircuitBreaker>) -> Self {
        self.habits.circuit_breaker = breaker;
        self
    }

    /// Whether the host takes up, as it starts, what a host that is gone has left
    /// unfinished in this store; see [`Host::recover`]. It does unless told not
    /// to: a program that only looks at runs should not run them.
    pub fn recover(mut self, recover: bool) -> Self {
        self.recover = recover;
        self
    }

    /// Whether the host is there only to look at runs: it takes nothing up, and a
    /// store that may not be written to is opened all the same. It has to be there.
    pub fn look(mut self, look: bool) -> Self {
        self.look = look;
        self
    }

    /// Opens the store and starts the threads for guests. Needs a Tokio runtime,
    /// which the host's own tasks run on from then on.
    pub async fn build(mut self) -> Result<Host, Error> {
        for (name, path) in &self.roots {
            let doing = "opening a folder for guests";
            if pleach_kernel::Scope::exact("fs.read", name).is_err() || name.contains('/') {
                return Err(Error::invalid(doing, format!("`{name}` is no name for it: one plain segment of a path")));
            }
            if self.config.roots.iter().any(|(other, _)| other == name) {
                return Err(Error::invalid(doing, format!("two folders are called `{name}`")));
            }
            let dir = Dir::open_ambient_dir(path, ambient_authority())
                .map_err(|e| Error::invalid(doing, format!("{}: {e}", path.display())))?;
            self.config.roots.push((name.clone(), dir));
        }
        let store = match self.look {
            true => pleach_store::look(&self.store).await?,
            false => pleach_store::open(&self.store).await?,
        };
        let sandbox = Sandbox::new(self.config)?;
        let host = Host::start(store, Arc::new(sandbox), self.ceilings, self.habits, Clock::start());
        if self.recover && !self.look {
            host.recover().await?;
        }
        Ok(host)
    }
}

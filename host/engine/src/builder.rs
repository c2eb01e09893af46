//! Setting a host up.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pleach_kernel::Limits;
use pleach_sandbox::{Config, GuestLimits, Sandbox};

use crate::error::Error;
use crate::host::Host;

/// What a host is built with. Everything has a default: a store in memory, no
/// folders to read, no code cache, the built-in ceilings.
pub struct HostBuilder {
    store: String,
    roots: Vec<(String, PathBuf)>,
    config: Config,
    ceilings: Limits,
    grace: Duration,
}

impl Default for HostBuilder {
    fn default() -> Self {
        Self {
            store: "memory:".into(),
            roots: Vec::new(),
            config: Config::default(),
            ceilings: Limits::CEILING,
            grace: Duration::from_millis(500),
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
        self.grace = grace;
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
        let store = pleach_store::open(&self.store).await?;
        let sandbox = Sandbox::new(self.config)?;
        Ok(Host::start(store, sandbox, self.ceilings, self.grace))
    }
}

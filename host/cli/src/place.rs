//! Where the work is: the store and the tenant, and the host over them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use pleach_engine::kernel::Tenant;
use pleach_engine::{Host, HostBuilder};

use crate::exit::Mistake;

/// The options that every command has.
#[derive(Args, Debug)]
pub struct Place {
    /// Where runs, plugins and policies are kept: `sqlite:PATH`, or `memory:`
    /// for no longer than this command.
    #[arg(long, global = true, value_name = "URL", env = "PLEACH_STORE", default_value = "sqlite:.pleach/pleach.db")]
    #[arg(help_heading = "Where")]
    pub store: String,

    /// Whose runs, plugins and policy: a name of a-z, 0-9, `-` and `_`.
    #[arg(long, global = true, value_name = "NAME", env = "PLEACH_TENANT", default_value = "default")]
    #[arg(help_heading = "Where")]
    pub tenant: Tenant,
}

impl Place {
    /// A host on this store, which is created where it is not there.
    pub async fn open(&self) -> anyhow::Result<Host> {
        self.open_with(|builder| builder).await
    }

    /// The same, with more told to the builder.
    pub async fn open_with(&self, more: impl FnOnce(HostBuilder) -> HostBuilder) -> anyhow::Result<Host> {
        // Runs that others have left are taken up by `resume`, which says so, and
        // not by whoever happens to open the store.
        let mut builder = Host::builder().store(&self.store).recover(false);
        // Compiled plugins lie beside the database: what is in the cache is
        // trusted by its key, which only this user can read.
        if let Some(folder) = self.path().and_then(Path::parent) {
            builder = builder.code_cache(folder.join("cache"));
        }
        let host = more(builder).build().await?;
        Ok(host.for_tenant(self.tenant.clone()))
    }

    /// A host on a store that has to be there, to look at runs and do nothing else;
    /// so the store need not be one that can be written to.
    pub async fn look(&self) -> anyhow::Result<Host> {
        self.check_existing()?;
        // Nothing is compiled, and a cache could not be made beside such a store.
        let host = Host::builder().store(&self.store).look(true).build().await?;
        Ok(host.for_tenant(self.tenant.clone()))
    }

    /// The same, to look at what every store has: where there is none, at what a new
    /// one has.
    pub async fn look_or_make(&self) -> anyhow::Result<Host> {
        match self.path().is_some_and(Path::exists) {
            true => self.look().await,
            false => self.open().await,
        }
    }

    /// A host on a store that has to be there: to do something about runs. A wrong
    /// place should not leave an empty store behind.
    pub async fn open_existing(&self) -> anyhow::Result<Host> {
        self.open_existing_with(|builder| builder).await
    }

    /// The same, with more told to the builder.
    pub async fn open_existing_with(&self, more: impl FnOnce(HostBuilder) -> HostBuilder) -> anyhow::Result<Host> {
        self.check_existing()?;
        self.open_with(more).await
    }

    /// Whether there is a store to look at.
    pub fn is_there(&self) -> bool {
        self.path().is_some_and(Path::exists)
    }

    fn check_existing(&self) -> Result<(), Mistake> {
        match self.path() {
            Some(path) if !path.exists() => {
                let message = format!("opening the store `{}`: there is no such file", self.store);
                let hint = "`pleach run` creates it; or name another store with --store or PLEACH_STORE";
                Err(Mistake::new(message).hint(hint))
            }
            Some(_) => Ok(()),
            None if self.store == "memory:" => {
                let message = "opening the store `memory:`: it holds only what this command itself puts there";
                Err(Mistake::new(message).hint("name the store that the run was started with, as `sqlite:PATH`"))
            }
            None => Ok(()),
        }
    }

    /// What the store's file takes up, with what waits to be written into it.
    pub fn bytes(&self) -> u64 {
        let Some(path) = self.path() else { return 0 };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
        size(path) + size(Path::new(&log))
    }

    fn path(&self) -> Option<&Path> {
        self.store.strip_prefix("sqlite:").filter(|path| !path.is_empty()).map(Path::new)
    }
}

/// A folder of the machine that runs can be granted parts of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub name: String,
    pub folder: PathBuf,
}

impl std::str::FromStr for Root {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, folder)) = text.split_once('=') else {
            return Err("a root is NAME=DIR, such as `repo=.`".to_owned());
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(legal) {
            return Err(format!("`{name}` is no name for a root: use letters, digits, `-` and `_`"));
        }
        let folder = PathBuf::from(folder);
        match std::fs::metadata(&folder) {
            Ok(found) if found.is_dir() => Ok(Self { name: name.to_owned(), folder }),
            Ok(_) => Err(format!("`{}` is not a folder", folder.display())),
            Err(error) => Err(format!("the folder `{}`: {error}", folder.display())),
        }
    }
}

/// Tells the builder of folders.
pub fn roots(builder: HostBuilder, roots: &[Root]) -> HostBuilder {
    roots.iter().fold(builder, |builder, root| builder.root(&root.name, &root.folder))
}

/// Each root has a name of its own.
pub fn check_names(roots: &[Root]) -> Result<(), Mistake> {
    let mut names: Vec<&str> = roots.iter().map(|root| root.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("opening the roots: `{}` is given twice", twice[0]);
            Err(Mistake::new(message).hint("give each folder a name of its own"))
        }
    }
}

/// Seconds to wait, which may be none.
pub fn wait(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    wait.ok_or_else(|| "a number of seconds, such as 30, 0.5, or 0 for at once".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_from_0_on() {
        assert_eq!(wait("0"), Ok(Duration::ZERO));
        assert_eq!(wait("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["-1", "x", "", "inf", "nan", "1e300"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_root_is_a_name_and_a_folder_that_is_there() {
        assert_eq!("repo=.".parse(), Ok(Root { name: "repo".into(), folder: ".".into() }));
        for (bad, why) in [
            ("repo", "NAME=DIR"),
            ("=.", "no name for a root"),
            ("a/b=.", "no name for a root"),
            ("repo=/no/such/folder", "`/no/such/folder`"),
            ("repo=Cargo.toml", "is not a folder"),
        ] {
            let error = bad.parse::<Root>().unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}

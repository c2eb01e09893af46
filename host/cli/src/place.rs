//! Where the work is: the store and the tenant, and the host over them.

use std::path::{Path, PathBuf};

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
        let mut builder = Host::builder().store(&self.store);
        // Compiled plugins lie beside the database: what is in the cache is
        // trusted by its key, which only this user can read.
        if let Some(folder) = self.path().and_then(Path::parent) {
            builder = builder.code_cache(folder.join("cache"));
        }
        let host = more(builder).build().await?;
        Ok(host.for_tenant(self.tenant.clone()))
    }

    /// A host on a store that has to be there: to look at runs. Looking in the
    /// wrong place should not leave an empty store behind.
    pub async fn open_existing(&self) -> anyhow::Result<Host> {
        match self.path() {
            Some(path) if !path.exists() => {
                let message = format!("opening the store `{}`: there is no such file", self.store);
                let hint = "`pleach run` creates it; or name another store with --store or PLEACH_STORE";
                Err(Mistake::new(message).hint(hint).into())
            }
            Some(_) => self.open().await,
            None if self.store == "memory:" => {
                let message = "opening the store `memory:`: it holds only what this command itself puts there";
                Err(Mistake::new(message).hint("name the store that the run was started with, as `sqlite:PATH`").into())
            }
            None => self.open().await,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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

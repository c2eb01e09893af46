//! `files`: reading and listing what a run was granted, below the roots that the
//! host's operator opened. Nothing here writes.
//!
//! A path is checked twice: as it is spelt, against the run's scopes, and, where
//! a link leads elsewhere, as what it leads to. `cap_std` keeps both below the
//! root. The work is done on threads of its own, so that a slow disk holds up no
//! other guest.

use std::sync::Arc;

use cap_std::fs::Dir;
use pleach_kernel::{Code, Denial, Scope};

use super::disk::{self, Disk};
use crate::bindings::files::{Entry, Host};
use crate::bindings::types::CallError;
use crate::call::FailureCode;
use crate::guest::Guest;

const CAPABILITY: &str = "fs.read";

/// The most entries of one listing; the contract's number.
const MOST_ENTRIES: usize = 65_536;

/// The most that one read returns; the contract's number.
const READ_BYTES: u32 = 1 << 20;

/// The folders that there are on this host, by name, sorted.
pub(crate) struct Roots(Vec<(String, Arc<Dir>)>);

impl Roots {
    pub(crate) fn new(roots: Vec<(String, Dir)>) -> Self {
        let mut roots: Vec<_> = roots.into_iter().map(|(name, dir)| (name, Arc::new(dir))).collect();
        roots.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(roots)
    }

    fn get(&self, name: &str) -> Option<&Arc<Dir>> {
        self.0.binary_search_by(|(root, _)| root.as_str().cmp(name)).ok().map(|at| &self.0[at].1)
    }
}

/// What a call wants to do with a path.
#[derive(Clone, Copy)]
enum Wish {
    Read,
    List,
    Stat,
}

impl Wish {
    fn action(self) -> &'static str {
        match self {
            Self::Read => "files.read",
            Self::List => "files.list",
            Self::Stat => "files.stat",
        }
    }
}

impl Host for Guest {
    async fn roots(&mut self) -> Vec<String> {
        self.charged();
        let scopes = || self.identity.grant.can_use().iter().filter(|scope| scope.capability() == CAPABILITY);
        let names = self.roots.0.iter().map(|(name, _)| name);
        names.filter(|name| scopes().any(|scope| reaches_into(scope, name))).cloned().collect()
    }

    async fn list(&mut self, path: String) -> Result<Vec<Entry>, CallError> {
        let disk = self.open(Wish::List, &path).await?;
        self.on_disk(move || disk.list(MOST_ENTRIES)).await
    }

    async fn stat(&mut self, path: String) -> Result<Entry, CallError> {
        let disk = self.open(Wish::Stat, &path).await?;
        self.on_disk(move || disk.stat()).await
    }

    async fn read(&mut self, path: String, offset: u64, length: u32) -> Result<Vec<u8>, CallError> {
        let disk = self.open(Wish::Read, &path).await?;
        self.on_disk(move || disk.read(offset, length.min(READ_BYTES))).await
    }
}

impl Guest {
    /// Finds what `path` names and checks that this run may have it.
    async fn open(&mut self, wish: Wish, path: &str) -> Result<Disk, CallError> {
        self.enter(wish.action())?;
        self.check_scope(wish, path, path)?;
        let (root, below) = path.split_once('/').unwrap_or((path, ""));
        let Some(dir) = self.roots.get(root).cloned() else {
            let message = format!("no folder `{root}` was opened on this host; give it one with `--root {root}=DIR`");
            return Err(crate::call::CallError::failed(FailureCode::NotFound, message).into());
        };
        let below = below.to_owned();
        let name = path.rsplit('/').next().unwrap_or(path).to_owned();
        let (disk, below) = self
            .on_disk(move || {
                let disk = Disk::find(dir, &below, name)?;
                Ok((disk, below))
            })
            .await?;
        if disk.path() != below {
            let leads_to = if disk.path().is_empty() { root.to_owned() } else { format!("{root}/{}", disk.path()) };
            self.check_scope(wish, &leads_to, path)?;
        }
        Ok(disk)
    }

    fn check_scope(&mut self, wish: Wish, path: &str, asked: &str) -> Result<(), CallError> {
        let exact = Scope::exact(CAPABILITY, path);
        let below = || format!("{CAPABILITY}:{path}/*").parse::<Scope>();
        let (allowed, wanted) = match (wish, exact) {
            (_, Err(error)) => {
                let denial = Denial::new(Code::ScopeInvalid, wish.action(), error.to_string());
                return Err(self.deny(denial.of_target(&asked.into())));
            }
            (Wish::Read, Ok(exact)) => (self.identity.grant.allows(&exact), exact.to_string()),
            (Wish::List, Ok(_)) => (self.allows(below()), format!("{CAPABILITY}:{path}/*")),
            // Who may read a folder's files may know that there is the folder.
            (Wish::Stat, Ok(exact)) => (self.identity.grant.allows(&exact) || self.allows(below()), exact.to_string()),
        };
        if allowed {
            return Ok(());
        }
        let link = if path == asked { String::new() } else { format!(", to which `{asked}` leads") };
        let message = format!("this needs the scope `{wanted}`{link}, which the run may not use");
        Err(self.deny(Denial::new(Code::ScopeRequired, wish.action(), message).of_target(&asked.into())))
    }

    fn allows<E>(&self, scope: Result<Scope, E>) -> bool {
        scope.is_ok_and(|scope| self.identity.grant.allows(&scope))
    }

    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> Result<T, disk::Failure> + Send + 'static,
    ) -> Result<T, CallError> {
        let done = tokio::task::spawn_blocking(work).await;
        self.vitals.catch_up();
        match done {
            Ok(result) => result.map_err(|failure| crate::call::CallError::from(failure).into()),
            Err(error) => {
                let message = format!("the host gave up on a file: {error}");
                Err(crate::call::CallError::failed(FailureCode::HostFailure, message).into())
            }
        }
    }
}

/// Whether a scope allows anything below the root of this name.
fn reaches_into(scope: &Scope, root: &str) -> bool {
    let below = format!("{root}/");
    match scope.resource().strip_suffix('*') {
        Some(beginning) => beginning.starts_with(&below) || below.starts_with(beginning),
        None => scope.resource().starts_with(&below),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_shown_to_whoever_can_read_something_of_it() {
        let table = [
            ("fs.read:*", true),
            ("fs.read:repo/*", true),
            ("fs.read:re*", true),
            ("fs.read:repo/src/lib.rs", true),
            ("fs.read:repo/src/*", true),
            ("fs.read:repo", false),
            ("fs.read:repository/*", false),
            ("fs.read:other/*", false),
        ];
        for (scope, expected) in table {
            assert_eq!(reaches_into(&scope.parse().unwrap(), "repo"), expected, "{scope}");
        }
    }
}

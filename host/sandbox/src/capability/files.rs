//! `files`: reading and listing what a run was granted, below the roots that the
//! host's operator opened. Nothing here writes.
//!
//! A path is checked twice: as it is spelt, against the run's scopes, and, where
//! a link leads elsewhere, as what it leads to. `cap_std` keeps both below the
//! root. The work is done on threads of its own, so that a slow disk holds up no
//! other guest.
//!
//! What is found is recorded: by the next replay the disk may be another one. A
//! path that is refused as it is spelt is not, since it always is.

use std::sync::Arc;

use cap_std::fs::Dir;
use pleach_kernel::{Code, Denial, Grant, Scope};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::{self, Disk};
use crate::bindings::files::{Entry, EntryKind, Host};
use crate::bindings::types;
use crate::call::{CallError, FailureCode};
use crate::guest::Guest;
use crate::hostcalls::cancelled;
use crate::journal::hash;

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
        let roots = self.roots.clone();
        let grant = self.calls.grant().clone();
        let names = move || {
            let scopes = || grant.can_use().iter().filter(|scope| scope.capability() == CAPABILITY);
            let names = roots.0.iter().map(|(name, _)| name.as_str());
            json(&names.filter(|name| scopes().any(|scope| reaches_into(scope, name))).collect::<Vec<_>>())
        };
        let names = self.calls.off_stack(move |calls| Box::pin(calls.recorded_unrefused("files.roots", names))).await;
        names.and_then(|names| read_json(&names)).unwrap_or_default()
    }

    async fn list(&mut self, path: String) -> Result<Vec<Entry>, types::CallError> {
        let hash = hash(&path);
        let found = self.on_disk(Wish::List, path, hash, |disk| Ok(json(&disk.list(MOST_ENTRIES)?))).await?;
        let entries: Vec<disk::Entry> = read_json(&found)?;
        Ok(entries.into_iter().map(Entry::from).collect())
    }

    async fn stat(&mut self, path: String) -> Result<Entry, types::CallError> {
        let hash = hash(&path);
        let found = self.on_disk(Wish::Stat, path, hash, |disk| Ok(json(&disk.stat()?))).await?;
        Ok(read_json::<disk::Entry>(&found)?.into())
    }

    async fn read(&mut self, path: String, offset: u64, length: u32) -> Result<Vec<u8>, types::CallError> {
        let hash = hash(&(&path, offset, length));
        let read = move |disk: &Disk| Ok(Ok(disk.read(offset, length.min(READ_BYTES))?));
        Ok(self.on_disk(Wish::Read, path, hash, read).await?)
    }
}

impl Guest {
    /// Finds what `path` names, checks that this run may have it, and has `work`
    /// done with it, or what was found before.
    async fn on_disk(
        &mut self,
        wish: Wish,
        path: String,
        hash: u64,
        work: impl FnOnce(&Disk) -> Result<Result<Vec<u8>, CallError>, disk::Failure> + Send + 'static,
    ) -> Result<Vec<u8>, CallError> {
        if let Some(denial) = refusal(self.calls.grant(), wish, &path, &path) {
            if self.calls.is_gone() {
                return Err(cancelled());
            }
            self.calls.charged();
            return Err(self.calls.deny(denial));
        }
        let roots = self.roots.clone();
        let grant = self.calls.grant().clone();
        let work = move || {
            let disk = open(&roots, &grant, wish, &path)?;
            work(&disk)?
        };
        let done = || async {
            let failed =
                |error| CallError::failed(FailureCode::HostFailure, format!("the host gave up on a file: {error}"));
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error)))
        };
        self.calls.off_stack(move |calls| Box::pin(calls.recorded(wish.action(), hash, done))).await
    }
}

/// Finds what `path` names, links followed, and checks what they lead to.
fn open(roots: &Roots, grant: &Grant, wish: Wish, path: &str) -> Result<Disk, CallError> {
    let (root, below) = path.split_once('/').unwrap_or((path, ""));
    let Some(dir) = roots.get(root).cloned() else {
        let message = format!("no folder `{root}` was opened on this host; give it one with `--root {root}=DIR`");
        return Err(CallError::failed(FailureCode::NotFound, message));
    };
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let disk = Disk::find(dir, below, name)?;
    if disk.path() != below {
        let leads_to = if disk.path().is_empty() { root.to_owned() } else { format!("{root}/{}", disk.path()) };
        if let Some(denial) = refusal(grant, wish, &leads_to, path) {
            return Err(CallError::Denied(denial.into()));
        }
    }
    Ok(disk)
}

/// Why a run may not have `path`, which it asked for as `asked`.
fn refusal(grant: &Grant, wish: Wish, path: &str, asked: &str) -> Option<Denial> {
    let allows_below = || {
        let below = format!("{CAPABILITY}:{path}/*").parse::<Scope>();
        below.is_ok_and(|scope| grant.allows(&scope))
    };
    let (allowed, wanted) = match (wish, Scope::exact(CAPABILITY, path)) {
        (_, Err(error)) => {
            let denial = Denial::new(Code::ScopeInvalid, wish.action(), error.to_string());
            return Some(denial.of_target(&asked.into()));
        }
        (Wish::Read, Ok(exact)) => (grant.allows(&exact), exact.to_string()),
        (Wish::List, Ok(_)) => (allows_below(), format!("{CAPABILITY}:{path}/*")),
        // Who may read a folder's files may know that there is the folder.
        (Wish::Stat, Ok(exact)) => (grant.allows(&exact) || allows_below(), exact.to_string()),
    };
    if allowed {
        return None;
    }
    let link = if path == asked { String::new() } else { format!(", to which `{asked}` leads") };
    let message = format!("this needs the scope `{wanted}`{link}, which the run may not use");
    Some(Denial::new(Code::ScopeRequired, wish.action(), message).of_target(&asked.into()))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, CallError> {
    serde_json::to_vec(value).map_err(|error| CallError::failed(FailureCode::HostFailure, error.to_string()))
}

fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("what was recorded of a file cannot be read: {error}");
        CallError::failed(FailureCode::HostFailure, message)
    })
}

impl From<disk::Entry> for Entry {
    fn from(disk::Entry { name, kind, size }: disk::Entry) -> Self {
        let kind = match kind {
            disk::EntryKind::File => EntryKind::File,
            disk::EntryKind::Folder => EntryKind::Folder,
            disk::EntryKind::Link => EntryKind::Link,
            disk::EntryKind::Other => EntryKind::Other,
        };
        Self { name, kind, size }
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

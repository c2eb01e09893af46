//! Programs: orchestration that an embedder writes in Rust, run as a root like an
//! agent: admitted, recorded, and run again from its journal after a crash.
//!
//! The store has no code of a program's. A host that takes up its run needs it
//! provided again; until then the run waits, as for a plugin that is missing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock};

use pleach_kernel::{PluginRef, Resolution, Role};
use pleach_sandbox::{Plugin, Program};
use tokio::sync::Notify;

use crate::error::Error;
use crate::host::Host;
use crate::registry::{check_name, check_version};

/// What the digests of programs begin with, which those of components do not.
const PREFIX: &str = "program:";

/// The programs of a host, by digest.
#[derive(Default)]
pub(crate) struct Programs {
    known: RwLock<HashMap<Arc<str>, Arc<Plugin>>>,
    provided: Notify,
}

impl Programs {
    pub(crate) fn get(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    /// Waits until a program is there.
    pub(crate) async fn wait_for(&self, digest: &str) {
        loop {
            // Listens before it looks, so that nothing is missed between.
            let provided = self.provided.notified();
            tokio::pin!(provided);
            provided.as_mut().enable();
            if self.get(digest).is_some() {
                return;
            }
            provided.await;
        }
    }

    /// What a submission means by a name and a version.
    pub(crate) fn resolve(&self, name: &str, version: &str) -> Result<Resolution, Error> {
        let digest = digest_of(name, version);
        if self.get(&digest).is_none() {
            let hint = "give it to this host with `Host::provide` before it is submitted".to_owned();
            return Err(Error::NotFound { what: "program", name: format!("{name}@{version}"), hint });
        }
        let plugin = PluginRef { name: name.into(), version: version.into(), digest, role: Role::Agent };
        Ok(Resolution::Found(Arc::new(plugin)))
    }
}

/// Whether a run is pinned to a program.
pub(crate) fn is_program(digest: &str) -> bool {
    digest.starts_with(PREFIX)
}

fn digest_of(name: &str, version: &str) -> Arc<str> {
    format!("{PREFIX}{name}@{version}").into()
}

impl Host {
    /// Has this host know a program, for [`Submission::of_program`] and for runs of
    /// it that are recovered. What it calls is in the log with the surface `api`.
    ///
    /// A program that changes needs a new version: a run of the old one that is
    /// recovered has to find the same calls again.
    ///
    /// [`Submission::of_program`]: crate::Submission::of_program
    pub fn provide(&self, name: &str, version: &str, program: impl Program) -> Result<(), Error> {
        check_name(name)?;
        check_version(version)?;
        let digest = digest_of(name, version);
        let programs = self.programs();
        match programs.known.write().unwrap_or_else(PoisonError::into_inner).entry(digest.clone()) {
            Entry::Occupied(_) => {
                let why = format!("this host has a program {name}@{version} already; give this one another version");
                return Err(Error::invalid("providing a program", why));
            }
            Entry::Vacant(place) => {
                place.insert(Plugin::native(digest, Role::Agent, Arc::new(program)));
            }
        }
        programs.provided.notify_waiters();
        Ok(())
    }
}

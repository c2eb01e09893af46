//! Code: have the plugins at hand that runs are pinned to.
//!
//! A run is pinned to the digest it was admitted with. Where the store lacks
//! that component, its runs wait until somebody publishes it; where it cannot
//! be used, they fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pleach_kernel::{Finish, Outcome, Run, RunError, RunId, Usage};
use pleach_sandbox::Plugin;

use super::{Driver, Shared};
use crate::error::Error;
use crate::graphs;
use crate::mailbox::{Input, Mailbox};
use crate::missing::{Missing, NoCode};
use crate::program::is_program;

/// Between two looks whether a component that was missing is there: what else
/// changes in the store is no reason to look more often.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What a tree's runs need and is not loaded yet, and whether it is missing.
#[derive(Default)]
pub(super) struct Codes(HashMap<Arc<str>, bool>);

impl Codes {
    /// The tree leaves, and waits for nothing any more.
    pub(super) fn forget(&mut self, missing: &Missing) {
        for (digest, _) in self.0.drain().filter(|(_, is_missing)| *is_missing) {
            missing.take_off(&digest);
        }
    }
}

/// What it takes to start a run.
#[derive(Clone)]
pub(super) struct Code {
    pub plugin: Arc<Plugin>,
    /// The graph that has asked for it, which knows what it may give.
    pub asked_by: Option<Arc<Plugin>>,
}

impl Driver {
    /// The code for a run, where it is in memory: else the run that lacks its own, which
    /// may be the graph's. `like` may be the code of another.
    pub(super) fn code(&self, run: &Run, like: Option<&Code>) -> Result<Code, RunId> {
        let plugin = self.code_in_memory(run, like.map(|code| &code.plugin))?;
        let Some(graph) = self.tree.asked_by(run) else { return Ok(Code { plugin, asked_by: None }) };
        let asked_by = match self.guests.get(&graph.id) {
            Some(guest) => guest.plugin.clone(),
            None => self.code_in_memory(graph, like.and_then(|code| code.asked_by.as_ref()))?,
        };
        Ok(Code { plugin, asked_by: Some(asked_by) })
    }

    fn code_in_memory(&self, run: &Run, like: Option<&Arc<Plugin>>) -> Result<Arc<Plugin>, RunId> {
        let digest = &run.plugin().digest;
        let like = like.filter(|plugin| plugin.digest() == digest).cloned();
        like.or_else(|| self.shared.plugin(digest)).ok_or(run.id)
    }

    /// The code of a run that is to start; where it is not in memory, it is
    /// fetched, and the run waits until then.
    pub(super) fn code_for(&mut self, run: RunId) -> Option<Code> {
        let lacking = match self.code(self.tree.run(run)?, None) {
            Ok(code) => {
                // It may have come to be there for another tree.
                self.code_is_here(code.plugin.digest());
                return Some(code);
            }
            Err(lacking) => lacking,
        };
        self.fetch_code_of(lacking);
        None
    }

    /// Has the code of a run fetched, unless it is there or on its way.
    pub(super) fn fetch_code_of(&mut self, run: RunId) {
        let Some(digest) = self.tree.run(run).map(|run| run.plugin().digest.clone()) else { return };
        if self.shared.plugin(&digest).is_some() {
            // It has come to be there for another tree.
            self.code_is_here(&digest);
        } else if !self.codes.0.contains_key(&digest) {
            self.codes.0.insert(digest.clone(), false);
            let (shared, mailbox) = (self.shared.clone(), self.mailbox.clone());
            self.shared.runtime.spawn(async move {
                let result = load(&shared, &digest).await;
                mailbox.send(Input::Loaded { digest, result });
            });
        }
    }

    /// Code has arrived, and the turn that follows starts what waited for it.
    /// Where it cannot be had, the runs that need it fail or wait.
    pub(super) fn code_loaded(&mut self, digest: Arc<str>, result: Result<Arc<Plugin>, NoCode>) {
        match result {
            Ok(_) => self.code_is_here(&digest),
            Err(NoCode::Missing) if is_program(&digest) => {
                self.code_is_missing(digest, "provide the program to this host");
            }
            Err(NoCode::Missing) => self.code_is_missing(digest, "publish the component with this digest"),
            Err(NoCode::Unreadable(why)) => self.code_is_missing(digest, &why),
            Err(NoCode::Unusable(error)) => {
                self.code_is_here(&digest);
                if self.decides() {
                    self.fail_stranded(&digest, &error);
                }
            }
        }
    }

    fn code_is_here(&mut self, digest: &Arc<str>) {
        if self.codes.0.remove(digest) == Some(true) {
            self.shared.missing.take_off(digest);
        }
    }

    fn code_is_missing(&mut self, digest: Arc<str>, why: &str) {
        let plugin = self.tree.runs().iter().map(|run| run.plugin()).find(|plugin| plugin.digest == digest);
        let plugin = plugin.map_or_else(String::new, ToString::to_string);
        let (run_id, tenant) = (self.tree.id(), self.tree.tenant());
        tracing::warn!(
            %run_id, %tenant, plugin, %digest, why,
            "runs wait for a plugin that cannot be had from this store, and go on when it can"
        );
        if self.codes.0.insert(digest.clone(), true) != Some(true) {
            self.shared.missing.add(&digest, plugin);
        }
        let (shared, mailbox) = (self.shared.clone(), self.mailbox.clone());
        self.shared.runtime.spawn(async move {
            if await_code(&shared, &mailbox, &digest).await {
                let result = load(&shared, &digest).await;
                mailbox.send(Input::Loaded { digest, result });
            }
        });
    }

    fn fail_stranded(&mut self, digest: &Arc<str>, error: &Error) {
        let now = self.shared.clock.now();
        let needs = |run: &RunId| self.tree.run(*run).is_some_and(|run| run.plugin().digest == *digest);
        let ready: Vec<RunId> = self.tree.ready().filter(needs).collect();
        let woken: Vec<RunId> = self.parking.woken().filter(needs).collect();
        for run in ready {
            if self.tree.start(now, run) {
                self.fail_unstarted(run, Usage::default(), error);
            }
        }
        for run in woken {
            self.journals.forget.push(run.index);
            let (used, meter) = self.parking.forget(run);
            self.fail_unstarted(run, used, error);
            if let Some(meter) = meter {
                meter.settle(&self.tree);
            }
        }
    }

    fn fail_unstarted(&mut self, run: RunId, usage: Usage, error: &Error) {
        let mut cause = RunError::new("plugin_unavailable", error.to_string());
        cause.retryable = true;
        let (attempt, outcome) = (self.attempt(run), Outcome::Failed(cause));
        let now = self.shared.clock.now();
        self.tree.finish(now, Finish { run_id: run, attempt, outcome, usage });
    }
}

async fn load(shared: &Arc<Shared>, digest: &Arc<str>) -> Result<Arc<Plugin>, NoCode> {
    if is_program(digest) {
        return shared.programs.get(digest).ok_or(NoCode::Missing);
    }
    let (store, wanted) = (shared.store.clone(), digest.clone());
    let bytes = move || -> crate::guests::BoxFuture<'static, Result<Vec<u8>, String>> {
        Box::pin(async move {
            match store.component(&wanted).await {
                Ok(Some(bytes)) if graphs::is_graph(&bytes) => Err("it is a graph, and no component".to_owned()),
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err("the store does not have it".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        })
    };
    let error = match shared.guests.load(digest, Box::new(bytes)).await {
        Ok(plugin) => return Ok(plugin),
        Err(error) => error,
    };
    // Several trees may have waited for one load, which tells all of them the same
    // error: only the store says what is there. A graph is looked for last, because
    // compiled code is found without reading the component.
    match shared.store.component(digest).await {
        Ok(Some(bytes)) if graphs::is_graph(&bytes) => shared.graphs.compile(digest, bytes).map_err(NoCode::Unusable),
        Ok(Some(_)) => Err(NoCode::Unusable(error.into())),
        Ok(None) => Err(NoCode::Missing),
        Err(error) => Err(NoCode::Unreadable(error.to_string())),
    }
}

/// Waits until code that was missing is there; false where the tree left before.
async fn await_code(shared: &Shared, mailbox: &Mailbox, digest: &str) -> bool {
    if !is_program(digest) {
        return await_component(shared, mailbox, digest).await;
    }
    tokio::select! {
        biased;
        () = mailbox.closed() => false,
        () = shared.programs.wait_for(digest) => true,
    }
}

/// Waits until the store has a component; false where the tree left before.
async fn await_component(shared: &Shared, mailbox: &Mailbox, digest: &str) -> bool {
    loop {
        let changed = shared.store.changed();
        match shared.store.component(digest).await {
            Ok(Some(_)) | Err(pleach_store::Error::Closed) => return !mailbox.is_closed(),
            Ok(None) | Err(_) => {}
        }
        tokio::select! {
            biased;
            () = mailbox.closed() => return false,
            () = changed => {}
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

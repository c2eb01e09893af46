//! The host: what an embedding program holds.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pleach_graph::diagnostic::Diagnostic;
use pleach_graph::plan::Settings;
use pleach_graph::source::Source;
use pleach_kernel::{
    Code, Denial, Grant, Limits, PluginRef, Policy, Resolution, Role, RootId, RunId, Scope, Spawn, SpawnRequest,
    Submit, Surface, Tenant, Timestamp, Tree,
};
use pleach_store::{Store, TreeFilter, TreeSummary};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::breakers::Breakers;
use crate::builder::HostBuilder;
use crate::clock::Clock;
use crate::dispatch::Dispatcher;
use crate::driver::calls::over_stored_bytes;
use crate::driver::{Driver, Shared};
use crate::error::Error;
use crate::graphs::Graphs;
use crate::guests::Guests;
use crate::habits::Habits;
use crate::live::{Inner, Leaving};
use crate::mailbox::{Input, Mailbox};
use crate::missing::Missing;
use crate::program::Programs;
use crate::publish::NO_VERSION;
use crate::recover;
use crate::registry::Registry;
use crate::run::Run;
use crate::submission::Submission;

/// Which runs to list.
#[derive(Clone, Debug)]
pub struct RunFilter {
    /// Only those whose root has this status.
    pub status: Option<String>,
    pub limit: usize,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self { status: None, limit: 100 }
    }
}

/// Runs trees for one tenant. Cheap to clone; all clones share everything.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
    tenant: Tenant,
}

impl Host {
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    pub(crate) fn start(
        store: Arc<dyn Store>,
        guests: Arc<dyn Guests>,
        ceilings: Limits,
        habits: Habits,
        clock: Clock,
    ) -> Self {
        let dispatcher = Dispatcher::new(guests.live().clone(), guests.memory_bytes(), Handle::current());
        let shared = Shared {
            store,
            guests,
            registry: Registry::default(),
            dispatcher,
            breakers: Breakers::new(habits.circuit_breaker),
            clock,
            runtime: Handle::current(),
            graphs: Graphs::default(),
            programs: Programs::default(),
            missing: Missing::default(),
            habits,
        };
        let inner = Inner::new(Arc::new(shared), ceilings);
        let weak = Arc::downgrade(&inner);
        inner.shared.store.watch(Box::new(move |messages| {
            let Some(inner) = weak.upgrade() else { return };
            for (root, message) in messages {
                inner.deliver(root, &message);
            }
        }));
        Self { inner, tenant: Tenant::default_tenant() }
    }

    /// The same host, for another tenant.
    pub fn for_tenant(&self, tenant: Tenant) -> Self {
        Self { inner: self.inner.clone(), tenant }
    }

    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.inner.shared.store
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.shared.registry
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.inner.shared.programs
    }

    /// What no policy goes beyond here.
    pub(crate) fn ceilings(&self) -> &Limits {
        &self.inner.ceilings
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// The mailbox of a tree of this tenant that runs here.
    pub(crate) fn live(&self, root: RootId) -> Option<Arc<Mailbox>> {
        self.inner.live(root).filter(|mailbox| mailbox.tenant == self.tenant)
    }

    /// Waits until a tree is not on the list of those that run here.
    pub(crate) async fn has_left(&self, root: RootId) {
        self.inner.until(|live| !live.contains_key(&root)).await;
    }

    pub(crate) fn no_such_run(&self, run: RunId) -> Error {
        Error::NotFound {
            what: "run",
            name: run.to_string(),
            hint: format!("list the runs of tenant {} in this store", self.tenant),
        }
    }

    /// The tenant's policy; the built-in one, which allows no spawn, where none
    /// was set.
    pub async fn policy(&self) -> Result<Policy, Error> {
        let Some((version, document)) = self.store().policy(&self.tenant).await? else {
            return Ok(Policy::default());
        };
        let mut policy: Policy = serde_json::from_str(&document)
            .map_err(|e| Error::invalid("reading the stored policy", format!("version {version}: {e}")))?;
        policy.version = version;
        Ok(policy)
    }

    /// Makes a policy the tenant's; the number of its version. New trees are
    /// decided under it, running ones keep theirs.
    pub async fn set_policy(&self, mut policy: Policy) -> Result<u64, Error> {
        policy.version = 0;
        let document = serde_json::to_string(&policy).map_err(|e| Error::invalid("writing a policy", e))?;
        Ok(self.store().put_policy(&self.tenant, document).await?)
    }

    pub(crate) async fn check_stored_bytes(
        &self,
        action: &'static str,
        policy: &Policy,
        more: u64,
    ) -> Result<(), Error> {
        let Some(limit) = policy.quotas.stored_bytes else { return Ok(()) };
        let used = self.store().stored_bytes(&self.tenant).await?;
        if used.saturating_add(more) <= limit {
            return Ok(());
        }
        let mut denial = over_stored_bytes(action, limit, used);
        denial.requested = Some(more);
        denial.policy_version = policy.version;
        Err(Error::Denied(Box::new(denial)))
    }

    /// Admits a root run. When this returns, the run is in the log.
    pub async fn submit(&self, submission: Submission) -> Result<Run, Error> {
        self.submit_as(RootId(uuid::Uuid::now_v7().as_u128()), submission).await
    }

    /// As [`Host::submit`], under an id that no tree has yet.
    pub(crate) async fn submit_as(&self, root: RootId, submission: Submission) -> Result<Run, Error> {
        if self.inner.is_closing() {
            return Err(Error::ShuttingDown);
        }
        let shared = &self.inner.shared;
        let mut policy = match submission.policy {
            Some(policy) => policy,
            None => self.policy().await?,
        };
        policy.limits = policy.limits.tightest(&self.inner.ceilings);
        check_policy(&policy)?;
        self.check_stored_bytes("submit", &policy, 1).await?;
        // While the store cannot keep up, new work waits here.
        if let Some(room) = self.store().room() {
            room.await;
        }
        shared.registry.refresh(self.store().as_ref(), &self.tenant).await?;
        let mut limits = submission.limits.apply(&policy.limits);
        let (mut agent, mut timeout_ms, mut budget) = (submission.agent, submission.timeout_ms, submission.budget);
        let (mut found, mut fairness, mut warnings) = (None, submission.fairness, Vec::new());
        if let Some(source) = submission.graph {
            let (plugin, settings, doubts) = self.admit_graph(&policy, &submission.grant, source).await?;
            warnings = doubts;
            agent = plugin.name.to_string();
            limits = settings.tighten(&limits);
            timeout_ms = [timeout_ms, settings.timeout_ms].into_iter().flatten().min();
            budget = settings.budget_within(&budget);
            fairness = settings.fairness_or(fairness);
            found = Some(Resolution::Found(plugin));
        } else if let Some(version) = &submission.program {
            found = Some(shared.programs.resolve(&agent, version)?);
        }
        let request = SpawnRequest {
            scopes: submission.grant,
            timeout_ms,
            retry: submission.retry,
            budget,
            priority: submission.priority,
            fallbacks: submission.fallbacks.into_iter().map(Arc::from).collect(),
            ..SpawnRequest::new(agent, submission.input)
        };
        let resolve = |target: &str| shared.registry.resolve(&self.tenant, target);
        let mut spawn = Spawn::resolved(request.into(), resolve);
        if let Some(found) = found {
            spawn.resolution = found;
        }
        let submit = Submit { limits, spawn, fairness };
        let tree = Tree::open(self.now(), root, self.tenant.clone(), Arc::new(policy), Surface::Api, submit)?;
        self.drive(tree).await?;
        Ok(Run::new(root.run(), self.clone()).with_warnings(warnings))
    }

    /// Checks a graph and keeps it, so that whoever recovers its run finds it by its
    /// digest.
    async fn admit_graph(
        &self,
        policy: &Policy,
        grant: &Grant,
        source: Source,
    ) -> Result<(Arc<PluginRef>, Settings, Vec<Diagnostic>), Error> {
        if !policy.surfaces.graph {
            let message = format!("tenant {} may not run graphs", self.tenant);
            let mut denial = Denial::new(Code::FeatureDisabled, "run_graph", message);
            denial.policy_version = policy.version;
            return Err(Error::Denied(Box::new(denial)));
        }
        let (plan, warnings) =
            match self.compile_as(&source, policy.clone(), Some(grant.clone()), None).await?.accepted() {
                Ok(accepted) => accepted,
                Err(problems) => return Err(Error::Graph { file: source, problems }),
            };
        let text = source.text().as_bytes().to_vec();
        self.check_stored_bytes("submit", policy, text.len() as u64).await?;
        let digest: Arc<str> = self.store().put_component(text).await?.into();
        let plugin = PluginRef {
            name: plan.name.clone(),
            version: NO_VERSION.into(),
            digest: digest.clone(),
            role: Role::Agent,
        };
        let settings = plan.settings.clone();
        self.inner.shared.graphs.keep(&digest, plan);
        Ok((Arc::new(plugin), settings, warnings))
    }

    /// Gives a new tree a task of its own; returns once its opening is on disk.
    async fn drive(&self, tree: Tree) -> Result<(), Error> {
        let root = tree.id();
        let Some((leaving, inbox)) = self.inner.enlist(root, self.tenant.clone())? else {
            return Err(Error::invalid("opening a tree", format!("there is a run {} already", root.run())));
        };
        let mut driver = Driver::new(self.inner.shared.clone(), tree, (0, 0), leaving.mailbox.clone(), inbox);
        let (reply, opened) = oneshot::channel();
        driver.hold_until_open(reply);
        leaving.drive(Box::new(driver));
        opened.await.unwrap_or(Err(Error::ShuttingDown))
    }

    /// Takes up every unfinished tree, of every tenant, whose host is gone: runs
    /// that had not ended go on where the log ends. Gives the trees that were
    /// taken up; one whose log cannot be read is among
    /// [`Host::unrecovered`] later, and nothing of it is changed.
    pub async fn recover(&self) -> Result<Vec<TreeSummary>, Error> {
        let mut taken_up = Vec::new();
        for summary in self.store().unfinished().await? {
            if self.inner.is_live(summary.root) {
                continue;
            }
            self.inner.shared.registry.refresh(self.store().as_ref(), &summary.tenant).await?;
            // Listed before it is adopted: a message that waits for the new owner
            // is handed over at once.
            let Some((leaving, inbox)) = self.inner.enlist(summary.root, summary.tenant.clone())? else { continue };
            if self.store().adopt(summary.root).await? {
                self.take_up(leaving, inbox);
                taken_up.push(summary);
            }
        }
        Ok(taken_up)
    }

    /// Takes up one unfinished tree of the tenant whose host is gone, and gives
    /// its run, which may also have ended, or run here or elsewhere already.
    pub async fn resume(&self, run: RunId) -> Result<Run, Error> {
        let run = self.run(run).await?;
        let root = run.id().root;
        let unfinished = self.store().tree(root).await?.is_some_and(|tree| tree.finished_at.is_none());
        if unfinished && !self.inner.is_live(root) {
            self.inner.shared.registry.refresh(self.store().as_ref(), &self.tenant).await?;
            if let Some((leaving, inbox)) = self.inner.enlist(root, self.tenant.clone())?
                && self.store().adopt(root).await?
            {
                self.take_up(leaving, inbox);
            }
        }
        Ok(run)
    }

    /// Gives a tree of another host a task, which begins with its log.
    fn take_up(&self, leaving: Leaving, inbox: mpsc::UnboundedReceiver<Input>) {
        let shared = self.inner.shared.clone();
        self.inner.note_stopped(leaving.mailbox.root, None);
        self.inner.shared.runtime.spawn(async move {
            let root = leaving.mailbox.root;
            let unknown = || pleach_store::Error::NoSuchTree { tree: root }.into();
            let tree = recover::tree_and_snapshot(shared.store.as_ref(), root).await;
            let tree = tree.and_then(|tree| tree.ok_or_else(unknown));
            match tree {
                Ok((tree, snapshot_seq)) => {
                    let on_disk = (tree.seq(), snapshot_seq);
                    let driver = Driver::new(shared, tree, on_disk, leaving.mailbox.clone(), inbox);
                    leaving.drive(Box::new(driver));
                }
                // Whoever waits is told, and whoever asks for `unrecovered`.
                Err(error) => {
                    tracing::info!(run_id = %root, %error, "a tree cannot be recovered; nothing of it was changed");
                    leaving.inner.note_stopped(root, Some(Error::unrecovered(root.run(), error)));
                }
            }
        });
    }

    /// Lists a tree as one that something is done to here, as long as the value
    /// lives; none where it is listed already.
    pub(crate) fn occupy(&self, root: RootId) -> Result<Option<impl Drop + use<>>, Error> {
        Ok(self.inner.enlist(root, self.tenant.clone())?.map(|(leaving, _)| leaving))
    }

    /// Why this host does not go on with a tree that it had, if it cannot.
    pub(crate) fn why_stopped(&self, root: RootId) -> Option<Error> {
        self.inner.unrecovered.lock().unwrap_or_else(PoisonError::into_inner).get(&root).cloned()
    }

    /// Trees of any tenant that this host had and could not go on with.
    pub fn unrecovered(&self) -> Vec<(RunId, Error)> {
        let all = self.inner.unrecovered.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(root, error)| (root.run(), error.clone())).collect()
    }

    /// Plugins that unfinished runs wait for because the store lacks them:
    /// `name@version` and the digest that they are pinned to.
    pub fn missing_plugins(&self) -> Vec<(String, String)> {
        self.inner.shared.missing.list()
    }

    /// A run of the tenant, wherever it runs or ran.
    pub async fn run(&self, id: RunId) -> Result<Run, Error> {
        Run::new(id, self.clone()).exists().await
    }

    /// The tenant's trees, newest first.
    pub async fn runs(&self, filter: RunFilter) -> Result<Vec<TreeSummary>, Error> {
        let filter = TreeFilter { status: filter.status, limit: filter.limit, before: None };
        Ok(self.store().trees(&self.tenant, filter).await?)
    }

    /// Takes no new runs, waits up to `patience` for those of every tenant to
    /// end, and lets go of the store. What has not ended by then goes on when a
    /// host recovers the store; cancel it before to end it for good.
    pub async fn shutdown(&self, patience: Duration) -> Result<(), Error> {
        self.inner.close();
        if tokio::time::timeout(patience, self.inner.all_left()).await.is_err() {
            self.inner.detach_all();
            self.inner.all_left().await;
        }
        self.inner.shared.guests.shutdown().await;
        Ok(self.store().close().await?)
    }
}

/// What serde could not check about a policy.
pub(crate) fn check_policy(policy: &Policy) -> Result<(), Error> {
    let lists = policy.orchestrators.values().map(|entry| &entry.targets).chain([&policy.targets]);
    for target in lists.flatten() {
        let name = target.strip_suffix('*').unwrap_or(target);
        let bad = || {
            Error::invalid(
                "reading the policy",
                format!("`{target}` is no target: a plugin name, or the beginning of one and `*`"),
            )
        };
        if name.is_empty() && target != "*" || name.contains('*') {
            return Err(bad());
        }
        if !name.is_empty() && Scope::exact("spawn", name.trim_end_matches('-')).is_err() {
            return Err(bad());
        }
    }
    Ok(())
}

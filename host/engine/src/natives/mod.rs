//! A host of natives, for what is about many trees and tenants: its clock moves only
//! when nobody has anything to do, and who started when is written down.
//!
//! What happens when hosts die is in `simulation/`.

mod failing;
mod fair;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pleach_kernel::{
    CircuitBreaker, Grant, JoinPolicy, Limits, Payload, Policy, Priority, Query, Quotas, Retry, Role, RunError, Scope,
    SpawnRequest, Tenant, Timestamp, TreeView,
};
use pleach_sandbox::{
    CallError, Error, HostCalls, Inspection, Job, Kernel, Live, Plugin, Program, Running, Stop, start_native,
};
use pleach_store::{PluginRow, digest};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::ended::Ended;
use crate::guests::{BoxFuture, Bytes, Guests};
use crate::habits::Habits;
use crate::host::Host;
use crate::run::Run;
use crate::submission::Submission;

/// By then whatever still goes on hangs.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What the plugins are called; they are all the same.
const PLUGINS: [&str; 4] = ["lead", "quick", "slow", "spare"];

/// What a guest does, one after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Act {
    Sleep(u64),
    /// Spawns so many of each as a group, and joins it.
    Group(Vec<(usize, Child)>),
    /// Fails with this code, and whether another try may mend it.
    Fail(String, bool),
    /// Waits for what never comes, and asks the host nothing: it ends where it is interrupted.
    Hang,
}

/// A run to spawn, or to submit.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Child {
    plugin: String,
    acts: Vec<Act>,
    priority: Priority,
    fallbacks: Vec<String>,
    retry: Option<Retry>,
    timeout_ms: Option<u64>,
}

impl Child {
    fn of(plugin: &str, acts: impl Into<Vec<Act>>) -> Self {
        let (plugin, acts, priority) = (plugin.to_owned(), acts.into(), Priority::Medium);
        Self { plugin, acts, priority, fallbacks: Vec::new(), retry: None, timeout_ms: None }
    }

    fn at(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    fn request(&self) -> SpawnRequest {
        SpawnRequest {
            priority: self.priority,
            fallbacks: self.fallbacks.iter().map(|name| name.as_str().into()).collect(),
            retry: self.retry,
            timeout_ms: self.timeout_ms,
            ..SpawnRequest::new(self.plugin.as_str(), Payload::of(&self.acts).unwrap())
        }
    }
}

/// What is outside of the host.
#[derive(Default)]
struct Outside {
    /// Who has started, in order: the tenant and the plugin.
    started: Vec<String>,
    /// Plugins that fail whatever they are told to do.
    broken: BTreeSet<&'static str>,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Outside>>);

impl World {
    fn outside(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self) -> Vec<String> {
        self.outside().started.clone()
    }
}

/// One plugin.
struct Player {
    name: &'static str,
    world: World,
}

impl Program for Player {
    fn run(&self, mut calls: HostCalls, input: Payload) -> Running {
        let is_broken = {
            let mut outside = self.world.outside();
            outside.started.push(format!("{} {}", calls.lineage().tenant, self.name));
            outside.broken.contains(self.name)
        };
        let name = self.name;
        Box::pin(async move {
            if is_broken {
                return Err(RunError { retryable: true, ..RunError::new("broken", "it is broken") });
            }
            let acts: Vec<Act> = serde_json::from_str(input.as_str()).unwrap();
            for act in acts {
                act_out(&mut calls, act).await?;
            }
            Ok(Payload::of(name).unwrap())
        })
    }
}

async fn act_out(calls: &mut HostCalls, act: Act) -> Result<(), RunError> {
    let done = match act {
        Act::Sleep(ms) => calls.sleep_ms(ms).await,
        Act::Group(children) => {
            let members = children.iter().flat_map(|(count, child)| vec![child.request(); *count]).collect();
            match calls.spawn_group(members, None, JoinPolicy::default()).await {
                Ok(spawned) => calls.join(spawned.group_id).await.map(drop),
                Err(error) => Err(error),
            }
        }
        Act::Hang => return pending().await,
        Act::Fail(code, retryable) => return Err(RunError { retryable, ..RunError::new(&code, "as told") }),
    };
    done.map_err(|error| match error {
        CallError::Denied(denial) => RunError::new(denial.code.as_str(), denial.message.clone()),
        CallError::Failed { code, message, .. } => RunError::new("failed", format!("{code}: {message}")),
    })
}

struct Natives {
    plugins: BTreeMap<String, Arc<Plugin>>,
    live: Live,
}

impl Guests for Natives {
    fn inspect(&self, _: &[u8]) -> Result<Inspection, Error> {
        Err(Error::ShutDown)
    }

    fn cached(&self, digest: &str) -> Option<Arc<Plugin>> {
        self.plugins.get(digest).cloned()
    }

    fn load<'a>(&'a self, digest: &'a str, _: Bytes) -> BoxFuture<'a, Result<Arc<Plugin>, Error>> {
        Box::pin(async { self.cached(digest).ok_or(Error::ShutDown) })
    }

    fn start(&self, plugin: &Arc<Plugin>, job: Job, kernel: Arc<dyn Kernel>) -> Stop {
        let (stop, running) = start_native(plugin, job, kernel);
        tokio::spawn(running);
        stop
    }

    fn drive(&self, _: &Tenant, driver: BoxFuture<'static, ()>) {
        tokio::spawn(driver);
    }

    fn is_crowded(&self) -> bool {
        false
    }

    fn live(&self) -> &Live {
        &self.live
    }

    fn memory_bytes(&self) -> u64 {
        1
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A host with so many places, on which every tenant has every plugin.
struct Scene {
    host: Host,
    world: World,
    limits: Limits,
    quotas: Quotas,
}

/// Plays a scene to its end.
fn play<T: Future<Output = ()>>(places: usize, breaker: Option<CircuitBreaker>, scene: impl FnOnce(Scene) -> T) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let scene = scene(Scene::new(places, breaker).await);
        tokio::time::timeout(PATIENCE, scene).await.expect("something hangs");
    });
}

impl Scene {
    async fn new(places: usize, circuit_breaker: Option<CircuitBreaker>) -> Self {
        let world = World::default();
        let native = |name: &'static str| {
            let digest = digest(name.as_bytes());
            let program = Arc::new(Player { name, world: world.clone() });
            (digest.clone(), Plugin::native(digest, Role::Agent, program))
        };
        let guests = Natives { plugins: PLUGINS.map(native).into(), live: Live::new(places) };
        let store = pleach_store::open("memory:").await.unwrap();
        for tenant in ["default", "other"] {
            for name in PLUGINS {
                store.put_plugin(row(tenant.parse().unwrap(), name), name.into()).await.unwrap();
            }
        }
        let habits = Habits {
            grace: Duration::from_millis(100),
            park_after: Duration::from_secs(60),
            snapshot_every: 1_000_000,
            circuit_breaker,
        };
        let clock = Clock::from(1_800_000_000_000_000_000);
        let host = Host::start(store, Arc::new(guests), Limits::CEILING, habits, clock);
        let limits = Limits { max_depth: 5, max_fanout: 20_000, max_children_total: 20_000, ..Limits::SEED };
        let limits = Limits { join_timeout_ms: 3_600_000, ..limits };
        Self { host, world, limits, quotas: Quotas::default() }
    }

    fn submission(&self, root: &Child) -> Submission {
        let request = root.request();
        let scopes = vec!["spawn:*".parse::<Scope>().unwrap()];
        let mut submission = Submission::new(&root.plugin, request.input);
        submission.grant = Grant::new(scopes.clone(), scopes.clone());
        submission.priority = root.priority;
        submission.fallbacks = root.fallbacks.clone();
        submission.retry = root.retry;
        submission.timeout_ms = root.timeout_ms;
        let (limits, quotas) = (self.limits, self.quotas);
        submission.policy = Some(Policy { targets: vec!["*".into()], scopes, limits, quotas, ..Policy::default() });
        submission
    }

    async fn submit(&self, root: &Child) -> Run {
        self.host.submit(self.submission(root)).await.unwrap()
    }

    /// Runs a root to its end.
    async fn run(&self, root: &Child) -> Ended {
        self.submit(root).await.wait().await.unwrap()
    }

    fn other(&self) -> Host {
        self.host.for_tenant("other".parse().unwrap())
    }

    /// Waits until so many guests have started.
    async fn until_started(&self, count: usize) {
        while self.world.started().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn view(run: &Run) -> TreeView {
    run.tree(Query::default()).await.unwrap()
}

fn row(tenant: Tenant, name: &str) -> PluginRow {
    PluginRow {
        tenant,
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        digest: digest(name.as_bytes()),
        role: "agent".to_owned(),
        description: String::new(),
        size: name.len() as u64,
        published_at: Timestamp(0),
        published: true,
    }
}

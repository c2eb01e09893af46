//! The kernel of these tests, and how they start guests: nothing is decided
//! here but what a test says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pleach_kernel::{Budget, Finish, Grant, Lineage, Outcome, Payload, RootId, RunError, RunId, Tenant, Timestamp};
use pleach_sandbox::{Call, Config, GuestLimits, Job, Kernel, Meter, Parked, Plugin, Replay, Reply, Sandbox, Stop};
use serde_json::Value;
use tokio::sync::mpsc;

/// Longer than anything here takes, shorter than anyone's patience.
const PATIENCE: Duration = Duration::from_secs(60);

/// A committed component of `tests/guests` or `plugins`.
pub fn component(name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let places = [root.join("tests/guests").join(name), root.join("plugins").join(name)];
    let path = places.iter().map(|place| place.join(format!("{name}.wasm"))).find(|path| path.exists());
    let path = path.unwrap_or_else(|| panic!("there is no component {name}: run `pleach plugin build --all`"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A sandbox of a few slots, with compiled code kept for the whole test run.
pub fn sandbox(limits: GuestLimits) -> Sandbox {
    sandbox_of(Config { limits, ..config() })
}

pub fn config() -> Config {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("code");
    Config { code_cache: Some(cache), workers: 2, pool_slots: 64, ..Config::default() }
}

pub fn sandbox_of(config: Config) -> Sandbox {
    Sandbox::new(config).unwrap_or_else(|e| panic!("{e}"))
}

pub async fn load(sandbox: &Sandbox, bytes: Vec<u8>) -> Arc<Plugin> {
    let digest = sandbox.inspect(&bytes).unwrap_or_else(|e| panic!("{e}")).digest;
    sandbox.load(&digest, || async { Ok(bytes) }).await.unwrap_or_else(|e| panic!("{e}"))
}

type Decide = dyn Fn(RunId, Call) + Send + Sync;

/// Records what it is told, answers with what a test decides, and lets sleepers
/// sleep.
pub struct Fake {
    decide: Box<Decide>,
    told: Mutex<Vec<Call>>,
    sleepers: Mutex<Vec<Sleeper>>,
    finishes: mpsc::UnboundedSender<Finish>,
}

/// Kept by the kernel and not by the task that wakes it: that one goes down with
/// the guests' threads, and no sleeper may hear of it.
type Sleeper = Arc<Mutex<Option<Reply<Timestamp>>>>;

impl Fake {
    /// Calls that want an answer go to `decide`; the others are kept.
    pub fn new(decide: impl Fn(RunId, Call) + Send + Sync + 'static) -> (Arc<Self>, Finishes) {
        let (finishes, receiver) = mpsc::unbounded_channel();
        let fake = Self { decide: Box::new(decide), told: Mutex::default(), sleepers: Mutex::default(), finishes };
        (Arc::new(fake), Finishes(receiver))
    }

    /// Drops every call that wants an answer.
    pub fn silent() -> (Arc<Self>, Finishes) {
        Self::new(|_, call| drop(call))
    }

    /// Progress and denials so far.
    pub fn told(&self) -> Vec<Call> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Kernel for Fake {
    fn call(&self, run: RunId, call: Call) {
        match call {
            Call::Progress { .. } | Call::Deny { .. } => self.told.lock().unwrap().push(call),
            Call::Record { .. } => {}
            Call::Sleep { duration_ms, reply, .. } => {
                let woken_at = Timestamp(self.now_nanos() / 1_000_000).plus_ms(duration_ms);
                let sleeper = Arc::new(Mutex::new(Some(reply)));
                self.sleepers.lock().unwrap().push(sleeper.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(duration_ms)).await;
                    if let Some(reply) = sleeper.lock().unwrap().take() {
                        let _ = reply.send(Ok(woken_at));
                    }
                });
            }
            call => (self.decide)(run, call),
        }
    }

    fn finished(&self, finish: Finish) {
        let _ = self.finishes.send(finish);
    }

    fn parked(&self, parked: Parked) {
        panic!("{parked:?}: nobody asked for that");
    }

    fn now_nanos(&self) -> u64 {
        nanos_now()
    }
}

pub fn nanos_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

pub struct Finishes(mpsc::UnboundedReceiver<Finish>);

impl Finishes {
    pub async fn next(&mut self) -> Finish {
        let next = tokio::time::timeout(PATIENCE, self.0.recv()).await;
        next.expect("a guest that never ends").expect("a kernel that is gone")
    }

    /// Nothing more was said.
    pub fn is_empty(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// A job in a tree of its own; `change` says what is special about it.
pub fn job(sandbox: &Sandbox, input: &Value, change: impl FnOnce(&mut Job)) -> Job {
    let mut job = Job {
        lineage: lineage(RootId(7).run()),
        asked_by: None,
        grant: Grant::default(),
        input: Payload::of(input).unwrap(),
        deadline: None,
        started_at: Timestamp(1_700_000_000_000),
        seed: 42,
        policy_version: 3,
        accounts: None,
        permit: sandbox.try_acquire_live().expect("a place for a guest"),
        replay: Replay::default(),
    };
    change(&mut job);
    job
}

pub fn lineage(run_id: RunId) -> Lineage {
    Lineage {
        run_id,
        root_run_id: run_id.root.run(),
        parent_run_id: None,
        parent_node_id: None,
        depth: 0,
        spawn_key: None,
        group_id: None,
        ordinal: None,
        attempt: 1,
        tenant: Tenant::default_tenant(),
        trace_id: run_id.root.trace_id().into(),
    }
}

pub fn grant(can_use: &[&str]) -> Grant {
    Grant::new(can_use.iter().map(|scope| scope.parse().unwrap()), [])
}

/// Runs one guest to its end.
pub async fn run(sandbox: &Sandbox, plugin: &Arc<Plugin>, input: &Value) -> Outcome {
    run_with(sandbox, plugin, input, |_| {}).await.outcome
}

pub async fn run_with(sandbox: &Sandbox, plugin: &Arc<Plugin>, input: &Value, change: impl FnOnce(&mut Job)) -> Finish {
    let (fake, mut finishes) = Fake::silent();
    sandbox.start(plugin, job(sandbox, input, change), fake);
    finishes.next().await
}

/// Starts a guest and leaves it to the test.
pub fn start(sandbox: &Sandbox, plugin: &Arc<Plugin>, input: &Value, kernel: Arc<Fake>) -> Stop {
    sandbox.start(plugin, job(sandbox, input, |_| {}), kernel)
}

pub fn output(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Completed(output) => serde_json::from_str(output.as_str()).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub fn error(outcome: Outcome) -> RunError {
    match outcome {
        Outcome::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Accounts that hold so much.
pub struct Purse {
    pub host_calls: Mutex<u64>,
    pub cpu_us: Mutex<u64>,
}

impl Purse {
    pub fn of(budget: Budget) -> Arc<Self> {
        let cpu_us = budget.cpu_ms.map_or(u64::MAX, |ms| ms * 1_000);
        Arc::new(Self { host_calls: budget.host_calls.unwrap_or(u64::MAX).into(), cpu_us: cpu_us.into() })
    }
}

fn spend(left: &Mutex<u64>, amount: u64) -> Result<(), pleach_sandbox::Exhausted> {
    let mut left = left.lock().unwrap();
    if *left == 0 {
        return Err(pleach_sandbox::Exhausted);
    }
    *left = left.saturating_sub(amount);
    Ok(())
}

impl Meter for Purse {
    fn host_call(&self) -> Result<(), pleach_sandbox::Exhausted> {
        spend(&self.host_calls, 1)
    }

    fn host_call_replayed(&self) {
        let mut left = self.host_calls.lock().unwrap();
        *left = left.saturating_sub(1);
    }

    fn cpu(&self, micros: u64) -> Result<(), pleach_sandbox::Exhausted> {
        spend(&self.cpu_us, micros)
    }
}

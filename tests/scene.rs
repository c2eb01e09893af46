//! A host with guests published, and scripts for them to run.
//!
//! A script is a list of host calls that the guest `script` makes in order; see
//! `tests/guests/script`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pleach_engine::kernel::{Grant, Payload, Policy, RunStatus};
use pleach_engine::{Ended, EventRecord, Host, HostBuilder, Publish, Run, Submission};
use serde_json::{Value, json};

/// What nothing in these tests takes, so that a hang is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Scene {
    pub host: Host,
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn guest(name: &str) -> Vec<u8> {
    let path = repository().join(format!("tests/guests/{name}/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn plugin(name: &str) -> Vec<u8> {
    let path = repository().join(format!("plugins/{name}/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A policy that allows a lot.
pub fn open_policy() -> Policy {
    policy(json!({
        "targets": ["*"],
        "scopes": ["spawn:*", "run.cancel:*", "run.abandon:*", "fs.read:*"],
        "limits": {
            "max_depth": 100, "max_fanout": 5000, "max_children_total": 20000, "max_concurrency": 5000,
        },
    }))
}

pub fn policy(document: Value) -> Policy {
    serde_json::from_value(document).unwrap_or_else(|e| panic!("{e}"))
}

pub fn grant() -> Grant {
    let scopes = ["spawn:*", "run.cancel:*", "run.abandon:*", "fs.read:*"];
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    Grant::new(scopes.clone(), scopes)
}

/// What `grant` is for a child, in a script.
pub fn everything() -> Value {
    let scopes = json!(["spawn:*", "run.cancel:*", "run.abandon:*", "fs.read:*"]);
    json!({"can_use": scopes, "can_delegate": scopes})
}

impl Scene {
    /// A host in memory with the guests `echo` and `script`.
    pub async fn new() -> Self {
        Self::with(Host::builder()).await
    }

    pub async fn with(builder: HostBuilder) -> Self {
        let host = builder.build().await.unwrap_or_else(|e| panic!("{e}"));
        let scene = Self { host };
        scene.publish(&["echo", "script"]).await;
        scene
    }

    pub async fn publish(&self, guests: &[&str]) {
        for name in guests {
            let published = self.host.publish(guest(name), Publish::default()).await;
            published.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    pub fn script(&self, steps: &Value) -> Submission {
        let mut submission = Submission::new("script", Payload::of(steps).unwrap());
        submission.grant = grant();
        submission.policy = Some(open_policy());
        submission
    }

    pub async fn submit(&self, submission: Submission) -> Run {
        self.host.submit(submission).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs a script to its end, and gives the answers to its steps.
    pub async fn play(&self, steps: Value) -> Vec<Value> {
        let run = self.submit(self.script(&steps)).await;
        answers(&wait(&run).await)
    }

    pub async fn shut_down(self) {
        self.host.shutdown(PATIENCE).await.unwrap_or_else(|e| panic!("{e}"));
    }
}

pub async fn wait(run: &Run) -> Ended {
    let ended = tokio::time::timeout(PATIENCE, run.wait()).await;
    ended.unwrap_or_else(|_| panic!("run {} does not end", run.id())).unwrap_or_else(|e| panic!("{e}"))
}

pub fn answers(ended: &Ended) -> Vec<Value> {
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    serde_json::from_str(ended.output.as_ref().unwrap().as_str()).unwrap()
}

/// Every event of a run's tree, once it has ended.
pub async fn log(run: &Run) -> Vec<EventRecord> {
    let mut stream = run.events(1);
    let mut events = Vec::new();
    while let Some(event) = tokio::time::timeout(PATIENCE, stream.next()).await.expect("the stream does not end") {
        events.push(event.unwrap_or_else(|e| panic!("{e}")));
    }
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event.seq, seq, "the log has a gap");
    }
    events
}

/// The data of every event of one kind.
pub fn facts(events: &[EventRecord], name: &str) -> Vec<Value> {
    let of_kind = events.iter().filter(|event| event.event == format!("orchestration.{name}"));
    of_kind.map(|event| serde_json::from_str(event.data.as_str()).unwrap()).collect()
}

/// Waits for an event that `wanted` says yes to.
pub async fn until(run: &Run, mut wanted: impl FnMut(&EventRecord, &Value) -> bool) {
    let mut stream = run.events(1);
    loop {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await.expect("the event does not come");
        let event = next.expect("the tree ended before the event came").unwrap_or_else(|e| panic!("{e}"));
        let data: Value = serde_json::from_str(event.data.as_str()).unwrap();
        if wanted(&event, &data) {
            return;
        }
    }
}

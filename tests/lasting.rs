//! A store that outlasts its hosts, work that is under way when one of them
//! stops, and what has to be the same whether or not it did.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pleach_engine::kernel::RunId;
use pleach_engine::{EventRecord, Host, HostBuilder, Run};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scene::{Scene, everything, until};

/// What nothing in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a SQLite file, a cache of compiled guests and a folder to read.
pub struct Lasting {
    folder: TempDir,
}

impl Lasting {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("docs")).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("pleach.db")
    }

    /// A file below the root `docs`.
    pub fn doc(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join("docs").join(name), text).unwrap();
    }

    pub fn builder(&self) -> HostBuilder {
        Host::builder()
            .store(&format!("sqlite:{}", self.path().display()))
            .code_cache(self.folder.path().join("cache"))
            .root("docs", self.folder.path().join("docs"))
    }

    /// The first host, with guests published.
    pub async fn scene(&self) -> Scene {
        let scene = Scene::with(self.builder()).await;
        scene.publish(&["fan-out"]).await;
        scene
    }

    /// Another host, which takes up what is unfinished.
    pub async fn host(&self) -> Host {
        self.builder().build().await.unwrap_or_else(|e| panic!("{e}"))
    }
}

/// Lets go of a host at once: what has not ended stays unfinished.
pub async fn stop(host: Host) {
    host.shutdown(Duration::ZERO).await.unwrap_or_else(|e| panic!("{e}"));
}

/// Waits until something is so that no event tells of.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !so().await {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come true");
        tokio::task::yield_now().await;
    }
}

/// Waits until the journals of a run's tree have so many answers.
pub async fn journaled(host: &Host, run: RunId, entries: u64) {
    eventually("that so much is journaled", async || host.size(run).await.unwrap().journal_entries >= entries).await;
}

/// A tree whose guests come to wait in a join, an agent call and sleeps, and for
/// another try. What it gives back is the same however long each takes.
pub fn waiting(ms: u64) -> Value {
    // Only the root's steps refer to answers: a reference further down would be
    // to the root's, too.
    let sleep = json!({"op": "sleep", "ms": ms});
    let sleeper = json!([
        {"op": "now"}, {"op": "progress", "message": "before"}, sleep,
        {"op": "progress", "message": "after"}, {"op": "return", "value": "slept"},
    ]);
    let callee = json!([sleep, {"op": "return", "value": "called"}]);
    let caller = json!([{"op": "call", "target": "script", "spawn_key": "callee", "input": callee}]);
    let joiner = json!({"target": "script", "count": 2, "input": [sleep], "key_prefix": "j"});
    let retry = json!({"max_attempts": 2, "backoff": "fixed", "initial_ms": ms, "max_ms": ms, "jitter": 0.0});
    let failing = json!([
        {"op": "progress", "message": "a try"}, {"op": "fail", "code": "flaky", "message": "not now", "retryable": true},
    ]);
    json!([
        {"op": "progress", "message": "begun"},
        {"op": "read", "path": "docs/a.txt"},
        {"op": "group", "key_prefix": "w", "members": [
            {"target": "script", "input": sleeper},
            {"target": "script", "input": caller, "scopes": everything()},
            {"target": "fan-out", "input": joiner, "scopes": everything()},
            {"target": "script", "input": failing, "retry": retry},
        ]},
        {"op": "spawn", "target": "nobody"},
        {"op": "remaining_budget"},
        {"op": "join", "group": "$2.group_id"},
        {"op": "progress", "message": "done"},
        {"op": "return", "value": [
            "$1.text", "$3.denied.code", "$5.outputs.0.output", "$5.outputs.1.output.0.ok.output",
            "$5.outputs.2.output.joined.status", "$5.outputs.2.output.joined.success_count",
            "$5.outputs.3.error.code",
        ]},
    ])
}

/// Waits until all that can wait in [`waiting`] does, and that is on disk.
pub async fn until_all_wait(host: &Host, run: &Run) {
    until(run, |_, data| data["status"] == "retrying").await;
    // The root's reading, refusal and budget, and four that have begun to sleep.
    journaled(host, run.id(), 7).await;
}

/// What happened in a tree, whatever the order in which neighbours got on: each
/// event with its run as spawn keys name it, sorted.
pub fn story(events: &[EventRecord]) -> Vec<String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut story = Vec::new();
    for event in events {
        let data: Value = serde_json::from_str(event.data.as_str()).unwrap();
        let by = names.get(&event.run_id.to_string()).cloned().unwrap_or_default();
        let runs = data["runs"].as_array().into_iter().flatten();
        for (run, spec) in data["spawned_run_ids"].as_array().into_iter().flatten().zip(runs) {
            let key = spec["spawn_key"].as_str().unwrap();
            names.insert(run.as_str().unwrap().to_owned(), format!("{by}/{key}"));
        }
        let of = data["child_run_id"].as_str().and_then(|run| names.get(run)).unwrap_or(&by);
        let kind = event.event.trim_start_matches("orchestration.");
        let part = |name: &str| data[name].as_str().unwrap_or_default();
        let target = &data["target"];
        story.push(format!("{of} {kind} {} {} {} {target}", part("status"), part("message"), data["attempt"]));
    }
    story.sort();
    story
}

//! A tree that an earlier version left unfinished, kept as it was. Every later
//! version has to take it up and come to the end that was recorded then.
//!
//! `PLEACH_BLESS=1` makes it anew, which is right only for a version that has
//! not been released. The component lies beside it: runs are pinned to its bytes,
//! and the guest of that name may change.

use std::path::{Path, PathBuf};

use pleach_engine::kernel::RunStatus;
use pleach_engine::{Host, Publish};
use serde_json::{Value, json};

use crate::lasting::{Lasting, eventually, journaled, stop, story};
use crate::scene::{Scene, everything, guest, log, open_policy, repository, until, wait};

/// So long that no golden file is too old.
const CENTURY_MS: u64 = 100 * 365 * 24 * 3_600_000;

/// The root's reading, refusal and budget, and two that have begun to sleep.
const ANSWERS: u64 = 5;

fn golden(name: &str) -> PathBuf {
    repository().join("tests/golden").join(name)
}

/// Guests in a join, an agent call and sleeps, and one between two tries.
fn steps(ms: u64) -> Value {
    let sleep = json!({"op": "sleep", "ms": ms});
    let sleeper = json!([
        {"op": "progress", "message": "before"}, sleep, {"op": "progress", "message": "after"},
        {"op": "return", "value": "slept"},
    ]);
    let callee = json!([sleep, {"op": "return", "value": "called"}]);
    let caller = json!([
        {"op": "call", "target": "script", "spawn_key": "callee", "input": callee, "timeout_ms": CENTURY_MS},
    ]);
    let retry = json!({"max_attempts": 2, "backoff": "fixed", "initial_ms": ms, "max_ms": ms, "jitter": 0.0});
    let failing = json!([{"op": "fail", "code": "flaky", "message": "not now", "retryable": true}]);
    let mut steps = vec![
        json!({"op": "read", "path": "docs/a.txt"}),
        json!({"op": "group", "key_prefix": "w", "members": [
            {"target": "script", "input": sleeper},
            {"target": "script", "input": caller, "scopes": everything()},
            {"target": "script", "input": failing, "retry": retry},
        ]}),
        json!({"op": "spawn", "target": "nobody"}),
        json!({"op": "remaining_budget"}),
    ];
    // Enough for a snapshot that has the runs in it.
    steps.extend((0..12).map(|n| json!({"op": "progress", "message": format!("report {n}")})));
    steps.extend([
        json!({"op": "join", "group": "$1.group_id"}),
        json!({"op": "progress", "message": "done"}),
        json!({"op": "return", "value": [
            "$0.text", "$2.denied.code", "$16.outputs.0.output", "$16.outputs.1.output.0.ok.output",
            "$16.outputs.2.error.code",
        ]}),
    ]);
    json!(steps)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_an_earlier_version_left_is_taken_up_to_its_end() {
    if std::env::var_os("PLEACH_BLESS").is_some() {
        bless().await;
    }
    let recorded: Value = serde_json::from_slice(&std::fs::read(golden("unfinished.json")).unwrap()).unwrap();
    let lasting = Lasting::new();
    std::fs::copy(golden("unfinished.db"), lasting.path()).unwrap();
    // Without the folder that was read: what was read is in the journal.
    let url = format!("sqlite:{}", lasting.path().display());
    let host = Host::builder().store(&url).build().await.unwrap();
    let trees = host.runs(Default::default()).await.unwrap();
    assert_eq!(trees.len(), 1, "{trees:?}");
    let id = trees[0].root.run();
    let size = host.size(id).await.unwrap();
    assert_eq!((size.journal_entries, size.snapshot_seq.is_some()), (ANSWERS, true), "{size:?}");
    eventually("that the plugin is missed", async || !host.missing_plugins().is_empty()).await;
    host.publish(std::fs::read(golden("script.wasm")).unwrap(), Publish::default()).await.unwrap();

    let run = host.run(id).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    let output: Value = serde_json::from_str(ended.output.unwrap().as_str()).unwrap();
    assert_eq!(output, recorded["output"]);
    assert_eq!(json!(story(&log(&run).await)), recorded["story"]);
    assert!(host.unrecovered().is_empty());
    let faults = host.check().await.unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    stop(host).await;
}

/// A run of the steps, in a host that never times out.
async fn begun(lasting: &Lasting, ms: u64) -> (Scene, pleach_engine::Run) {
    lasting.doc("a.txt", "what was read then");
    let mut policy = open_policy();
    policy.limits.join_timeout_ms = CENTURY_MS;
    let scene = Scene::with(lasting.builder().ceilings(policy.limits).snapshot_every(1)).await;
    let mut submission = scene.script(&steps(ms));
    submission.policy = Some(policy);
    let run = scene.submit(submission).await;
    (scene, run)
}

async fn bless() {
    let undisturbed = Lasting::new();
    let (scene, run) = begun(&undisturbed, 10).await;
    let output: Value = serde_json::from_str(wait(&run).await.output.expect("it completes").as_str()).unwrap();
    let recorded = json!({"output": output, "story": story(&log(&run).await)});
    scene.shut_down().await;
    let text = serde_json::to_string_pretty(&recorded).unwrap();
    std::fs::write(golden("unfinished.json"), format!("{text}\n")).unwrap();

    let lasting = Lasting::new();
    // Over when it is taken up, and not before it is left.
    let (scene, run) = begun(&lasting, 2_000).await;
    until(&run, |_, data| data["status"] == "retrying").await;
    journaled(&scene.host, run.id(), ANSWERS).await;
    eventually("a snapshot", async || scene.host.size(run.id()).await.unwrap().snapshot_seq.is_some()).await;
    stop(scene.host).await;
    leave_out_components(&lasting.path());
    std::fs::copy(lasting.path(), golden("unfinished.db")).unwrap();
    std::fs::write(golden("script.wasm"), guest("script")).unwrap();
}

/// They are most of the file, and lie beside it.
fn leave_out_components(path: &Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch(
        "UPDATE usage SET bytes = bytes - (SELECT sum(size) FROM plugins WHERE plugins.tenant = usage.tenant);
         DELETE FROM plugins; DELETE FROM components; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
    )
    .unwrap();
}

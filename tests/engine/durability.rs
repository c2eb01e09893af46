//! A host that goes away, and another one that takes up what it left: nothing is
//! done twice, nothing is forgotten, and time goes on meanwhile.

use std::time::{Duration, Instant};

use pleach_engine::kernel::RunStatus;
use pleach_engine::{Host, Publish, Submission};
use serde_json::{Value, json};

use crate::lasting::{Lasting, eventually, journaled, stop, story, until_all_wait, waiting};
use crate::scene::{Scene, facts, guest, log, open_policy, plugin, until, wait};

/// As long as a tree in the middle of its work is looked at.
const A_WHILE_MS: u64 = 1_500;

/// What a script's tree gives back and what happens in it, without disturbance.
async fn undisturbed(steps: &Value) -> (String, Vec<String>) {
    let lasting = Lasting::new();
    lasting.doc("a.txt", "first");
    let scene = lasting.scene().await;
    let run = scene.submit(scene.script(steps)).await;
    let output = wait(&run).await.output.expect("it completes");
    let story = story(&log(&run).await);
    scene.shut_down().await;
    (output.as_str().to_owned(), story)
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_wait_in_every_way_go_on_where_their_host_stopped() {
    let (expected, expected_story) = undisturbed(&waiting(10)).await;
    let lasting = Lasting::new();
    lasting.doc("a.txt", "first");
    let scene = lasting.scene().await;
    let run = scene.submit(scene.script(&waiting(A_WHILE_MS))).await;
    until_all_wait(&scene.host, &run).await;
    stop(scene.host).await;
    // Whoever was answered stays answered.
    lasting.doc("a.txt", "second");
    // Hosts that have no time to get anywhere do no harm.
    for _ in 0..2 {
        stop(lasting.host().await).await;
    }
    let host = lasting.host().await;
    let run = host.run(run.id()).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(ended.output.expect("it completes").as_str(), expected);
    let events = log(&run).await;
    assert_eq!(story(&events), expected_story);
    let reports = facts(&events, "progress");
    assert!(host.check().await.unwrap().is_empty());
    assert_eq!(host.size(run.id()).await.unwrap().journal_entries, 0, "what has ended needs no journal");
    assert!(!reports.is_empty(), "{expected_story:#?}");
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_replanner_goes_on_where_its_host_stopped() {
    // With one place, the replanner waits for the sleeper's.
    let steps = |ms: u64| {
        json!([
            {"op": "call", "target": "script", "spawn_key": "failing", "input": [
                {"op": "fail", "code": "flaky", "message": "not now", "retryable": true},
            ]},
            {"op": "spawn", "target": "script", "spawn_key": "sleeper", "input": [{"op": "sleep", "ms": ms}]},
            {"op": "evaluate", "replanner": "retry-replanner"},
            {"op": "return", "value": ["$2.needs_replan", "$2.suggested_action", "$2.replans_used"]},
        ])
    };
    let submission = |scene: &Scene, ms: u64| {
        let mut submission = scene.script(&steps(ms));
        let mut policy = open_policy();
        policy.limits.max_concurrency = 1;
        submission.policy = Some(policy);
        submission
    };
    let mut told = Vec::new();
    for disturbed in [false, true] {
        let lasting = Lasting::new();
        let scene = lasting.scene().await;
        scene.host.publish(plugin("retry-replanner"), Publish::default()).await.unwrap();
        let run = scene.submit(submission(&scene, if disturbed { A_WHILE_MS } else { 10 })).await;
        let mut host = scene.host;
        if disturbed {
            until(&run, |event, data| {
                event.event.ends_with("spawn_decision") && data["target"][0] == "retry-replanner"
            })
            .await;
            journaled(&host, run.id(), 1).await;
            stop(host).await;
            host = lasting.host().await;
        }
        let run = host.run(run.id()).await.unwrap();
        let ended = wait(&run).await;
        assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
        told.push((ended.output.unwrap().as_str().to_owned(), story(&log(&run).await)));
        stop(host).await;
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleep_that_had_begun_ends_at_its_time() {
    let lasting = Lasting::new();
    let scene = lasting.scene().await;
    let steps = json!([{"op": "now"}, {"op": "sleep", "ms": 2_000}, {"op": "now"}]);
    let run = scene.submit(scene.script(&steps)).await;
    journaled(&scene.host, run.id(), 1).await;
    stop(scene.host).await;
    let down = Duration::from_millis(1_000);
    let went = Instant::now();
    tokio::time::sleep(down).await;
    let host = lasting.host().await;
    let run = host.run(run.id()).await.unwrap();
    let answers = crate::scene::answers(&wait(&run).await);
    let at = |step: usize| answers[step]["ok"].as_u64().unwrap();
    let slept = at(2) - at(0);
    assert!(slept >= 2_000, "never too early: {slept} ms");
    assert!(slept < 2_000 + down.as_millis() as u64, "it did not begin again: {slept} ms of {:?}", went.elapsed());
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_does_not_stand_still_while_no_host_runs() {
    let lasting = Lasting::new();
    let scene = lasting.scene().await;
    let mut submission = scene.script(&json!([{"op": "sleep", "ms": 600_000}]));
    submission.timeout_ms = Some(500);
    let run = scene.submit(submission).await;
    journaled(&scene.host, run.id(), 1).await;
    stop(scene.host).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let host = lasting.host().await;
    assert_eq!(wait(&host.run(run.id()).await.unwrap()).await.status, RunStatus::TimedOut);
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_the_version_it_began_with_and_new_runs_have_the_new_one() {
    let lasting = Lasting::new();
    let scene = lasting.scene().await;
    let version = |version: &str| Publish { name: Some("worker".into()), version: Some(version.into()) };
    scene.host.publish(guest("script"), version("1.0.0")).await.unwrap();
    let steps = json!([{"op": "sleep", "ms": 300}, {"op": "return", "value": "old"}]);
    let work = |steps: &Value| Submission::with_input("worker", steps).unwrap();
    let run = scene.submit(work(&steps)).await;
    journaled(&scene.host, run.id(), 1).await;
    stop(scene.host).await;

    let host = lasting.builder().recover(false).build().await.unwrap();
    host.publish(guest("echo"), version("2.0.0")).await.unwrap();
    host.unpublish("worker", "1.0.0").await.unwrap();
    assert_eq!(host.recover().await.unwrap().len(), 1);
    let old = wait(&host.run(run.id()).await.unwrap()).await;
    assert_eq!(old.output.expect("it completes").as_str(), r#""old""#);
    let new = wait(&host.submit(work(&json!(["new"])).clone()).await.unwrap()).await;
    assert_eq!(new.output.expect("it completes").as_str(), r#"["new"]"#);
    stop(host).await;
}

/// Takes a component out of a store that nobody has open.
fn lose(lasting: &Lasting, name: &str) {
    let conn = rusqlite::Connection::open(lasting.path()).unwrap();
    let digest: String =
        conn.query_row("SELECT digest FROM plugins WHERE name = ?1", [name], |row| row.get(0)).unwrap();
    conn.execute("DELETE FROM plugins WHERE name = ?1", [name]).unwrap();
    conn.execute("DELETE FROM components WHERE digest = ?1", [digest]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_a_plugin_that_is_gone_and_goes_on_when_it_is_published() {
    let lasting = Lasting::new();
    // Without compiled code beside the store there is only the store to ask.
    let uncached = || Host::builder().store(&format!("sqlite:{}", lasting.path().display()));
    let scene = Scene::with(uncached()).await;
    let steps = json!([{"op": "sleep", "ms": 200}, {"op": "return", "value": "done"}]);
    let run = scene.submit(scene.script(&steps)).await;
    journaled(&scene.host, run.id(), 1).await;
    // Others wait for the same load, and hear of its failure from it.
    let mut others = Vec::new();
    for _ in 0..5 {
        let other = scene.submit(scene.script(&steps)).await.id();
        journaled(&scene.host, other, 1).await;
        others.push(other);
    }
    let script = scene.host.plugins().await.unwrap().into_iter().find(|plugin| plugin.name == "script").unwrap();
    stop(scene.host).await;
    lose(&lasting, "script");

    let host = uncached().build().await.unwrap();
    eventually("that the plugin is missed", async || !host.missing_plugins().is_empty()).await;
    assert_eq!(host.missing_plugins(), [(format!("script@{}", script.version), script.digest.to_string())]);
    let faults = host.check().await.unwrap();
    let missing = faults.iter().find(|fault| fault.run_id == Some(run.id())).expect("the check finds it, too");
    assert_eq!(faults.iter().filter(|fault| fault.what == "plugin").count(), 6, "{faults:?}");
    assert!(missing.detail.contains(&*script.digest) && missing.hint.contains("publish"), "{missing:?}");
    assert!(host.unrecovered().is_empty());
    // Nor does it matter how often.
    stop(host).await;
    let host = uncached().build().await.unwrap();
    let run = host.run(run.id()).await.unwrap();
    assert_eq!(run.tree(Default::default()).await.unwrap().node_count, 1);

    host.publish(guest("script"), Publish::default()).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(ended.output.expect("it completes").as_str(), r#""done""#);
    for other in others {
        let ended = wait(&host.run(other).await.unwrap()).await;
        assert_eq!(ended.output.expect("so do the others").as_str(), r#""done""#);
    }
    assert!(host.missing_plugins().is_empty());
    stop(host).await;
}

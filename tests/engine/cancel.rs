//! Cancelling whole trees.

use std::time::{Duration, Instant};

use pleach_engine::kernel::RunStatus;
use serde_json::json;

use crate::scene::{Scene, facts, log, until, wait};

/// Well under a second is promised on a quiet machine; the bound here only
/// catches a collapse.
const COLLAPSE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn cancelling_a_thousand_sleepers_is_one_decision_and_settles_all() {
    let scene = Scene::new().await;
    let sleeper = json!({"target": "script", "input": [{"op": "sleep", "ms": 600000}]});
    let steps = json!([
        {"op": "group", "members": vec![sleeper; 1000], "join": {"mode": "best_effort", "timeout_ms": 600000}},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let run = scene.submit(scene.script(&steps)).await;
    let mut started = 0;
    until(&run, |event, data| {
        started += u32::from(event.event.ends_with("child_lifecycle") && data["status"] == "started");
        started == 1001
    })
    .await;
    let asked = Instant::now();
    let cancelled = run.cancel("enough").await.unwrap();
    assert_eq!(cancelled.cancelled_count, 1001);
    assert_eq!(wait(&run).await.status, RunStatus::Cancelled);
    assert!(asked.elapsed() < COLLAPSE, "{:?}", asked.elapsed());
    assert_eq!(run.cancel("again").await.unwrap().cancelled_count, 0);
    let events = log(&run).await;
    assert_eq!(facts(&events, "cancellation_propagation").len(), 1);
    let lives = facts(&events, "child_lifecycle");
    let ended = lives.iter().filter(|life| life["status"] == "cancelled").count();
    assert_eq!(ended, 1001);
    let decision = events.iter().position(|event| event.event.ends_with("cancellation_propagation")).unwrap();
    let after = facts(&events[decision..], "child_lifecycle");
    assert!(after.iter().all(|life| life["status"] != "started"), "a run started after the decision");
    scene.shut_down().await;
}

#[tokio::test]
async fn the_losers_of_a_race_are_cancelled() {
    let scene = Scene::new().await;
    let steps = json!([
        {"op": "group", "join": {"mode": "first_success"}, "members": [
            {"target": "script", "input": [{"op": "sleep", "ms": 600000}]},
            {"target": "echo", "input": "first"},
            {"target": "script", "input": [{"op": "sleep", "ms": 600000}]},
        ]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let answers = scene.play(steps).await;
    let joined = &answers[1]["ok"];
    assert_eq!(joined["status"], "completed");
    assert_eq!((&joined["success_count"], &joined["cancelled_count"]), (&json!(1), &json!(2)));
    assert_eq!(joined["outputs"][1]["output"], "first");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_join_that_takes_too_long_is_timed_out_by_the_host() {
    let scene = Scene::new().await;
    let steps = json!([
        {"op": "group", "join": {"mode": "best_effort", "timeout_ms": 100}, "members": [
            {"target": "echo", "input": 1},
            {"target": "script", "input": [{"op": "sleep", "ms": 600000}]},
        ]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let answers = scene.play(steps).await;
    let joined = &answers[1]["ok"];
    assert_eq!((&joined["status"], &joined["reason"]), (&json!("timed_out"), &json!("join_timed_out")));
    scene.shut_down().await;
}

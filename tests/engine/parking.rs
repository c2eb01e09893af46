//! Guests that wait are dropped from memory and run again when what they wait for
//! is there; whoever looks from outside does not notice.

use std::time::Duration;

use pleach_engine::Host;
use pleach_engine::kernel::RunStatus;
use serde_json::{Value, json};

use crate::lasting::{Lasting, story, waiting};
use crate::scene::{Scene, everything, log, open_policy, wait};

/// What a tree gives back and what happens in it.
async fn played(park_after: Duration, steps: &Value) -> (String, Vec<String>) {
    let lasting = Lasting::new();
    lasting.doc("a.txt", "text");
    let scene = Scene::with(lasting.builder().park_after(park_after)).await;
    scene.publish(&["fan-out"]).await;
    let run = scene.submit(scene.script(steps)).await;
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    let told = (ended.output.unwrap().as_str().to_owned(), story(&log(&run).await));
    assert!(scene.host.check().await.unwrap().is_empty());
    scene.shut_down().await;
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_whose_guests_are_parked_comes_to_the_same_end() {
    let steps = waiting(50);
    let kept = played(Duration::from_secs(600), &steps).await;
    assert_eq!(played(Duration::ZERO, &steps).await, kept);
}

/// A chain of agent calls, and what the deepest gives back.
async fn chain(scene: &Scene, levels: usize, quota: Option<u32>) -> String {
    let mut steps = json!([{"op": "return", "value": "the deepest"}]);
    for _ in 1..levels {
        steps = json!([{"op": "call", "target": "script", "input": steps, "scopes": everything()}]);
    }
    let call = json!({"op": "call", "target": "script", "input": steps, "scopes": everything()});
    let deepest = format!("$0.output{}", ".0.ok.output".repeat(levels - 1));
    let mut submission = scene.script(&json!([call, {"op": "return", "value": deepest}]));
    let mut policy = open_policy();
    policy.quotas.max_running = quota;
    submission.policy = Some(policy);
    let ended = wait(&scene.submit(submission).await).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    ended.output.unwrap().as_str().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_that_wait_give_their_only_place_to_their_children() {
    let scene = Scene::new().await;
    assert_eq!(chain(&scene, 3, Some(1)).await, r#""the deepest""#);
    scene.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_two_places_runs_a_chain_of_five_beside_a_sleeper() {
    let scene = Scene::with(Host::builder().max_live(2)).await;
    let sleeper = scene.submit(scene.script(&json!([{"op": "sleep", "ms": 600_000}]))).await;
    assert_eq!(chain(&scene, 5, None).await, r#""the deepest""#);
    assert_eq!(sleeper.cancel("enough").await.unwrap().cancelled_count, 1);
    assert_eq!(wait(&sleeper).await.status, RunStatus::Cancelled);
    scene.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_guest_that_is_cancelled_ends() {
    let scene = Scene::with(Host::builder().park_after(Duration::ZERO)).await;
    let sleeper = json!({"target": "script", "input": [{"op": "sleep", "ms": 600_000}]});
    let run = scene
        .submit(scene.script(&json!([
            {"op": "group", "members": vec![sleeper; 20], "join": {"mode": "best_effort", "timeout_ms": 600_000}},
            {"op": "join", "group": "$0.group_id"},
        ])))
        .await;
    crate::lasting::journaled(&scene.host, run.id(), 20).await;
    assert_eq!(run.cancel("enough").await.unwrap().cancelled_count, 21);
    assert_eq!(wait(&run).await.status, RunStatus::Cancelled);
    scene.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_guests_are_contained_among_parked_ones() {
    let scene = Scene::with(Host::builder().park_after(Duration::ZERO).max_live(3)).await;
    scene.publish(&["trap", "recursion", "memory-eater", "garbage"]).await;
    let steps = json!([
        {"op": "group", "members": [
            {"target": "script", "input": [{"op": "sleep", "ms": 200}, {"op": "return", "value": "left"}]},
            {"target": "trap", "input": {}},
            {"target": "recursion", "input": {}},
            {"target": "memory-eater", "input": {}},
            {"target": "garbage", "input": {"kind": "not_json"}},
            {"target": "script", "input": [{"op": "sleep", "ms": 200}, {"op": "return", "value": "right"}]},
        ]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let answers = scene.play(steps).await;
    let outputs = answers[1]["ok"]["outputs"].as_array().unwrap();
    let told: Vec<_> = outputs.iter().map(|one| one["error"]["code"].as_str().or(one["output"].as_str())).collect();
    let expected = ["left", "trap", "stack_overflow", "out_of_memory", "invalid_output", "right"];
    assert_eq!(told, expected.map(Some), "{outputs:?}");
    scene.shut_down().await;
}

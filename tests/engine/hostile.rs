//! Guests that mean no good: each is contained, its run fails with a reason that
//! has a name, and its neighbours finish.

use std::time::{Duration, Instant};

use pleach_engine::kernel::RunStatus;
use pleach_engine::{GuestLimits, Host};
use serde_json::{Value, json};

use crate::scene::{Scene, answers, facts, log, open_policy, until, wait};

/// A neighbour that needs a few milliseconds is not held up by more than this.
const HELD_UP: Duration = Duration::from_secs(5);

async fn scene(guests: &[&str]) -> Scene {
    let limits = GuestLimits { max_fuel: 200_000_000, memory_bytes: 16 << 20, ..GuestLimits::default() };
    let scene = Scene::with(Host::builder().guest_limits(limits).grace(Duration::from_millis(50))).await;
    scene.publish(guests).await;
    scene
}

/// Runs a guest beside two good neighbours; its outcome.
async fn beside_neighbours(guest: &str, input: Value) -> Value {
    let scene = scene(&[guest]).await;
    let steps = json!([
        {"op": "group", "members": [
            {"target": "echo", "input": "left"},
            {"target": guest, "input": input},
            {"target": "echo", "input": "right"},
        ]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let answers = scene.play(steps).await;
    let outputs = &answers[1]["ok"]["outputs"];
    assert_eq!((&outputs[0]["output"], &outputs[2]["output"]), (&json!("left"), &json!("right")));
    let outcome = outputs[1].clone();
    scene.shut_down().await;
    outcome
}

#[tokio::test]
async fn each_hostile_guest_fails_with_a_reason_that_has_a_name() {
    let table = [
        ("trap", json!({}), "trap"),
        ("recursion", json!({}), "stack_overflow"),
        ("memory-eater", json!({}), "out_of_memory"),
        ("spinner", json!({}), "out_of_fuel"),
        ("garbage", json!({"kind": "not_json"}), "invalid_output"),
        ("garbage", json!({"kind": "oversized"}), "payload_too_large"),
    ];
    for (guest, input, code) in table {
        let outcome = beside_neighbours(guest, input).await;
        assert_eq!(outcome["status"], "failed", "{guest}: {outcome}");
        assert_eq!(outcome["error"]["code"], code, "{guest}: {outcome}");
    }
}

#[tokio::test]
async fn a_guest_that_spins_holds_up_nobody_and_is_interrupted_when_cancelled() {
    // With fuel for longer than the test takes: only being interrupted ends it.
    let scene = Scene::with(Host::builder().grace(Duration::from_millis(50))).await;
    scene.publish(&["spinner"]).await;
    let mut spinners = Vec::new();
    for _ in 0..8 {
        let mut submission = pleach_engine::Submission::with_input("spinner", &json!({})).unwrap();
        submission.policy = Some(open_policy());
        spinners.push(scene.submit(submission).await);
    }
    let asked = Instant::now();
    let run = scene.submit(pleach_engine::Submission::with_input("echo", &json!(1)).unwrap()).await;
    assert_eq!(wait(&run).await.status, RunStatus::Completed);
    assert!(asked.elapsed() < HELD_UP, "{:?}", asked.elapsed());
    for spinner in &spinners {
        spinner.cancel("enough").await.unwrap();
        assert_eq!(wait(spinner).await.status, RunStatus::Cancelled);
    }
    scene.shut_down().await;
}

#[tokio::test]
async fn a_cancel_is_not_held_up_by_a_crowd_that_computes() {
    let scene = Scene::with(Host::builder().grace(Duration::from_millis(50))).await;
    scene.publish(&["spinner", "fan-out"]).await;
    let sleeper = scene.submit(scene.script(&json!([{"op": "sleep", "ms": 3_600_000}]))).await;
    let crowd = json!({"target": "spinner", "count": 300, "input": {}, "timeout_ms": 600_000});
    let mut submission = pleach_engine::Submission::with_input("fan-out", &crowd).unwrap();
    submission.policy = Some(open_policy());
    submission.grant = crate::scene::grant();
    let crowd = scene.submit(submission).await;
    let mut events = crowd.events(1);
    let mut started = 0;
    while started < 300 {
        let event = events.next().await.unwrap().unwrap();
        started += u32::from(event.data.as_str().contains("\"status\":\"started\""));
    }
    for run in [&sleeper, &crowd] {
        let asked = Instant::now();
        run.cancel("enough").await.unwrap();
        let answered = asked.elapsed();
        assert_eq!(wait(run).await.status, RunStatus::Cancelled);
        assert!(answered < HELD_UP, "{answered:?}");
    }
    scene.shut_down().await;
}

#[tokio::test]
async fn a_fan_out_bomb_gets_exactly_what_the_limit_allows() {
    let scene = scene(&["fan-out"]).await;
    let input = json!({"target": "echo", "count": 5000, "one_by_one": true});
    let mut submission = pleach_engine::Submission::with_input("fan-out", &input).unwrap();
    let mut policy = open_policy();
    policy.limits.max_children_total = 40;
    submission.policy = Some(policy);
    submission.grant = crate::scene::grant();
    let run = scene.submit(submission).await;
    wait(&run).await;
    let events = log(&run).await;
    assert_eq!(facts(&events, "spawn_decision").len(), 41, "the root and forty children");
    assert_eq!(facts(&events, "policy_deny")[0]["code"], "max_children_total");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_depth_bomb_stops_at_the_limit() {
    let scene = scene(&["depth"]).await;
    let mut submission = pleach_engine::Submission::with_input("depth", &json!({"levels": 500})).unwrap();
    let mut policy = open_policy();
    policy.limits.max_depth = 12;
    submission.policy = Some(policy);
    submission.grant = crate::scene::grant();
    let run = scene.submit(submission).await;
    let ended = wait(&run).await;
    let output: Value = serde_json::from_str(ended.output.unwrap().as_str()).unwrap();
    assert_eq!(output["reached"], 12, "{output}");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_flood_of_progress_is_bounded_and_says_what_was_dropped() {
    let scene = scene(&["event-flood"]).await;
    let run =
        scene.submit(pleach_engine::Submission::with_input("event-flood", &json!({"count": 20000})).unwrap()).await;
    wait(&run).await;
    let reports = facts(&log(&run).await, "progress").len();
    assert!((1..200).contains(&reports), "{reports} of 20,000 reports were written");
    scene.shut_down().await;
}

#[tokio::test]
async fn what_a_cancelled_guest_returns_is_late_and_not_merged() {
    let scene = scene(&["late-finisher"]).await;
    let input = json!({"ms": 600000, "more_turns": 1000});
    let run = scene.submit(pleach_engine::Submission::with_input("late-finisher", &input).unwrap()).await;
    until(&run, |_, data| data["status"] == "started").await;
    run.cancel("enough").await.unwrap();
    let ended = wait(&run).await;
    assert_eq!((ended.status, ended.output), (RunStatus::Cancelled, None));
    let lives = facts(&log(&run).await, "child_lifecycle");
    assert_eq!(lives.last().unwrap()["late"], "completed");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_liar_is_told_no_to_everything_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.txt"), "do not read").unwrap();
    let scene = Scene::with(Host::builder().root("repo", folder.path())).await;
    scene.publish(&["scope-liar"]).await;
    let run = scene
        .submit(
            pleach_engine::Submission::with_input("scope-liar", &json!({"root": "repo", "target": "echo"})).unwrap(),
        )
        .await;
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    let output = ended.output.unwrap();
    assert!(!output.as_str().contains("do not read"), "{}", output.as_str());
    let events = log(&run).await;
    assert_eq!(facts(&events, "spawn_decision").len(), 1, "it spawned something");
    assert!(!facts(&events, "policy_deny").is_empty());
    scene.shut_down().await;
}

#[tokio::test]
async fn a_grant_opens_exactly_the_files_it_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/in.txt"), "inside").unwrap();
    std::fs::write(folder.path().join("out.txt"), "outside").unwrap();
    let scene = Scene::with(Host::builder().root("repo", folder.path())).await;
    let reads = json!([
        {"op": "read", "path": "repo/a/in.txt"},
        {"op": "read", "path": "repo/out.txt"},
        {"op": "read", "path": "repo/a/../out.txt"},
        {"op": "list", "path": "repo/a"},
        {"op": "list", "path": "repo"},
    ]);
    let steps = json!([{"op": "call", "target": "script", "input": reads,
        "scopes": {"can_use": ["fs.read:repo/a/*"], "can_delegate": []}}]);
    let run = scene.submit(scene.script(&steps)).await;
    let called = &answers(&wait(&run).await)[0]["ok"]["output"];
    assert_eq!(called[0]["ok"]["text"], "inside", "{called}");
    assert_eq!(called[1]["error"]["denied"]["code"], "scope_required");
    assert!(called[2]["error"]["denied"].is_object(), "{called}");
    assert_eq!(called[3]["ok"][0]["name"], "in.txt");
    assert_eq!(called[4]["error"]["denied"]["code"], "scope_required");
    scene.shut_down().await;
}

//! One run from submission to its result, its events and its tree.

use std::time::Duration;

use pleach_engine::kernel::{Query, RunStatus};
use pleach_engine::{Error, Host, Submission};
use serde_json::json;

use crate::scene::{Scene, everything, facts, log, wait};

#[tokio::test]
async fn a_run_gives_back_what_its_guest_does() {
    let scene = Scene::new().await;
    let run = scene.submit(Submission::with_input("echo", &json!({"a": [1, "ä"]})).unwrap()).await;
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed);
    let output: serde_json::Value = serde_json::from_str(ended.output.unwrap().as_str()).unwrap();
    assert_eq!(output, json!({"a": [1, "ä"]}));
    let events = log(&run).await;
    let names: Vec<&str> = events.iter().map(|event| event.event.trim_start_matches("orchestration.")).collect();
    assert_eq!(names, ["spawn_decision", "child_lifecycle", "child_lifecycle"]);
    scene.shut_down().await;
}

#[tokio::test]
async fn a_spawn_without_a_policy_for_it_is_denied_and_logged() {
    let scene = Scene::new().await;
    let mut submission = scene.script(&json!([{"op": "spawn", "target": "echo"}]));
    submission.policy.as_mut().unwrap().targets.clear();
    let run = scene.submit(submission).await;
    let answers = crate::scene::answers(&wait(&run).await);
    assert_eq!(answers[0]["error"]["denied"]["code"], "allowlist_empty");
    let denials = facts(&log(&run).await, "policy_deny");
    assert_eq!(denials[0]["code"], "allowlist_empty");
    assert_eq!(denials[0]["caller_run_id"], run.id().to_string());
    scene.shut_down().await;
}

#[tokio::test]
async fn a_root_is_bound_by_policy_and_must_exist() {
    let scene = Scene::new().await;
    let unknown = scene.host.submit(Submission::with_input("nobody", &json!(null)).unwrap()).await;
    let Err(Error::Denied(denial)) = unknown else { panic!("{:?}", unknown.map(|run| run.id())) };
    assert_eq!(denial.code.as_str(), "target_not_found");
    assert!(denial.message.contains("echo"), "{}", denial.message);
    let mut greedy = scene.script(&json!([]));
    greedy.policy = None;
    let Err(Error::Denied(denial)) = scene.host.submit(greedy).await else { panic!("admitted") };
    assert_eq!(denial.code.as_str(), "scope_exceeds_policy");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_group_is_joined_and_the_log_folds_to_what_the_tree_shows() {
    let scene = Scene::new().await;
    let members: Vec<_> = (0..5).map(|n| json!({"target": "echo", "input": n})).collect();
    let steps = json!([
        {"op": "group", "members": members, "key_prefix": "g"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "spawn", "target": "echo", "input": 0, "spawn_key": "g:0"},
        {"op": "call", "target": "echo", "input": {"x": 1}},
    ]);
    let run = scene.submit(scene.script(&steps)).await;
    let answers = crate::scene::answers(&wait(&run).await);
    let joined = &answers[1]["ok"];
    assert_eq!(joined["status"], "completed", "{joined}");
    assert_eq!(joined["success_count"], 5);
    assert_eq!(joined["outputs"][3]["output"], 3);
    assert_eq!(answers[1]["ok"], answers[2]["ok"], "the first decision is the only one");
    assert_eq!(answers[3]["ok"]["idempotent"], true);
    assert_eq!(answers[4]["ok"]["output"], json!({"x": 1}));
    let live = serde_json::to_value(run.tree(Query::default()).await.unwrap()).unwrap();
    assert_eq!(live["node_count"], 7);
    assert_eq!(live["tree"]["children"][2]["status"], "completed");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_trap_fails_its_run_and_nothing_else() {
    let scene = Scene::new().await;
    let steps = json!([
        {"op": "group", "members": [
            {"target": "script", "input": [{"op": "panic", "message": "boom"}]},
            {"target": "echo", "input": 1},
        ]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let answers = scene.play(steps).await;
    let joined = &answers[1]["ok"];
    assert_eq!(joined["status"], "completed_with_errors");
    assert_eq!(joined["outputs"][0]["error"]["code"], "trap", "{joined}");
    assert_eq!(joined["outputs"][1]["status"], "completed");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_retryable_failure_is_tried_again_with_the_attempt_told() {
    let scene = Scene::new().await;
    let failing = json!([{"op": "fail", "code": "flaky", "message": "not yet", "retryable": true}]);
    let retry = json!({"max_attempts": 3, "backoff": "fixed", "initial_ms": 1, "max_ms": 1, "jitter": 0.0});
    let steps = json!([{"op": "call", "target": "script", "input": failing, "retry": retry}]);
    let run = scene.submit(scene.script(&steps)).await;
    let answers = crate::scene::answers(&wait(&run).await);
    assert_eq!(answers[0]["ok"]["error"]["code"], "flaky");
    let lives = facts(&log(&run).await, "child_lifecycle");
    let retries = lives.iter().filter(|life| life["status"] == "retrying").count();
    assert_eq!(retries, 2);
    let last = lives.iter().rfind(|life| life["status"] == "failed").unwrap();
    assert_eq!(last["attempt"], 3);
    scene.shut_down().await;
}

#[tokio::test]
async fn a_deadline_ends_a_run_and_what_it_caused() {
    let scene = Scene::new().await;
    let steps = json!([
        {"op": "group", "members": [{"target": "script", "input": [{"op": "sleep", "ms": 600000}]}]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let mut submission = scene.script(&steps);
    submission.timeout_ms = Some(150);
    let run = scene.submit(submission).await;
    assert_eq!(wait(&run).await.status, RunStatus::TimedOut);
    let events = log(&run).await;
    let ends: Vec<_> = facts(&events, "child_lifecycle");
    assert_eq!(ends[ends.len() - 2]["status"], "cancelled", "children end before their parents");
    assert_eq!(ends[ends.len() - 1]["status"], "timed_out");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_budget_of_host_calls_is_kept_to_the_call() {
    let scene = Scene::new().await;
    let calls: Vec<_> = (0..10).map(|_| json!({"op": "now"})).chain([json!({"op": "roots"})]).collect();
    let steps = json!([{"op": "call", "target": "script", "input": calls, "scopes": everything(), "budget": {"host_calls": 4}}]);
    let run = scene.submit(scene.script(&steps)).await;
    wait(&run).await;
    let lives = facts(&log(&run).await, "child_lifecycle");
    let spent: u64 = lives
        .iter()
        .filter(|life| life["child_run_id"] == format!("{}.1", run.id()))
        .filter_map(|life| life["usage"]["host_calls"].as_u64())
        .sum();
    assert!(spent <= 5, "one call more than granted at most, and {spent} were counted");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_finished_run_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("pleach.db").display());
    let scene = Scene::with(Host::builder().store(&url)).await;
    let run = scene.submit(Submission::with_input("echo", &json!(7)).unwrap()).await;
    wait(&run).await;
    let before = serde_json::to_value(run.tree(Query::default()).await.unwrap()).unwrap();
    let id = run.id();
    scene.shut_down().await;

    let host = Host::builder().store(&url).build().await.unwrap();
    let run = host.run(id).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(ended.output.unwrap().as_str(), "7");
    let after = serde_json::to_value(run.tree(Query::default()).await.unwrap()).unwrap();
    assert_eq!(before, after);
    assert_eq!(host.runs(Default::default()).await.unwrap().len(), 1);
    host.shutdown(std::time::Duration::ZERO).await.unwrap();
}

#[test]
fn a_tree_stops_where_it_is_when_the_runtime_of_its_host_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (scene, run) = runtime.block_on(async {
        let scene = Scene::new().await;
        let run = scene.submit(scene.script(&json!([{"op": "sleep", "ms": 3_600_000}]))).await;
        (scene, run)
    });
    let mut events = run.events(1);
    // Nobody has shut the host down.
    drop(runtime);
    let after = tokio::runtime::Runtime::new().unwrap();
    after.block_on(async {
        let to_the_end = async { while events.next().await.is_some() {} };
        tokio::time::timeout(Duration::from_secs(30), to_the_end).await.expect("the tree goes on");
        let refused = scene.host.submit(scene.script(&json!([]))).await;
        assert!(matches!(refused, Err(Error::ShuttingDown)), "{:?}", refused.map(|run| run.id()));
    });
}

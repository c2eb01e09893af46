//! Large and deep trees, and the limits on them.

use pleach_engine::kernel::Query;
use serde_json::json;

use crate::scene::{Scene, answers, everything, facts, log, open_policy, wait};

#[tokio::test]
async fn a_thousand_children_complete_in_one_group() {
    let scene = Scene::new().await;
    let members: Vec<_> = (0..1000).map(|n| json!({"target": "echo", "input": n})).collect();
    let steps = json!([{"op": "group", "members": members}, {"op": "join", "group": "$0.group_id"}, {"op": "return", "value": "$1.success_count"}]);
    let run = scene.submit(scene.script(&steps)).await;
    let ended = wait(&run).await;
    assert_eq!(ended.output.expect("it completes").as_str(), "1000");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_tree_fifty_deep_completes() {
    let scene = Scene::new().await;
    scene.publish(&["depth"]).await;
    let call = json!([{"op": "call", "target": "depth", "input": {"levels": 49}, "scopes": everything()}]);
    let run = scene.submit(scene.script(&call)).await;
    let answers = answers(&wait(&run).await);
    assert_eq!(answers[0]["ok"]["status"], "completed", "{}", answers[0]);
    let view = run.tree(Query::default()).await.unwrap();
    assert_eq!(view.node_count, 51);
    scene.shut_down().await;
}

#[tokio::test]
async fn at_a_limit_exactly_the_allowed_number_starts() {
    let scene = Scene::new().await;
    let spawn = json!({"op": "spawn", "target": "echo", "input": 0});
    let mut submission = scene.script(&json!(vec![spawn; 12]));
    let mut policy = open_policy();
    policy.limits.max_fanout = 7;
    submission.policy = Some(policy);
    let run = scene.submit(submission).await;
    let answers = answers(&wait(&run).await);
    assert!(answers[..7].iter().all(|answer| answer["ok"].is_object()));
    for answer in &answers[7..] {
        let denied = &answer["error"]["denied"];
        assert_eq!(
            (&denied["code"], &denied["limit"], &denied["current"]),
            (&json!("max_fanout"), &json!(7), &json!(7))
        );
    }
    let started = facts(&log(&run).await, "child_lifecycle").iter().filter(|life| life["status"] == "started").count();
    assert_eq!(started, 8, "the root and seven children");
    scene.shut_down().await;
}

#[tokio::test]
async fn no_more_run_at_once_than_the_tree_allows_and_a_waiting_parent_takes_no_place() {
    let scene = Scene::new().await;
    let sleeper = json!({"target": "script", "input": [{"op": "sleep", "ms": 20}]});
    let mut submission = scene.script(&json!([
        {"op": "group", "members": vec![sleeper; 6]},
        {"op": "join", "group": "$0.group_id"},
    ]));
    let mut policy = open_policy();
    policy.limits.max_concurrency = 1;
    submission.policy = Some(policy);
    let run = scene.submit(submission).await;
    let answers = answers(&wait(&run).await);
    assert_eq!(answers[1]["ok"]["success_count"], 6);
    let (mut running, mut most) = (0, 0);
    for life in facts(&log(&run).await, "child_lifecycle") {
        if life["child_run_id"] == run.id().to_string() {
            continue;
        }
        match life["status"].as_str().unwrap() {
            "started" => running += 1,
            "completed" => running -= 1,
            _ => {}
        }
        most = most.max(running);
    }
    assert_eq!(most, 1);
    scene.shut_down().await;
}

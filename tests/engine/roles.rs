//! Judges, routers and replanners, run like any other child.

use pleach_engine::Publish;
use serde_json::json;

use crate::scene::{Scene, answers, facts, log, plugin, wait};

async fn scene(plugins: &[&str]) -> Scene {
    let scene = Scene::new().await;
    for name in plugins {
        scene.host.publish(plugin(name), Publish::default()).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    scene
}

#[tokio::test]
async fn a_judge_gives_a_verdict_that_is_an_event() {
    let scene = scene(&["threshold-judge"]).await;
    let ask = |score| {
        json!({"op": "call", "target": "threshold-judge",
            "input": {"subject": {"score": score}, "criteria": {"metric": "/score", "min": 0.5}}})
    };
    let run = scene.submit(scene.script(&json!([ask(0.9), ask(0.1)]))).await;
    let answers = answers(&wait(&run).await);
    assert_eq!(answers[0]["ok"]["output"]["outcome"], "pass", "{}", answers[0]);
    assert_eq!(answers[1]["ok"]["output"]["outcome"], "fail", "{}", answers[1]);
    let verdicts = facts(&log(&run).await, "judge_verdict");
    assert_eq!(verdicts.len(), 2);
    assert_eq!(verdicts[1]["answer"]["outcome"], "fail");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_router_chooses_by_strict_equality_or_default() {
    let scene = scene(&["status-router"]).await;
    let ask = |status: &str| {
        json!({"op": "call", "target": "status-router",
            "input": {"subject": {"status": status}, "routes": ["completed", "failed"], "config": {}}})
    };
    let run = scene.submit(scene.script(&json!([ask("failed"), ask("Failed")]))).await;
    let answers = answers(&wait(&run).await);
    assert_eq!(answers[0]["ok"]["output"]["route"], "failed", "{}", answers[0]);
    assert_eq!(answers[1]["ok"]["output"]["route"], "default", "{}", answers[1]);
    assert_eq!(facts(&log(&run).await, "route_decision").len(), 2);
    scene.shut_down().await;
}

#[tokio::test]
async fn a_replanner_has_failed_children_tried_again_within_the_bound() {
    let scene = scene(&["retry-replanner"]).await;
    let failing = json!([{"op": "fail", "code": "flaky", "message": "not now", "retryable": true}]);
    let evaluate = json!({"op": "evaluate", "replanner": "retry-replanner"});
    let mut submission = scene.script(&json!([
        {"op": "group", "members": [{"target": "script", "input": failing}, {"target": "echo", "input": 1}]},
        {"op": "join", "group": "$0.group_id"},
        evaluate,
        {"op": "join", "group": "$2.plan.group_id"},
        evaluate,
    ]));
    submission.policy.as_mut().unwrap().limits.max_replans = 1;
    let run = scene.submit(submission).await;
    let answers = answers(&wait(&run).await);
    let first = &answers[2]["ok"];
    assert_eq!((&first["needs_replan"], &first["replans_used"]), (&json!(true), &json!(1)), "{first}");
    let step = &first["plan"]["steps"][0];
    assert_eq!((&step["action"], &step["replaces"]), (&json!("retry"), &answers[0]["ok"]["members"][0]["run_id"]));
    assert_eq!(answers[3]["ok"]["status"], "failed", "the retry fails as the first try did");
    let second = &answers[4]["ok"];
    assert_eq!((&second["needs_replan"], &second["suggested_action"]), (&json!(false), &json!("continue")), "{second}");
    let decisions = facts(&log(&run).await, "replan_decision");
    assert_eq!((decisions.len(), &decisions[1]["reason"]), (2, &json!("max_replans")));
    scene.shut_down().await;
}

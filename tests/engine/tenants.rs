//! Tenants see nothing of each other.

use pleach_engine::{Error, Publish, Submission};
use serde_json::json;

use crate::scene::{Scene, answers, guest, wait};

#[tokio::test]
async fn a_tenant_sees_neither_plugins_nor_runs_of_another() {
    let scene = Scene::new().await;
    let other = scene.host.for_tenant("other".parse().unwrap());
    let run = scene.submit(Submission::with_input("echo", &json!(1)).unwrap()).await;
    wait(&run).await;
    assert!(other.plugins().await.unwrap().is_empty());
    assert!(other.runs(Default::default()).await.unwrap().is_empty());
    assert!(matches!(other.run(run.id()).await, Err(Error::NotFound { .. })));
    assert!(matches!(other.submit(Submission::with_input("echo", &json!(1)).unwrap()).await, Err(Error::Denied(_))));
    scene.shut_down().await;
}

#[tokio::test]
async fn a_quota_of_running_guests_queues_and_loses_nobody() {
    let scene = Scene::new().await;
    let other = scene.host.for_tenant("small".parse().unwrap());
    other.publish(guest("script"), Publish::default()).await.unwrap();
    let mut runs = Vec::new();
    for _ in 0..12 {
        let mut submission = scene.script(&json!([{"op": "sleep", "ms": 5}]));
        submission.policy.as_mut().unwrap().quotas.max_running = Some(2);
        runs.push(other.submit(submission).await.unwrap());
    }
    for run in &runs {
        wait(run).await;
    }
    scene.shut_down().await;
}

#[tokio::test]
async fn an_unpublished_version_is_for_no_new_run() {
    let scene = Scene::new().await;
    let echo = scene.host.plugins().await.unwrap().into_iter().find(|plugin| plugin.name == "echo").unwrap();
    scene.host.unpublish("echo", &echo.version).await.unwrap();
    let refused = scene.host.submit(Submission::with_input("echo", &json!(1)).unwrap()).await;
    let Err(Error::Denied(denial)) = refused else { panic!("admitted") };
    assert_eq!(denial.code.as_str(), "target_not_published");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_tenants_queue_is_full_at_its_quota() {
    let scene = Scene::new().await;
    let spawn = json!({"op": "spawn", "target": "script", "input": [{"op": "sleep", "ms": 50}]});
    let mut submission = scene.script(&json!([spawn, spawn, spawn, spawn, spawn, spawn]));
    let policy = submission.policy.as_mut().unwrap();
    policy.limits.max_concurrency = 1;
    policy.quotas.max_queued = Some(2);
    let run = scene.submit(submission).await;
    let answers = answers(&wait(&run).await);
    let denied: Vec<_> = answers.iter().filter(|answer| answer["error"].is_object()).collect();
    assert_eq!(denied.len(), 4, "{answers:?}");
    assert_eq!(denied[0]["error"]["denied"]["code"], "quota_exceeded");
    scene.shut_down().await;
}

//! Judges, routers and replanners: JSON in and JSON out, through records.

use pleach_kernel::Role;
use pleach_sandbox::GuestLimits;
use serde_json::json;

use crate::fake::{component, error, load, output, run, sandbox};

#[tokio::test]
async fn a_judge_is_run_like_an_agent() {
    let sandbox = sandbox(GuestLimits::default());
    let judge = load(&sandbox, component("threshold-judge")).await;
    assert_eq!(judge.role(), Role::Judge);
    let verdict = output(run(&sandbox, &judge, &json!({"subject": {"score": 0.9}, "criteria": {"min": 0.5}})).await);
    assert_eq!(verdict["outcome"], json!("pass"), "{verdict}");
    let verdict = output(run(&sandbox, &judge, &json!({"subject": {"score": 0.1}, "criteria": {"min": 0.5}})).await);
    assert_eq!(verdict["outcome"], json!("fail"), "{verdict}");
    assert!(verdict["rationale"].is_string());
}

#[tokio::test]
async fn a_router_is_run_like_an_agent() {
    let sandbox = sandbox(GuestLimits::default());
    let router = load(&sandbox, component("status-router")).await;
    assert_eq!(router.role(), Role::Router);
    let input = json!({"subject": {"status": "failed"}, "routes": ["completed", "failed"]});
    assert_eq!(output(run(&sandbox, &router, &input).await)["route"], json!("failed"));
}

#[tokio::test]
async fn a_replanner_is_run_like_an_agent() {
    let sandbox = sandbox(GuestLimits::default());
    let replanner = load(&sandbox, component("retry-replanner")).await;
    assert_eq!(replanner.role(), Role::Replanner);
    let run_id = pleach_kernel::RootId(7).run().to_string();
    let input = json!({
        "failed": [{
            "run_id": run_id, "target": "t", "status": "failed", "attempt": 1, "input": null,
            "error": {"code": "io", "message": "m", "retryable": true},
        }],
        "completed_count": 9, "replans_used": 0, "max_replans": 3,
    });
    let plan = output(run(&sandbox, &replanner, &input).await);
    assert_eq!(plan["actions"], json!([{"retry": run_id}]), "{plan}");
}

#[tokio::test]
async fn an_input_that_does_not_fit_the_role_fails_the_run() {
    let sandbox = sandbox(GuestLimits::default());
    for name in ["threshold-judge", "status-router", "retry-replanner"] {
        let plugin = load(&sandbox, component(name)).await;
        for input in [json!(null), json!({}), json!({"unheard": 1})] {
            let failed = error(run(&sandbox, &plugin, &input).await);
            assert_eq!(&*failed.code, "invalid_input", "{name}");
        }
    }
}

//! What a guest is told of itself, what it reports, and what it gives back.

use pleach_kernel::{Budget, RootId, RunId, Timestamp};
use pleach_sandbox::{Call, GuestLimits};
use serde_json::{Value, json};

use crate::fake::{Purse, component, error, grant, lineage, load, output, run, run_with, sandbox};
use crate::orchestration::script;

const CHILD: RunId = RunId { root: RootId(7), index: 1 };

#[tokio::test]
async fn an_agent_is_handed_its_input_and_gives_back_its_output() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("echo")).await;
    for value in [json!(null), json!({"a": [1, 2.5, "é\u{1F600}"]}), json!("x".repeat(1_000_000))] {
        assert_eq!(output(run(&sandbox, &plugin, &value).await), value);
    }
}

#[tokio::test]
async fn a_run_knows_who_it_is() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    let finish = run_with(&sandbox, &plugin, &json!([{"op": "context"}]), |job| {
        job.lineage = lineage(CHILD);
        job.lineage.attempt = 2;
        job.lineage.depth = 1;
        job.lineage.parent_run_id = Some(RootId(7).run());
        job.grant = grant(&["fs.read:a/*"]);
        job.deadline = Some(Timestamp(1_700_000_009_000));
    })
    .await;
    let context = output(finish.outcome)[0]["ok"].clone();
    assert_eq!(context["lineage"]["run_id"], json!(CHILD.to_string()));
    assert_eq!(context["lineage"]["parent_run_id"], json!(RootId(7).run().to_string()));
    assert_eq!(context["scopes"], json!({"can_use": ["fs.read:a/*"], "can_delegate": []}));
    assert_eq!((&context["attempt"], &context["seed"]), (&json!(2), &json!(42)));
    assert_eq!(context["deadline_ms"], json!(1_700_000_009_000_u64));
    assert_eq!(context["tenant"], json!("default"));
    assert_eq!(context["remaining_budget"]["host_calls"], json!(0), "a host that is gone has nothing to spend");
    assert!(finish.usage.host_calls >= 7 && finish.usage.cpu_us > 0, "{:?}", finish.usage);
}

#[tokio::test]
async fn the_clock_begins_at_the_start_and_moves_on_at_host_calls() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    let steps = json!([{"op": "now"}, {"op": "now"}, {"op": "sleep", "ms": 20}, {"op": "now"}]);
    let answers = output(run(&sandbox, &plugin, &steps).await);
    let now = |at: usize| answers[at]["ok"].as_u64().unwrap();
    assert_eq!((now(0), now(1)), (1_700_000_000_000, 1_700_000_000_000));
    assert!(now(3) > 1_700_000_000_020, "{}", now(3));

    let ahead = run_with(&sandbox, &plugin, &steps, |job| job.started_at = Timestamp(9_000_000_000_000)).await;
    let answers = output(ahead.outcome);
    assert_eq!(answers[3]["ok"], json!(9_000_000_000_020_u64), "it never goes back to the host's time");
}

#[tokio::test]
async fn reports_come_at_a_bounded_rate_and_say_what_was_dropped() {
    let report = |n: usize| json!({"op": "progress", "message": format!("{n}"), "fraction": 7.5, "data": {"n": n}});
    let mut steps: Vec<Value> = (0..200).map(report).collect();
    steps.push(json!({"op": "sleep", "ms": 250}));
    steps.push(report(200));
    let (_, _, told) = script(json!(steps)).await;
    let reports: Vec<_> = told
        .into_iter()
        .map(|call| match call {
            Call::Progress { progress, .. } => progress,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!((17..=60).contains(&reports.len()), "{}", reports.len());
    assert_eq!((&*reports[0].message, reports[0].fraction, reports[0].dropped), ("0", Some(1.0), 0));
    let dropped: u32 = reports.iter().map(|report| report.dropped).sum();
    assert_eq!(reports.len() + dropped as usize, 201);
}

#[tokio::test]
async fn a_call_that_nothing_is_left_for_is_denied() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    let steps = json!([{"op": "sleep", "ms": 0}, {"op": "sleep", "ms": 0}, {"op": "sleep", "ms": 0}, {"op": "now"}]);
    let purse = Purse::of(Budget { host_calls: Some(2), ..Budget::default() });
    let finish = run_with(&sandbox, &plugin, &steps, |job| job.accounts = Some(purse)).await;
    let answers = output(finish.outcome);
    assert!(answers[1].get("ok").is_some(), "{answers}");
    assert_eq!(answers[2]["error"]["denied"]["code"], json!("budget_exhausted"));
    assert_eq!(answers[2]["error"]["denied"]["action"], json!("clock.sleep"));
}

#[tokio::test]
async fn an_error_of_the_plugins_own_is_the_runs() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    let steps = json!([{"op": "fail", "code": "no_luck", "message": "m", "retryable": true, "details": {"a": 1}}]);
    let error = error(run(&sandbox, &plugin, &steps).await);
    assert_eq!((&*error.code, error.message.as_str(), error.retryable), ("no_luck", "m", true));
    assert_eq!(error.details.unwrap().as_str(), "{\"a\":1}");
}

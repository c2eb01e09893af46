//! Graphs and tasks from a call to their result, with real guests.

use std::time::Duration;

use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{Payload, Retry, RunStatus};
use pleach_engine::{Error, Execution, OnFailure, Task};
use serde_json::json;

use crate::scene::{Scene, grant, open_policy};

fn open() -> Execution {
    Execution { grant: grant(), policy: Some(open_policy()), ..Execution::default() }
}

fn script(id: &str, steps: serde_json::Value) -> Task {
    Task::new(id, "script").given(steps)
}

#[tokio::test]
async fn tasks_are_run_by_their_needs_and_reported_on() {
    let scene = Scene::new().await;
    scene.publish(&["flaky"]).await;
    let retry = Some(Retry { max_attempts: 3, backoff: Default::default(), initial_ms: 1, max_ms: None, jitter: 0.0 });
    let tasks = vec![
        Task::new("first", "echo").given(json!({"n": 20})),
        Task { retry, ..Task::new("flaky", "flaky").given(json!({"succeed_at": 2})) },
        Task {
            on_failure: OnFailure::Isolated,
            ..script("bad", json!([{"op": "fail", "code": "broken", "message": "no"}]))
        },
        Task::new("never", "echo").after("bad"),
        Task::new("last", "echo")
            .given(json!({"twice": "${{ nodes.first.output.n * 2 }}"}))
            .after("first")
            .after("flaky"),
    ];
    let report = scene.host.execute_parallel(tasks, open()).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((report.status, &*report.name), (RunStatus::Completed, "tasks"));
    let told: Vec<String> =
        report.tasks.iter().map(|task| format!("{} {} x{}", task.id, task.status.as_str(), task.attempts)).collect();
    assert_eq!(
        told,
        ["first completed x1", "flaky completed x2", "bad failed x1", "never skipped x0", "last completed x1"]
    );
    assert_eq!(report.tasks[2].errors[0].code.as_ref(), "broken");
    assert_eq!(report.summary, json!({"twice": 40}));
    assert_eq!(report.output.unwrap().as_str(), r#"{"last":{"twice":40}}"#);
    assert!(report.cost.host_calls > 0);
    scene.shut_down().await;
}

#[tokio::test]
async fn a_graph_that_fails_or_takes_too_long_is_reported_on_too() {
    let scene = Scene::new().await;
    let run = |text: &str, timeout| {
        let source = Source::new("g.yaml", format!("spec_version: \"2.0\"\n{text}"));
        scene.host.execute_graph(source, Payload::null(), Execution { timeout, ..open() })
    };
    let failing = "tasks: [{id: a, agent: echo, input: '${{ input.none }}'}, {id: b, agent: echo, needs: [a]}]";
    let report = run(failing, None).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((report.status, report.error.map(|error| error.code)), (RunStatus::Failed, Some("node_failed".into())));
    // It failed before there was a run of it.
    assert_eq!((report.tasks[0].status.as_str(), &*report.tasks[0].errors[0].code), ("failed", "expression_failed"));
    assert_eq!(report.tasks[1].reason.as_deref(), Some("`a` failed"));

    let slow = "tasks: [{id: a, agent: script, input: [{op: sleep, ms: 60000}]}]";
    let report = run(slow, Some(Duration::from_millis(50))).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((report.status, report.tasks[0].status.as_str()), (RunStatus::TimedOut, "cancelled"));
    scene.shut_down().await;
}

#[tokio::test]
async fn what_is_wrong_with_tasks_is_an_error_and_nothing_is_run() {
    let scene = Scene::new().await;
    let unknown = vec![Task::new("a", "echo").after("b")];
    let twice = vec![Task::new("a", "echo"), Task::new("a", "echo")];
    for (tasks, id) in [(unknown, "b"), (twice, "a")] {
        let Err(Error::Graph { problems, .. }) = scene.host.execute_parallel(tasks, open()).await else {
            panic!("run")
        };
        assert!(problems.iter().any(|problem| problem.message.contains(&format!("`{id}`"))), "{problems:?}");
    }
    assert!(scene.host.runs(Default::default()).await.unwrap_or_else(|e| panic!("{e}")).is_empty());
    scene.shut_down().await;
}

#[tokio::test]
async fn thirty_two_tasks_at_eight_at_once_take_a_fraction_of_the_time() {
    let scene = Scene::new().await;
    let task = |n: u32| script(&format!("t{n}"), json!([{"op": "sleep", "ms": 100}]));
    let execution = Execution { max_concurrency: Some(8), ..open() };
    let report = scene.host.execute_parallel((0..32).map(task).collect(), execution).await;
    let report = report.unwrap_or_else(|e| panic!("{e}"));
    // At most eight at once, which the times of the runs alone decide, and no fewer
    // than half of that on the busiest machine.
    let most = report.speedup_vs_serial.expect("it took some time");
    assert!((4.0..=8.3).contains(&most), "{most}");
    scene.shut_down().await;
}

//! Reports on runs that are put together here.

use pleach_kernel::{
    BudgetMove, ChildLifecycle, Code, Denial, Event, Fact, GroupId, JoinStatus, NodeFailure, Payload, RunError,
    RunStatus, SpawnDecision, Step, Surface, Timestamp, Usage,
};
use serde_json::json;

use super::*;
use crate::draw::scene::{self, REVIEW, Scene, id, plan};

/// A step of a run's life, and what it has used in this try.
fn life(run: u32, status: Step, attempt: u32) -> ChildLifecycle {
    let usage = Usage { cpu_us: 1_500, host_calls: 1, ..Usage::default() };
    ChildLifecycle { usage: Some(usage), ..scene::life(run, status, attempt) }
}

fn told(scene: &mut Scene, run: u32, fact: Fact) {
    let (seq, at) = (scene.events.len() as u64 + 1, Timestamp(9_000));
    let event = Event { seq, at, run_id: id(run), node_id: None, call: None, surface: Surface::Graph, fact };
    scene.events.push(event);
}

/// The graph has spawned so many runs; what is below it is counted as its own.
fn spawned(scene: &mut Scene, by: u32, runs: std::ops::RangeInclusive<u32>) {
    let decision = SpawnDecision {
        target: Vec::new(),
        spawned_run_ids: runs.map(id).collect(),
        group_id: None::<GroupId>,
        idempotent: false,
        effective_scopes: Vec::new(),
        runs: Vec::new(),
        group: None,
        agent_call: false,
        replans: None,
        tree: None,
    };
    told(scene, by, Fact::SpawnDecision(Box::new(decision)));
}

fn gave(scene: &mut Scene, run: u32, output: Json) {
    let output = Some(Payload::of(&output).expect("JSON"));
    let done = ChildLifecycle { output, ..life(run, Step::Completed, 1) };
    told(scene, run, Fact::ChildLifecycle(Box::new(done)));
}

fn failed(scene: &mut Scene, run: u32, status: Step, attempt: u32) {
    let error = Some(RunError::new("broken", format!("try {attempt}")));
    told(scene, run, Fact::ChildLifecycle(Box::new(ChildLifecycle { error, ..life(run, status, attempt) })));
}

fn report(text: &str, scene: &Scene) -> GraphReport {
    GraphReport::of(&plan(text), &scene.run, &scene.events)
}

/// Each task in a line.
fn tasks(report: &GraphReport) -> String {
    let line = |task: &TaskReport| {
        let agent = task.agent.as_deref().unwrap_or("-");
        let RunCounts { total, completed, failed, cancelled, timed_out } = task.runs;
        let mut line = format!("{} {agent}: {}", task.id, task.status.as_str());
        if total > 0 {
            let ended = format!("{completed}/{failed}/{cancelled}/{timed_out} of {total}");
            line.push_str(&format!(" {} ms x{} {ended}", task.duration_ms().unwrap_or(0), task.attempts));
        }
        for error in &task.errors {
            let attempt = error.attempt.map_or(String::new(), |attempt| format!(" {attempt}"));
            line.push_str(&format!(" [{}{attempt}]", error.code));
        }
        if let Some(why) = &task.reason {
            line.push_str(&format!(" ({why})"));
        }
        line
    };
    report.tasks.iter().map(line).collect::<Vec<_>>().join("\n")
}

const FOUR: &str = r#"
spec_version: "2.0"
tasks:
  - {id: a, agent: maker}
  - {id: b, agent: breaker, on_failure: isolated}
  - {id: c, agent: maker, needs: [a, b]}
  - {id: d, agent: maker, needs: [a]}
  - {id: e, agent: maker, needs: [c]}
"#;

/// Of four tasks one fails for good, one at first, and two are not run for that.
fn four() -> Scene {
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("a", "a", RunStatus::Completed, 0, 3_000);
    scene.child("b", "b", RunStatus::Failed, 0, 6_000).attempt = 2;
    scene.child("d", "d", RunStatus::Completed, 3_000, 8_000).attempt = 2;
    spawned(&mut scene, 0, 1..=3);
    gave(&mut scene, 1, json!({"n": 1}));
    failed(&mut scene, 2, Step::Retrying, 1);
    failed(&mut scene, 2, Step::Failed, 2);
    failed(&mut scene, 3, Step::Retrying, 1);
    gave(&mut scene, 3, json!({"n": 2, "artifacts": [{"name": "x.md", "content": "# X"}, {"content": "nameless"}]}));
    gave(&mut scene, 0, json!("all"));
    scene
}

#[test]
fn each_task_says_what_became_of_it_and_why() {
    let report = report(FOUR, &four());
    expect_test::expect![[r#"
        a maker: completed 3000 ms x1 1/0/0/0 of 1
        b breaker: failed 6000 ms x2 0/1/0/0 of 1 [broken 1] [broken 2]
        c maker: skipped (`b` failed)
        d maker: completed 5000 ms x2 1/0/0/0 of 1 [broken 1]
        e maker: skipped (`b` failed)"#]]
    .assert_eq(&tasks(&report));
    assert_eq!(report.output.as_ref().map(Payload::as_str), Some(r#""all""#));
    let artifact = |artifact: &Artifact| (artifact.name.clone(), artifact.bytes);
    assert_eq!(report.tasks[3].artifacts.iter().map(artifact).collect::<Vec<_>>(), [("x.md".to_owned(), 3)]);
}

#[test]
fn the_speed_up_is_over_the_same_runs_one_after_the_other() {
    let report = report(FOUR, &four());
    assert_eq!((report.wall_ms, report.serial_ms), (8_000, 14_000));
    assert_eq!(report.speedup_vs_serial, Some(1.75));
    let empty = self::report(FOUR, &Scene::new(RunStatus::Failed));
    assert_eq!((empty.serial_ms, empty.speedup_vs_serial), (0, None));
}

#[test]
fn the_cost_is_that_of_all_runs_below_the_graph() {
    let mut scene = four();
    let before = report(FOUR, &scene).cost;
    assert_eq!(before, Cost { tokens: 0, cost_microusd: 0, cpu_ms: 9, host_calls: 6 });
    spawned(&mut scene, 3, 4..=4);
    gave(&mut scene, 4, json!(null));
    let spent = Usage { tokens: 70, cost_microusd: 12, ..Usage::default() };
    told(&mut scene, 4, Fact::Budget(Box::new(BudgetMove { spent, ..BudgetMove::default() })));
    // Another's, which only shares the log.
    gave(&mut scene, 9, json!(null));
    assert_eq!(report(FOUR, &scene).cost, Cost { tokens: 70, cost_microusd: 12, cpu_ms: 10, host_calls: 7 });
}

#[test]
fn the_summary_is_of_the_tasks_that_nothing_completed_came_after() {
    // `a` is followed by `d`, which completed; `b` and what it led to gave nothing.
    let report = report(FOUR, &four());
    assert_eq!(report.summary["n"], 2);
    assert_eq!(report.conflicts, []);
    let text = "spec_version: '2.0'\ntasks: [{id: a, agent: x}, {id: b, agent: x}]";
    let mut scene = Scene::new(RunStatus::Completed);
    // The order of the file counts, not that of the ends.
    scene.child("b", "b", RunStatus::Completed, 0, 1);
    scene.child("a", "a", RunStatus::Completed, 0, 2);
    gave(&mut scene, 1, json!({"v": "b"}));
    gave(&mut scene, 2, json!({"v": "a"}));
    // Events of runs that the graph has not spawned say nothing of it.
    assert_eq!(self::report(text, &scene).summary, json!(null));
    let given = std::mem::take(&mut scene.events);
    spawned(&mut scene, 0, 1..=2);
    scene.events.extend(given);
    let report = self::report(text, &scene);
    assert_eq!(report.summary, json!({"v": "a"}));
    assert_eq!((&*report.conflicts[0].kept.task, &*report.conflicts[0].dropped.task), ("a", "b"));
}

#[test]
fn the_members_of_a_group_are_one_task_and_a_loop_gives_its_last_round() {
    let mut scene = Scene::review();
    spawned(&mut scene, 0, 1..=10);
    for run in [2, 4, 7, 8, 9] {
        gave(&mut scene, run, json!({"run": run}));
    }
    let report = report(REVIEW, &scene);
    expect_test::expect![[r#"
        list lister: completed 120 ms x1 1/0/0/0 of 1
        shards reader@^1: completed 2380 ms x2 2/1/0/0 of 3
        read -: completed
        kind -: completed
        experts auditor, fuzzer: completed 3345 ms x1 3/2/1/0 of 6
        opinions -: completed
        lint linter: skipped (`kind` went on to `security`)
        note notifier: skipped (no condition that leads to it held)
        good -: completed
        again -: completed
        stop -: skipped (`read` went on to `completed`)
        report -: completed
        give_up -: skipped (`read` went on to `completed`)"#]]
    .assert_eq(&tasks(&report));
    assert_eq!(report.summary, json!([{"run": 8}, {"run": 9}]));
}

#[test]
fn a_refusal_and_a_failure_without_a_run_are_errors_of_their_node() {
    let mut scene = Scene::new(RunStatus::Failed);
    let error = RunError::new("expression_failed", "no such key");
    scene.child("a", "a", RunStatus::Completed, 0, 10);
    scene.event("b", 20, Fact::PolicyDeny(Box::new(Denial::new(Code::TargetNotFound, "spawn_run", "no breaker"))));
    scene.event("d", 30, Fact::NodeFailure(NodeFailure { error }));
    expect_test::expect![[r#"
        a maker: completed 10 ms x1 1/0/0/0 of 1
        b breaker: failed [target_not_found]
        c maker: skipped (`b` failed)
        d maker: failed [expression_failed]
        e maker: skipped (`b` failed)"#]]
    .assert_eq(&tasks(&report(FOUR, &scene)));
}

#[test]
fn what_is_under_way_is_measured_up_to_the_newest_event() {
    let mut scene = Scene::new(RunStatus::Running);
    scene.child("a", "a", RunStatus::Running, 4_000, 0);
    told(&mut scene, 0, Fact::ChildLifecycle(Box::new(life(1, Step::Started, 1))));
    let report = report(FOUR, &scene);
    assert_eq!((report.wall_ms, report.serial_ms, report.tasks[0].finished_at), (8_000, 4_000, None));
    assert_eq!(report.tasks[2].reason, None, "its turn may come");
}

#[test]
fn errors_are_told_up_to_a_bound_and_counted_beyond_it() {
    let mut scene = four();
    for attempt in 0..105 {
        failed(&mut scene, 1, Step::Retrying, attempt);
    }
    let first = &report(FOUR, &scene).tasks[0];
    assert_eq!((first.errors.len(), first.errors_omitted), (100, 5));
}

#[test]
fn losers_say_why_they_were_cancelled() {
    let text = "spec_version: '2.0'\nnodes:\n  race: {spawn_group: {targets: [{target: x}, {target: y}]}}\n  won: {join: {mode: first_success}}\nedges: [{from: race, to: won}]";
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("race", "race:0", RunStatus::Completed, 0, 5);
    scene.child("race", "race:1", RunStatus::Cancelled, 0, 6).error = Some(RunError::new("cancelled", "too late"));
    scene.group("race", 2, Some((JoinStatus::Completed, 5)));
    let report = report(text, &scene);
    assert_eq!(tasks(&report), "race x, y: completed 5 ms x1 1/0/1/0 of 2\nwon -: completed");
    assert_eq!(report.tasks[1].handle.as_deref(), Some("completed"));
}

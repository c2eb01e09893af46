//! What is told of each node of a graph that was run: by real logs, of graphs that came
//! to their end and of graphs that did not.

use pleach_engine::Submission;
use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{Payload, RunStatus};
use serde_json::json;

use crate::scene::{Scene, grant, open_policy, wait};

/// Runs a graph to its end, or until it is to be ended, and tells of each node how it
/// stands, and why.
async fn told(text: &str, set: impl Fn(&mut Submission), is_cancelled: bool) -> (RunStatus, String) {
    let scene = Scene::new().await;
    let source = Source::new("test.yaml", format!("spec_version: \"2.0\"\n{text}"));
    let mut submission = Submission::of_graph(source, Payload::of(&json!({})).unwrap());
    submission.grant = grant();
    submission.policy = Some(open_policy());
    set(&mut submission);
    let run = scene.host.submit(submission).await.unwrap_or_else(|error| panic!("{error:?}"));
    if is_cancelled {
        let mut events = run.events(1);
        // Once the sleeper sleeps.
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            if event.node_id.as_deref() == Some("slow") && event.data.as_str().contains("started") {
                break;
            }
        }
        run.cancel("enough").await.unwrap();
    }
    let status = wait(&run).await.status;
    let report = run.graph_report().await.unwrap().unwrap();
    let task = |task: &pleach_engine::graph::report::TaskReport| {
        let handle = task.handle.as_ref().map(|handle| format!(".{handle}")).unwrap_or_default();
        let reason = task.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("{}{handle} {}{reason}", task.id, task.status.as_str())
    };
    let lines: Vec<String> = report.tasks.iter().map(task).collect();
    scene.shut_down().await;
    (status, lines.join("\n"))
}

async fn check(text: &str, status: RunStatus, expected: expect_test::Expect) {
    let (ended, lines) = told(text, |_| {}, false).await;
    expected.assert_eq(&lines);
    assert_eq!(ended, status, "{lines}");
}

#[tokio::test]
async fn a_node_that_mended_what_it_had_failed_with_has_completed() {
    let text = r#"
nodes:
  work: {spawn_run: {target: echo, input: "${{ has(nodes.again.output) ? 5 : 'five' }}", output_schema: {type: integer}}}
  again: {replan: {max_replans: 3}}
  out: {output: {value: "${{ nodes.work.output }}"}}
edges: [{from: work, to: again}, {from: again.replan, to: work}, {from: again.continue, to: out}]
"#;
    let expected = expect_test::expect![[r#"
        work completed
        again.continue completed
        out completed"#]];
    check(text, RunStatus::Completed, expected).await;
}

#[tokio::test]
async fn a_node_that_the_last_round_passed_by_is_skipped() {
    let text = r#"
nodes:
  which: {router: {route_key: "has(nodes.again.output) ? 'b' : 'a'", routes: [{name: a}, {name: b}]}}
  one: {spawn_run: {target: script, input: [{op: fail, code: bad, message: one}]}}
  two: {spawn_run: {target: echo, input: 2}}
  again: {replan: {max_replans: 3}}
  out: {output: {value: done}}
edges:
- {from: which.a, to: one}
- {from: which.b, to: two}
- {from: which.default, to: two}
- {from: one, to: again}
- {from: two, to: again}
- {from: again.replan, to: which}
- {from: again.continue, to: out}
"#;
    let expected = expect_test::expect![[r#"
        which.b completed
        one skipped (`which` went on to `b`)
        two completed
        again.continue completed
        out completed"#]];
    check(text, RunStatus::Completed, expected).await;
}

#[tokio::test]
async fn what_had_no_turn_before_a_graph_failed_is_skipped() {
    let text = r#"
nodes:
  a: {spawn_run: {target: echo}}
  slow: {spawn_run: {target: script, input: [{op: sleep, ms: 60000}]}}
  late: {spawn_run: {target: script, input: [{op: sleep, ms: 100}, {op: fail, code: bad, message: late}]}}
  stop: {cancel_subtree: {node: a}}
  after: {spawn_run: {target: echo}}
  out: {output: {value: done}}
edges:
- {from: a, to: stop}
- {from: slow, to: stop}
- {from: slow, to: after}
- {from: a, to: out}
- {from: after, to: out}
- {from: stop, to: out}
"#;
    let expected = expect_test::expect![[r#"
        a completed
        slow cancelled (the run was cancelled: parent_closed)
        late failed
        stop skipped (`slow` was cancelled)
        after skipped (`slow` was cancelled)
        out skipped (`slow` was cancelled)"#]];
    check(text, RunStatus::Failed, expected).await;
}

#[tokio::test]
async fn an_output_behind_an_isolated_failure_is_skipped() {
    let text = r#"
nodes:
  a: {spawn_run: {target: echo}}
  bad: {spawn_run: {target: script, input: [{op: fail, code: bad, message: m}], on_failure: isolated}}
  both: {spawn_run: {target: echo}}
  out: {output: {value: done}}
edges: [{from: a, to: both}, {from: bad, to: both}, {from: a, to: out}, {from: both, to: out}]
"#;
    let expected = expect_test::expect![[r#"
        a completed
        bad failed
        both skipped (`bad` failed)
        out skipped (`bad` failed)"#]];
    check(text, RunStatus::Failed, expected).await;
}

#[tokio::test]
async fn what_a_cancelled_graph_did_not_see_decided_was_cancelled_with_it() {
    let text = r#"
nodes:
  slow: {map: {over: "[1, 2]", target: script, input: [{op: sleep, ms: 60000}]}}
  all: {join: {}}
  out: {output: {value: done}}
  never: {output: {value: never}}
edges: [{from: slow, to: all}, {from: all.completed, to: out}, {from: all, to: never}]
"#;
    let (status, lines) = told(text, |_| {}, true).await;
    assert_eq!(status, RunStatus::Cancelled);
    expect_test::expect![[r#"
        slow cancelled (the run was cancelled: enough)
        all skipped (`slow` was cancelled)
        out skipped (`slow` was cancelled)
        never skipped (`slow` was cancelled)"#]]
    .assert_eq(&lines);
}

#[tokio::test]
async fn what_had_no_turn_when_the_budget_was_spent_is_skipped() {
    let text = r#"
nodes:
  each: {map: {over: "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]", target: echo, window: 1}}
  all: {join: {}}
  out: {output: {value: done}}
edges: [{from: each, to: all}, {from: all, to: out}]
"#;
    let (status, lines) = told(text, |submission| submission.budget.host_calls = Some(12), false).await;
    assert_eq!(status, RunStatus::Failed);
    expect_test::expect![[r#"
        each cancelled
        all skipped (`each` was cancelled)
        out skipped (`each` was cancelled)"#]]
    .assert_eq(&lines);
}

#[tokio::test]
async fn a_call_that_took_too_long_is_timed_out() {
    let text = r#"
nodes:
  call: {agent_call: {target: script, input: [{op: sleep, ms: 100000}], timeout_ms: 20}}
  again: {replan: {of: [call], max_replans: 0}}
  out: {output: {value: "${{ nodes.call.status }}"}}
edges: [{from: call, to: again}, {from: again, to: out}]
"#;
    check(
        text,
        RunStatus::Completed,
        expect_test::expect![[r#"
        call timed_out
        again.continue completed
        out completed"#]],
    )
    .await;
}

#[tokio::test]
async fn a_group_that_nobody_joins_is_what_its_members_came_to() {
    let text = r#"
nodes:
  waits: {spawn_group: {parent_close: wait, targets: [{target: script, input: [{op: sleep, ms: 30}]}]}}
  ends: {spawn_group: {targets: [{target: script, input: [{op: sleep, ms: 100000}]}]}}
"#;
    check(
        text,
        RunStatus::Completed,
        expect_test::expect![[r#"
        waits completed
        ends cancelled (the run was cancelled: parent_closed)"#]],
    )
    .await;
}

#[tokio::test]
async fn an_output_that_failed_the_graph_behind_a_condition_has_failed() {
    let text = r#"
nodes:
  a: {spawn_run: {target: echo, input: 1}}
  e: {output: {error: {code: x_failed}}}
  o: {output: {value: fine}}
edges: [{from: a, to: e, when: nodes.a.output == 1}, {from: a, to: o, when: nodes.a.output == 2}]
"#;
    let expected = expect_test::expect![[r#"
        a completed
        e failed
        o skipped (the graph had ended)"#]];
    check(text, RunStatus::Failed, expected).await;
}

/// Of several outputs and cancels behind conditions, each is known by itself.
#[tokio::test]
async fn what_was_reached_behind_conditions_is_known() {
    let text = r#"
nodes:
  work: {spawn_run: {target: echo, input: 5}}
  small: {output: {value: "${{ nodes.work.output }}"}}
  large: {output: {value: "${{ nodes.work.output }}"}}
  odd: {output: {value: "${{ nodes.work.output }}"}}
  stop: {cancel_subtree: {node: work}}
  rest: {cancel_subtree: {node: work}}
edges:
- {from: work, to: small, when: nodes.work.output < 5}
- {from: work, to: large, when: nodes.work.output >= 5}
- {from: work, to: odd, when: nodes.work.output % 2 == 1}
- {from: work, to: stop, when: nodes.work.output > 3}
- {from: work, to: rest, when: nodes.work.output > 7}
"#;
    let expected = expect_test::expect![[r#"
        work completed
        small skipped (no condition that leads to it held)
        large completed
        odd completed
        stop completed
        rest skipped (no condition that leads to it held)"#]];
    check(text, RunStatus::Completed, expected).await;
}

/// Of a graph that was ended, nobody knows which conditions would have held.
#[tokio::test]
async fn what_a_graph_that_failed_did_not_come_to_was_too_late() {
    let text = r#"
nodes:
  work: {spawn_run: {target: echo, input: 5}}
  good: {judge: {score: nodes.work.output, threshold: 1}}
  stop: {output: {error: {code: stop}}}
  more: {spawn_run: {target: echo, input: 1}}
  after: {spawn_run: {target: echo, input: 2}}
  last: {output: {value: 1}}
edges:
- {from: work, to: stop, when: nodes.work.output == 5}
- {from: work, to: more, when: nodes.work.output == 5}
- {from: work, to: good}
- {from: good, to: after}
- {from: more, to: last}
- {from: after, to: last}
"#;
    let expected = expect_test::expect![[r#"
        work completed
        good skipped (the graph had ended)
        stop failed
        more skipped (the graph had ended)
        after skipped (the graph had ended)
        last skipped (the graph had ended)"#]];
    check(text, RunStatus::Failed, expected).await;
}

/// Also what a later round did not come by again.
#[tokio::test]
async fn an_output_within_a_loop_is_known() {
    let text = r#"
nodes:
  a: {spawn_run: {target: script, input: [{op: fail, code: x, message: m}], on_failure: isolated}}
  b: {spawn_run: {target: echo, input: "${{ has(nodes.again.output) ? 2 : 1 }}"}}
  o: {output: {value: "first"}}
  again: {replan: {of: [a], max_replans: 1}}
  end: {output: {value: "end"}}
edges:
- {from: b, to: o, when: nodes.b.output == 1}
- {from: b, to: a}
- {from: o, to: again}
- {from: a, to: again}
- {from: again.replan, to: b}
- {from: again.continue, to: end}
"#;
    let expected = expect_test::expect![[r#"
        a failed
        b completed
        o completed
        again.continue completed
        end completed"#]];
    check(text, RunStatus::Completed, expected).await;
}

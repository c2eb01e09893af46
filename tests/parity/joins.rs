//! Every way in which a group can be decided.

use pleach_engine::kernel::Payload;
use pleach_engine::{HostCalls, Running};
use serde_json::{Value, json};

use super::ways::{Scenario, Told, done, join_all, same};

/// Runs that a group is made of.
fn ok(value: u32) -> Value {
    json!({"target": "echo", "input": value})
}

fn failing() -> Value {
    json!({"target": "script", "input": [{"op": "fail", "code": "broken", "message": "no"}]})
}

fn long() -> Value {
    json!({"target": "script", "input": [{"op": "sleep", "ms": 600_000}]})
}

/// Spawns the members, joins them, and gives back why the group was decided.
fn program(mut calls: HostCalls, input: Value) -> Running {
    Box::pin(async move {
        let result = join_all(&mut calls, input["members"].clone(), input["join"].clone()).await?;
        done(json!([&*result.reason, values(&result.outputs)]))
    })
}

fn values(outputs: &[pleach_engine::kernel::MemberOutcome]) -> Vec<Value> {
    let given = outputs.iter().filter_map(|member| member.output.as_ref().map(Payload::as_str));
    given.map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// A group that is decided so, in each way; what came of it.
async fn joined(members: Value, join: Value, handle: &str) -> Told {
    let targets = serde_json::to_string(&members).unwrap();
    let node = serde_json::to_string(&join).unwrap();
    // Of the group's outputs, the values of those that completed.
    let indexed = members.as_array().unwrap().iter().enumerate();
    let completed = indexed.filter(|(_, member)| member["target"] == "echo");
    let values: Vec<Value> = completed.map(|(at, _)| json!(format!("$1.outputs.{at}.output"))).collect();
    let graph = format!(
        r#"
nodes:
  all: {{spawn_group: {{targets: {targets}}}}}
  gather: {{join: {node}}}
  out: {{output: {{value: ["${{{{ nodes.gather.output.reason }}}}", "${{{{ nodes.gather.output.values }}}}"]}}}}
  other: {{output: {{error: {{code: other_handle}}}}}}
edges: [{{from: all, to: gather}}, {{from: gather.{handle}, to: out}}, {{from: gather, to: other}}]
"#
    );
    let guest = json!([
        {"op": "group", "members": members, "key_prefix": "all", "join": join},
        {"op": "join", "group": "$0.group_id"},
        {"op": "return", "value": ["$1.reason", values]},
    ]);
    same(Scenario { graph, guest, program, input: json!({"members": members, "join": join}) }).await
}

#[track_caller]
fn decided(told: &Told, status: &str, output: Value, ends: &[&str]) {
    assert_eq!(told.decided("join_decision")[0]["status"], status);
    assert_eq!(told.output(), &output);
    let given: Vec<&str> = (1..=ends.len() as u32).map(|number| told.end(number)).collect();
    assert_eq!(given, ends);
}

#[tokio::test]
async fn best_effort_where_all_complete() {
    let told = joined(json!([ok(1), ok(2)]), json!({"mode": "best_effort"}), "completed").await;
    decided(&told, "completed", json!(["all_ended", [1, 2]]), &["completed", "completed"]);
}

#[tokio::test]
async fn best_effort_where_some_fail() {
    let told = joined(json!([ok(1), failing()]), json!({"mode": "best_effort"}), "completed_with_errors").await;
    decided(&told, "completed_with_errors", json!(["all_ended", [1]]), &["completed", "failed"]);
}

#[tokio::test]
async fn best_effort_where_all_fail() {
    let told = joined(json!([failing(), failing()]), json!({"mode": "best_effort"}), "failed").await;
    decided(&told, "failed", json!(["all_ended", []]), &["failed", "failed"]);
}

#[tokio::test]
async fn fail_fast_where_all_complete() {
    let told = joined(json!([ok(1), ok(2), ok(3)]), json!({"mode": "fail_fast"}), "completed").await;
    decided(&told, "completed", json!(["all_ended", [1, 2, 3]]), &["completed"; 3]);
}

#[tokio::test]
async fn fail_fast_where_one_fails() {
    let told = joined(json!([long(), failing(), long()]), json!({"mode": "fail_fast"}), "failed").await;
    decided(&told, "failed", json!(["join_fail_fast", []]), &["cancelled", "failed", "cancelled"]);
}

#[tokio::test]
async fn a_quorum_that_is_reached() {
    let told = joined(json!([ok(1), long(), ok(3)]), json!({"mode": "quorum", "quorum": 2}), "completed").await;
    decided(&told, "completed", json!(["join_quorum_reached", [1, 3]]), &["completed", "cancelled", "completed"]);
}

#[tokio::test]
async fn a_quorum_that_cannot_be_reached() {
    let told = joined(json!([failing(), long()]), json!({"mode": "quorum", "quorum": 2}), "failed").await;
    decided(&told, "failed", json!(["join_quorum_impossible", []]), &["failed", "cancelled"]);
}

#[tokio::test]
async fn a_first_success() {
    let told = joined(json!([long(), ok(7), long()]), json!({"mode": "first_success"}), "completed").await;
    decided(&told, "completed", json!(["join_first_success", [7]]), &["cancelled", "completed", "cancelled"]);
}

#[tokio::test]
async fn a_first_success_that_never_comes() {
    let told = joined(json!([failing(), failing()]), json!({"mode": "first_success"}), "failed").await;
    decided(&told, "failed", json!(["all_ended", []]), &["failed", "failed"]);
}

#[tokio::test]
async fn a_join_whose_time_is_up() {
    let join = json!({"mode": "best_effort", "timeout_ms": 50});
    let told = joined(json!([long(), long()]), join, "timed_out").await;
    decided(&told, "timed_out", json!(["join_timed_out", []]), &["cancelled", "cancelled"]);
}

#[tokio::test]
async fn a_group_of_nobody() {
    let graph = r#"
nodes:
  all: {map: {over: input.members, target: echo}}
  gather: {join: {}}
  out: {output: {value: ["${{ nodes.gather.output.reason }}", "${{ nodes.gather.output.values }}"]}}
edges: [{from: all, to: gather}, {from: gather, to: out}]
"#;
    let guest = json!([
        {"op": "group", "members": [], "key_prefix": "all"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "return", "value": ["$1.reason", []]},
    ]);
    let input = json!({"members": [], "join": {}});
    let told = same(Scenario { graph: graph.into(), guest, program, input }).await;
    decided(&told, "empty", json!(["empty", []]), &[]);
}

#[tokio::test]
async fn a_map_whose_window_has_room_for_all_is_a_group() {
    let graph = r#"
nodes:
  all: {map: {over: "[1, 2, 3]", target: echo, input: "${{ item }}"}}
  gather: {join: {}}
  out: {output: {value: ["${{ nodes.gather.output.reason }}", "${{ nodes.gather.output.values }}"]}}
edges: [{from: all, to: gather}, {from: gather, to: out}]
"#;
    let members = json!([ok(1), ok(2), ok(3)]);
    let guest = json!([
        {"op": "group", "members": members, "key_prefix": "all"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "return", "value": ["$1.reason", [1, 2, 3]]},
    ]);
    let told = same(Scenario { graph: graph.into(), guest, program, input: json!({"members": members, "join": {}}) });
    decided(&told.await, "completed", json!(["all_ended", [1, 2, 3]]), &["completed"; 3]);
}

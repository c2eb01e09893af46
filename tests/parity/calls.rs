//! Calls, timeouts, cancels, retries, budgets, and how a root ends.

use pleach_engine::kernel::{Budget, Cancel, RunError};
use pleach_engine::{HostCalls, Running};
use serde_json::{Value, json};

use super::ways::{Scenario, done, failed, join_all, request, same, same_under, same_with};
use crate::scene::{everything, until};

#[tokio::test]
async fn a_chain_hands_on_what_it_gets() {
    let graph = r#"
nodes:
  first: {agent_call: {target: echo, input: {n: 1}}}
  second: {agent_call: {target: echo, input: ["${{ nodes.first.output.n }}"]}}
  out: {output: {value: "${{ nodes.second.output }}"}}
edges: [{from: first, to: second}, {from: second, to: out}]
"#;
    let guest = json!([
        {"op": "call", "target": "echo", "input": {"n": 1}, "spawn_key": "first"},
        {"op": "call", "target": "echo", "input": ["$0.output.n"], "spawn_key": "second"},
        {"op": "return", "value": "$1.output"},
    ]);
    let program = |mut calls: HostCalls, _: Value| -> Running {
        Box::pin(async move {
            let first = request(json!({"target": "echo", "input": {"n": 1}, "spawn_key": "first"}));
            let first = calls.agent_call(first).await.map_err(failed)?;
            let given: Value = serde_json::from_str(first.output.unwrap().as_str()).unwrap();
            let second = request(json!({"target": "echo", "input": [given["n"]], "spawn_key": "second"}));
            let second = calls.agent_call(second).await.map_err(failed)?;
            Ok(second.output.unwrap())
        })
    };
    let told = same(Scenario { graph: graph.into(), guest, program, input: json!({}) }).await;
    assert_eq!((told.output(), told.decided("spawn_decision").len()), (&json!([1]), 3));
}

/// An agent is called under the key `a`, and what came of it is told; the graph
/// says `lost` where it did not complete.
async fn called(target: &str, input: Value, timeout_ms: Option<u64>) -> super::ways::Told {
    let timeout = timeout_ms.map_or(String::new(), |ms| format!(", timeout_ms: {ms}"));
    let graph = format!(
        r#"
nodes:
  a: {{agent_call: {{target: {target}, input: {input}, on_failure: isolated{timeout}}}}}
  out: {{output: {{value: done}}}}
"#
    );
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            calls.agent_call(request(input)).await.map_err(failed)?;
            done(json!("done"))
        })
    };
    let mut call = json!({"target": target, "input": input, "spawn_key": "a"});
    if let Some(ms) = timeout_ms {
        call["timeout_ms"] = json!(ms);
    }
    let mut step = call.clone();
    step["op"] = json!("call");
    let guest = json!([step, {"op": "return", "value": "done"}]);
    let told = same(Scenario { graph, guest, program, input: call }).await;
    assert_eq!(told.output(), "done");
    told
}

#[tokio::test]
async fn a_call_that_fails() {
    let told = called("script", json!([{"op": "fail", "code": "broken", "message": "no"}]), None).await;
    assert_eq!(told.steps(1), ["started", "failed"]);
}

#[tokio::test]
async fn a_call_whose_time_is_up() {
    let told = called("script", json!([{"op": "sleep", "ms": 600_000}]), Some(50)).await;
    assert_eq!(told.decided("join_decision")[0]["reason"], "join_timed_out");
    assert_eq!(told.end(1), "cancelled");
}

#[tokio::test]
async fn a_call_whose_run_calls_others() {
    // What is below the scenario asks as a guest in every way.
    let told = called("script", json!([{"op": "spawn", "target": "echo", "input": 1}]), None).await;
    // It holds nothing, for nothing was given to it.
    assert_eq!(told.decided("policy_deny")[0]["code"], "scope_required");
}

/// A group of one, with more fields, joined.
async fn one(fields: Value) -> super::ways::Told {
    let mut member = json!({"target": "script"});
    member.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let graph = format!(
        r#"
nodes:
  all: {{spawn_group: {{targets: [{member}]}}}}
  gather: {{join: {{}}}}
  out: {{output: {{value: "${{{{ nodes.gather.output.reason }}}}"}}}}
edges: [{{from: all, to: gather}}, {{from: gather, to: out}}]
"#
    );
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move { done(json!(&*join_all(&mut calls, json!([input]), json!({})).await?.reason)) })
    };
    let guest = json!([
        {"op": "group", "members": [member], "key_prefix": "all"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "return", "value": "$1.reason"},
    ]);
    let set = |submission: &mut pleach_engine::Submission| {
        submission.budget = Budget { tokens: Some(100), ..Budget::default() };
    };
    let told = same_under(Scenario { graph, guest, program, input: member }, set).await;
    assert_eq!(told.output(), "all_ended");
    told
}

#[tokio::test]
async fn a_run_whose_time_is_up() {
    let told = one(json!({"input": [{"op": "sleep", "ms": 600_000}], "timeout_ms": 50})).await;
    assert_eq!(told.end(1), "timed_out");
}

#[tokio::test]
async fn a_run_that_is_tried_again_with_jitter() {
    let fail = json!([{"op": "fail", "code": "flaky", "message": "not now", "retryable": true}]);
    let retry = json!({"max_attempts": 3, "backoff": "exponential", "initial_ms": 1, "max_ms": 5, "jitter": 0.5});
    let told = one(json!({"input": fail, "retry": retry})).await;
    let steps = ["started", "retrying", "queued", "started", "retrying", "queued", "started", "failed"];
    assert_eq!(told.steps(1), steps);
}

#[tokio::test]
async fn a_failure_that_no_other_try_mends_is_not_tried_again() {
    let fail = json!([{"op": "fail", "code": "broken", "message": "no"}]);
    let retry = json!({"max_attempts": 3, "backoff": "fixed", "initial_ms": 1, "max_ms": 1, "jitter": 0.0});
    assert_eq!(one(json!({"input": fail, "retry": retry})).await.steps(1), ["started", "failed"]);
}

#[tokio::test]
async fn a_budget_that_is_reserved_and_given_back() {
    let told = one(json!({"input": [{"op": "return", "value": 1}], "budget": {"tokens": 10}})).await;
    let moves = told.decided("budget");
    assert!(moves.iter().any(|moved| moved["refunded"]["tokens"] == 10), "{moves:?}");
}

#[tokio::test]
async fn a_cancel_stops_what_it_names() {
    let graph = r#"
nodes:
  all: {spawn_group: {targets: [{target: script, input: [{op: sleep, ms: 600000}]}]}}
  quick: {agent_call: {target: echo, input: 1}}
  stop: {cancel_subtree: {node: all, reason: enough}}
  gather: {join: {}}
  out: {output: {value: "${{ nodes.gather.output.status }}"}}
edges: [{from: all, to: quick}, {from: quick, to: stop}, {from: all, to: gather}, {from: stop, to: out}, {from: gather, to: out}]
"#;
    let member = json!({"target": "script", "input": [{"op": "sleep", "ms": 600_000}]});
    let guest = json!([
        {"op": "group", "members": [member], "key_prefix": "all"},
        {"op": "call", "target": "echo", "input": 1, "spawn_key": "quick"},
        {"op": "cancel", "run_id": "$0.members.0.run_id", "reason": "enough"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "return", "value": "$3.status"},
    ]);
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            let all = calls.spawn_group(vec![request(input)], Some("all".into()), Default::default()).await;
            let all = all.map_err(failed)?;
            let quick = request(json!({"target": "echo", "input": 1, "spawn_key": "quick"}));
            calls.agent_call(quick).await.map_err(failed)?;
            let cancel = Cancel { reason: "enough".into(), ..Cancel::of(all.members[0].run_id) };
            calls.cancel(cancel).await.map_err(failed)?;
            let joined = calls.join(all.group_id).await.map_err(failed)?;
            done(serde_json::to_value(joined.status).unwrap())
        })
    };
    let told = same(Scenario { graph: graph.into(), guest, program, input: member }).await;
    assert_eq!(told.decided("cancellation_propagation")[0]["reason"], "enough");
    assert_eq!((told.output(), told.end(1)), (&json!("failed"), "cancelled"));
}

/// A root that waits for a run that does not end. It asks for that in one call, so
/// that wherever it is ended it has no more to ask.
fn waits_for_ever() -> Scenario {
    let graph = r#"
nodes:
  a: {agent_call: {target: script, input: [{op: sleep, ms: 600000}]}}
  out: {output: {value: "${{ nodes.a.output }}"}}
edges: [{from: a, to: out}]
"#;
    let call = json!({"target": "script", "input": [{"op": "sleep", "ms": 600_000}], "spawn_key": "a"});
    let mut step = call.clone();
    step["op"] = json!("call");
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move { Ok(calls.agent_call(request(input)).await.map_err(failed)?.output.unwrap()) })
    };
    Scenario { graph: graph.into(), guest: json!([step]), program, input: call }
}

#[tokio::test]
async fn a_root_whose_time_is_up_takes_its_runs_with_it() {
    let told = same_under(waits_for_ever(), |submission| submission.timeout_ms = Some(100)).await;
    assert_eq!((told.end(0), told.end(1)), ("timed_out", "cancelled"));
}

#[tokio::test]
async fn a_root_that_is_cancelled_takes_its_runs_with_it() {
    let cancel = async |run: &pleach_engine::Run| {
        let child = run.id().index + 1;
        until(run, |event, data| {
            event.event.ends_with("child_lifecycle")
                && data["status"] == "started"
                && data["child_run_id"].as_str().is_some_and(|id| id.ends_with(&format!(".{child}")))
        })
        .await;
        run.cancel("enough").await.unwrap();
    };
    let told = same_with(waits_for_ever(), |_| {}, cancel).await;
    assert_eq!((told.end(0), told.end(1)), ("cancelled", "cancelled"));
    assert_eq!(told.decided("cancellation_propagation")[0]["reason"], "enough");
}

#[tokio::test]
async fn runs_that_are_live_when_their_root_ends() {
    let graph = r#"
nodes:
  waits: {spawn_run: {target: script, input: [{op: sleep, ms: 200}], wait: false, parent_close: wait}}
  goes_on: {spawn_run: {target: script, input: [{op: sleep, ms: 300}], wait: false, parent_close: abandon}}
  ends: {spawn_run: {target: script, input: [{op: sleep, ms: 600000}], wait: false}}
  out: {output: {value: gone}}
edges: [{from: waits, to: out}, {from: goes_on, to: out}, {from: ends, to: out}]
"#;
    let spawns = json!([
        {"target": "script", "input": [{"op": "sleep", "ms": 200}], "parent_close": "wait", "spawn_key": "waits"},
        {"target": "script", "input": [{"op": "sleep", "ms": 300}], "parent_close": "abandon", "spawn_key": "goes_on"},
        {"target": "script", "input": [{"op": "sleep", "ms": 600_000}], "spawn_key": "ends"},
    ]);
    let mut guest: Vec<Value> = spawns.as_array().unwrap().clone();
    guest.iter_mut().for_each(|step| step["op"] = json!("spawn"));
    guest.push(json!({"op": "return", "value": "gone"}));
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            for spawn in input.as_array().unwrap() {
                calls.spawn_run(request(spawn.clone())).await.map_err(failed)?;
            }
            done(json!("gone"))
        })
    };
    let told = same(Scenario { graph: graph.into(), guest: json!(guest), program, input: spawns }).await;
    assert_eq!([told.end(1), told.end(2), told.end(3)], ["completed", "completed", "cancelled"]);
    assert_eq!(told.steps(0), ["started", "completed"]);
}

#[tokio::test]
async fn a_root_that_fails_says_so() {
    let graph = r#"
nodes:
  a: {agent_call: {target: echo, input: 1}}
  bad: {output: {error: {code: no_good, message: as told}}}
edges: [{from: a, to: bad}]
"#;
    let guest = json!([
        {"op": "call", "target": "echo", "input": 1, "spawn_key": "a"},
        {"op": "fail", "code": "no_good", "message": "as told"},
    ]);
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            calls.agent_call(request(input)).await.map_err(failed)?;
            Err(RunError::new("no_good", "as told"))
        })
    };
    let input = json!({"target": "echo", "input": 1, "spawn_key": "a"});
    let told = same(Scenario { graph: graph.into(), guest, program, input }).await;
    assert_eq!((told.end(0), told.end(1)), ("failed", "completed"));
}

/// What a run may do is handed on as it was asked for.
#[tokio::test]
async fn scopes_are_handed_on_alike() {
    let all = everything()["can_use"].clone();
    let graph = format!(
        "nodes:\n  a: {{agent_call: {{target: script, input: [{{op: context}}, {{op: return, value: 1}}], scopes: {all}, delegate: {all}}}}}\n  \
         out: {{output: {{value: \"${{{{ nodes.a.output }}}}\"}}}}\nedges: [{{from: a, to: out}}]\n"
    );
    let steps = json!([{"op": "context"}, {"op": "return", "value": 1}]);
    let guest = json!([
        {"op": "call", "target": "script", "input": steps, "spawn_key": "a", "scopes": everything()},
        {"op": "return", "value": "$0.output"},
    ]);
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move { Ok(calls.agent_call(request(input)).await.map_err(failed)?.output.unwrap()) })
    };
    let scopes = json!({"use": all, "delegate": all});
    let input = json!({"target": "script", "input": steps, "spawn_key": "a", "scopes": scopes});
    let told = same(Scenario { graph, guest, program, input }).await;
    assert_eq!(told.decided("spawn_decision")[1]["effective_scopes"][0]["use"].as_array().unwrap().len(), 4);
}

//! Replans: by a rule, and by a replanner.

use pleach_engine::{HostCalls, Running, Submission};
use serde_json::{Value, json};

use super::ways::{Scenario, Told, done, failed, join_all, request, same, same_under};

#[tokio::test]
async fn a_rule_leads_back_until_nothing_has_failed() {
    let graph = r#"
nodes:
  begin: {agent_call: {target: echo, input: [1, 2]}}
  work: {map: {over: nodes.begin.output, target: script, input: [{op: "${{ item == 2 && !has(nodes.again.output) ? 'fail' : 'return' }}", code: x, message: m, value: 1}]}}
  gather: {join: {}}
  again: {replan: {when: failed > 0}}
  out: {output: {value: "${{ nodes.gather.output.values }}"}}
edges:
- {from: begin, to: work}
- {from: work, to: gather}
- {from: gather, to: again}
- {from: again.replan, to: work}
- {from: again.continue, to: out}
"#;
    let guest = json!([
        {"op": "call", "target": "echo", "input": [1, 2], "spawn_key": "begin"},
        {"op": "group", "members": [member("return"), member("fail")], "key_prefix": "work"},
        {"op": "join", "group": "$1.group_id"},
        {"op": "evaluate"},
        {"op": "group", "members": [member("return"), member("return")], "key_prefix": "work#2"},
        {"op": "join", "group": "$4.group_id"},
        {"op": "return", "value": [1, 1]},
    ]);
    let program = |mut calls: HostCalls, _: Value| -> Running {
        Box::pin(async move {
            let begin = request(json!({"target": "echo", "input": [1, 2], "spawn_key": "begin"}));
            calls.agent_call(begin).await.map_err(failed)?;
            let mut ops = ["return", "fail"];
            for key in ["work", "work#2"] {
                let members = ops.iter().map(|op| request(member(op))).collect();
                let group = calls.spawn_group(members, Some(key.into()), Default::default()).await.map_err(failed)?;
                if calls.join(group.group_id).await.map_err(failed)?.failure_count > 0 {
                    calls.evaluate(None, None, None).await.map_err(failed)?;
                }
                ops = ["return"; 2];
            }
            done(json!([1, 1]))
        })
    };
    let told = same(Scenario { graph: graph.into(), guest, program, input: json!({}) }).await;
    let replans = told.decided("replan_decision");
    assert_eq!((replans.len(), &replans[0]["suggested_action"]), (1, &json!("replan")));
    assert_eq!(told.decided("join_decision").last().unwrap()["status"], "completed");
}

#[tokio::test]
async fn a_replan_that_policy_has_none_left_for() {
    let graph = r#"
nodes:
  all: {spawn_group: {targets: [{target: script, input: [{op: fail, code: x, message: m, value: 1}]}, {target: script, input: [{op: return, code: x, message: m, value: 1}]}]}}
  gather: {join: {}}
  again: {replan: {of: [all]}}
  out: {output: {value: "${{ nodes.again.output.action }}"}}
edges: [{from: all, to: gather}, {from: gather, to: again}, {from: again, to: out}]
"#;
    let members = json!([member("fail"), member("return")]);
    let guest = json!([
        {"op": "group", "members": members, "key_prefix": "all"},
        {"op": "join", "group": "$0.group_id"},
        {"op": "evaluate"},
        {"op": "return", "value": "$2.suggested_action"},
    ]);
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            join_all(&mut calls, input, json!({})).await?;
            let answer = calls.evaluate(None, None, None).await.map_err(failed)?;
            done(json!(answer.suggested_action))
        })
    };
    let set = |submission: &mut Submission| {
        submission.policy.as_mut().unwrap().limits.max_replans = 0;
    };
    let told = same_under(Scenario { graph: graph.into(), guest, program, input: members }, set).await;
    let replan = told.decided("replan_decision")[0];
    assert_eq!((&replan["suggested_action"], &replan["reason"]), (&json!("continue"), &json!("max_replans")));
    assert_eq!(told.output(), "continue");
}

fn member(op: &str) -> Value {
    json!({"target": "script", "input": [{"op": op, "code": "x", "message": "m", "value": 1}]})
}

/// Two runs, of which one fails so, and what `retry-replanner` makes of that.
async fn planned(fail: Value, config: Value) -> Told {
    let members = json!([{"target": "script", "input": [fail]}, {"target": "echo", "input": 1}]);
    let targets = members.to_string();
    let graph = format!(
        r#"
nodes:
  all: {{spawn_group: {{targets: {targets}}}}}
  gather: {{join: {{}}}}
  again: {{replan: {{target: retry-replanner, config: {config}, on_failure: isolated}}}}
  out: {{output: {{value: done}}}}
edges: [{{from: all, to: gather}}, {{from: gather, to: again}}]
"#
    );
    let mut guest = vec![
        json!({"op": "group", "members": members, "key_prefix": "all"}),
        json!({"op": "join", "group": "$0.group_id"}),
        json!({"op": "evaluate", "replanner": "retry-replanner", "config": config}),
    ];
    if fail["retryable"] == true {
        guest.push(json!({"op": "join", "group": "$2.plan.group_id"}));
    }
    guest.push(json!({"op": "return", "value": "done"}));
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            join_all(&mut calls, input["members"].clone(), json!({})).await?;
            let config = pleach_engine::kernel::Payload::of(&input["config"]).unwrap();
            let answer = calls.evaluate(None, Some("retry-replanner".into()), Some(config)).await.map_err(failed)?;
            if let Some(group) = answer.plan.and_then(|plan| plan.group_id) {
                calls.join(group).await.map_err(failed)?;
            }
            done(json!("done"))
        })
    };
    let input = json!({"members": members, "config": config});
    let told = same(Scenario { graph, guest: json!(guest), program, input }).await;
    assert_eq!(told.output(), "done");
    told
}

fn steps(told: &Told) -> Vec<&Value> {
    let plan = &told.decided("replan_decision")[0]["plan"];
    plan["steps"].as_array().unwrap().iter().map(|step| &step["action"]).collect()
}

#[tokio::test]
async fn a_replanner_that_tries_again() {
    let fail = json!({"op": "fail", "code": "flaky", "message": "not now", "retryable": true});
    let told = planned(fail, json!({})).await;
    assert_eq!(steps(&told), ["retry"]);
    // The two, the replanner, and the one that was tried again.
    assert_eq!([told.end(1), told.end(2), told.end(3), told.end(4)], ["failed", "completed", "completed", "failed"]);
}

#[tokio::test]
async fn a_replanner_that_lets_a_failure_stand() {
    let told = planned(json!({"op": "fail", "code": "broken", "message": "no"}), json!({})).await;
    assert_eq!(steps(&told), ["accept"]);
}

#[tokio::test]
async fn a_replanner_that_gives_up() {
    let fail = json!({"op": "fail", "code": "broken", "message": "no"});
    let told = planned(fail, json!({"abort_above": 0.1})).await;
    assert_eq!(told.decided("replan_decision")[0]["plan"]["aborted"], true);
}

#[tokio::test]
async fn a_replanner_that_fails() {
    // Settings that it does not know.
    let told = planned(json!({"op": "fail", "code": "broken", "message": "no"}), json!({"nonsense": 1})).await;
    assert_eq!(told.end(3), "failed");
}

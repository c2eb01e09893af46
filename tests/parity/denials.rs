//! Everything that a spawn can be refused for.

use pleach_engine::kernel::{Budget, Code, Grant, Policy};
use pleach_engine::{CallError, Error, HostCalls, Running, Submission};
use serde_json::{Value, json};

use super::ways::{Scenario, done, failed, request, same_under};
use crate::scene::{Scene, open_policy};

/// Spawns what it is given, one after the other, and waits for none.
fn program(mut calls: HostCalls, input: Value) -> Running {
    Box::pin(async move {
        for spawn in input.as_array().unwrap() {
            match calls.spawn_run(request(spawn.clone())).await {
                Ok(_) | Err(CallError::Denied(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        done(json!("done"))
    })
}

/// A spawn of `echo` under the key `a`, with more fields, and the same for a node.
async fn denied(code: Code, spawn: Value, node: &str, set: impl Fn(&mut Submission)) {
    let mut request = json!({"target": "echo", "input": 1, "spawn_key": "a"});
    request.as_object_mut().unwrap().extend(spawn.as_object().unwrap().clone());
    let target = request["target"].as_str().unwrap();
    let graph = format!(
        r#"
nodes:
  a: {{spawn_run: {{target: {target}, input: 1, on_failure: isolated{node}}}}}
  out: {{output: {{value: done}}}}
"#
    );
    let mut step = request.clone();
    step["op"] = json!("spawn");
    // A grant has other names in the contract.
    if let Some(scopes) = step.get_mut("scopes") {
        *scopes = json!({"can_use": scopes["use"], "can_delegate": scopes["delegate"]});
    }
    let guest = json!([step, {"op": "return", "value": "done"}]);
    let told = same_under(Scenario { graph, guest, program, input: json!([request]) }, set).await;
    let denials = told.decided("policy_deny");
    assert_eq!(denials.len(), 1, "{denials:?}");
    assert_eq!(denials[0]["code"], code.as_str());
    assert_eq!(told.output(), "done");
}

fn with_policy(change: impl Fn(&mut Policy)) -> impl Fn(&mut Submission) {
    move |submission| change(submission.policy.as_mut().unwrap())
}

#[tokio::test]
async fn target_not_found() {
    denied(Code::TargetNotFound, json!({"target": "nobody"}), "", |_| {}).await;
}

#[tokio::test]
async fn target_not_published() {
    denied(Code::TargetNotPublished, json!({"target": "withdrawn"}), "", |_| {}).await;
}

#[tokio::test]
async fn allowlist_empty() {
    denied(Code::AllowlistEmpty, json!({}), "", with_policy(|policy| policy.targets.clear())).await;
}

#[tokio::test]
async fn target_not_allowlisted() {
    let set = with_policy(|policy| policy.targets = vec!["script".into()]);
    denied(Code::TargetNotAllowlisted, json!({}), "", set).await;
}

#[tokio::test]
async fn scope_required() {
    denied(Code::ScopeRequired, json!({}), "", |submission| submission.grant = Grant::default()).await;
}

#[tokio::test]
async fn scope_required_to_abandon() {
    let set = |submission: &mut Submission| {
        submission.grant = Grant::new(["spawn:*".parse().unwrap()], []);
    };
    denied(Code::ScopeRequired, json!({"parent_close": "abandon"}), ", parent_close: abandon", set).await;
}

#[tokio::test]
async fn scope_not_held() {
    let set = |submission: &mut Submission| {
        submission.grant = Grant::new(["spawn:*".parse().unwrap()], ["fs.read:docs/*".parse().unwrap()]);
    };
    let scopes = json!({"scopes": {"use": ["fs.read:corpus/*"], "delegate": []}});
    denied(Code::ScopeNotHeld, scopes, r#", scopes: ["fs.read:corpus/*"]"#, set).await;
}

#[tokio::test]
async fn scope_exceeds_policy() {
    let set = with_policy(|policy| {
        let own = json!({"conductor": {"targets": ["*"], "scopes": ["fs.read:docs/*"]}});
        policy.orchestrators = serde_json::from_value(own).unwrap();
    });
    let scopes = json!({"scopes": {"use": ["fs.read:corpus/*"], "delegate": []}});
    denied(Code::ScopeExceedsPolicy, scopes, r#", scopes: ["fs.read:corpus/*"]"#, set).await;
}

#[tokio::test]
async fn max_depth() {
    denied(Code::MaxDepth, json!({}), "", with_policy(|policy| policy.limits.max_depth = 0)).await;
}

#[tokio::test]
async fn max_children_total() {
    denied(Code::MaxChildrenTotal, json!({}), "", with_policy(|policy| policy.limits.max_children_total = 0)).await;
}

#[tokio::test]
async fn quota_exceeded() {
    denied(Code::QuotaExceeded, json!({}), "", with_policy(|policy| policy.quotas.max_queued = Some(0))).await;
}

#[tokio::test]
async fn budget_exhausted() {
    let set = |submission: &mut Submission| submission.budget = Budget { tokens: Some(5), ..Budget::default() };
    denied(Code::BudgetExhausted, json!({"budget": {"tokens": 6}}), ", budget: {tokens: 6}", set).await;
}

#[tokio::test]
async fn max_fanout_refuses_the_second_and_keeps_the_first() {
    let graph = r#"
nodes:
  a: {agent_call: {target: echo, input: 1}}
  b: {spawn_run: {target: echo, input: 2, on_failure: isolated}}
  out: {output: {value: done}}
edges: [{from: a, to: b}, {from: a, to: out}]
"#;
    let guest = json!([
        {"op": "call", "target": "echo", "input": 1, "spawn_key": "a"},
        {"op": "spawn", "target": "echo", "input": 2, "spawn_key": "b"},
        {"op": "return", "value": "done"},
    ]);
    let program = |mut calls: HostCalls, _: Value| -> Running {
        Box::pin(async move {
            calls.agent_call(request(json!({"target": "echo", "input": 1, "spawn_key": "a"}))).await.map_err(failed)?;
            let second = calls.spawn_run(request(json!({"target": "echo", "input": 2, "spawn_key": "b"}))).await;
            assert!(matches!(second, Err(CallError::Denied(_))));
            done(json!("done"))
        })
    };
    let set = with_policy(|policy| policy.limits.max_fanout = 1);
    let told = same_under(Scenario { graph: graph.into(), guest, program, input: json!({}) }, set).await;
    assert_eq!(told.decided("policy_deny")[0]["code"], "max_fanout");
    assert_eq!(told.end(1), "completed");
}

/// A group is refused for its second member, and nothing of it is there.
#[tokio::test]
async fn a_group_is_refused_whole() {
    let graph = r#"
nodes:
  all: {spawn_group: {targets: [{target: echo, input: 1}, {target: nobody, input: 2}], on_failure: isolated}}
  gather: {join: {}}
  out: {output: {value: done}}
edges: [{from: all, to: gather}]
"#;
    let members = json!([{"target": "echo", "input": 1}, {"target": "nobody", "input": 2}]);
    let guest = json!([
        {"op": "group", "members": members, "key_prefix": "all"},
        {"op": "return", "value": "done"},
    ]);
    let told = refused_group(graph, guest, json!({"members": members, "join": {}})).await;
    assert_eq!(told["code"], "target_not_found");
    assert_eq!(told["target"], "nobody");
}

#[tokio::test]
async fn invalid_quorum() {
    // Only a list that is not known before can be too short for it.
    let graph = r#"
nodes:
  all: {map: {over: input.list, target: echo, input: "${{ item }}", on_failure: isolated}}
  gather: {join: {mode: quorum, quorum: 3}}
  out: {output: {value: done}}
edges: [{from: all, to: gather}]
"#;
    let members = json!([{"target": "echo", "input": 1}, {"target": "echo", "input": 2}]);
    let join = json!({"mode": "quorum", "quorum": 3});
    let guest = json!([
        {"op": "group", "members": members, "key_prefix": "all", "join": join},
        {"op": "return", "value": "done"},
    ]);
    let input = json!({"members": members, "join": join, "list": [1, 2]});
    assert_eq!(refused_group(graph, guest, input).await["code"], "invalid_quorum");
}

async fn refused_group(graph: &str, guest: Value, input: Value) -> Value {
    let program = |mut calls: HostCalls, input: Value| -> Running {
        Box::pin(async move {
            let joined = super::ways::join_all(&mut calls, input["members"].clone(), input["join"].clone()).await;
            assert!(joined.is_err());
            done(json!("done"))
        })
    };
    let told = same_under(Scenario { graph: graph.into(), guest, program, input }, |_| {}).await;
    assert!(told.decided("spawn_decision").len() == 1, "nothing but the root was spawned: {told:#?}");
    told.decided("policy_deny")[0].clone()
}

/// What is closed to a tenant differs by its nature: each way in is refused where
/// it comes in.
#[tokio::test]
async fn feature_disabled_refuses_each_way_where_it_comes_in() {
    let scene = Scene::new().await;
    scene
        .host
        .provide("conductor", "1.0.0", |calls, input: pleach_engine::kernel::Payload| {
            program(calls, serde_json::from_str(input.as_str()).unwrap())
        })
        .unwrap();
    let input = pleach_engine::kernel::Payload::of(&json!([])).unwrap();
    let refused = async |mut submission: Submission, close: fn(&mut Policy)| {
        let mut policy = open_policy();
        close(&mut policy);
        submission.policy = Some(policy);
        match scene.host.submit(submission).await {
            Err(Error::Denied(denial)) => denial.code.as_str(),
            Err(error) => panic!("{error}"),
            Ok(_) => "admitted",
        }
    };
    let of_program = Submission::of_program("conductor", "1.0.0", input.clone());
    assert_eq!(refused(of_program, |policy| policy.surfaces.api = false).await, "feature_disabled");
    let text = "spec_version: \"2.0\"\ntasks: [{id: a, agent: echo}]";
    let of_graph = Submission::of_graph(pleach_engine::graph::source::Source::new("a.yaml", text), input);
    assert_eq!(refused(of_graph, |policy| policy.surfaces.graph = false).await, "feature_disabled");
    // A guest is let in, and refused what it asks for.
    let mut submission = scene.script(&json!([{"op": "spawn", "target": "echo", "input": 1}]));
    submission.policy.as_mut().unwrap().surfaces.guest = false;
    let answers = crate::scene::answers(&crate::scene::wait(&scene.submit(submission).await).await);
    assert_eq!(answers[0]["error"]["denied"]["code"], "feature_disabled");
    scene.shut_down().await;
}

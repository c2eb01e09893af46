//! Graphs, run by a host with real guests.

use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{Payload, RunStatus};
use pleach_engine::{Ended, Error, Run, Submission};
use serde_json::{Value, json};

use crate::scene::{Scene, facts, grant, log, open_policy, wait};

fn submission(text: &str, input: &Value) -> Submission {
    let mut submission = Submission::of_graph(Source::new("test.yaml", text), Payload::of(input).unwrap());
    submission.grant = grant();
    submission.policy = Some(open_policy());
    submission
}

async fn start(scene: &Scene, text: &str, input: Value) -> Run {
    match scene.host.submit(submission(text, &input)).await {
        Ok(run) => run,
        Err(Error::Graph { problems, .. }) => panic!("{problems:#?}"),
        Err(error) => panic!("{error}"),
    }
}

async fn play(text: &str, input: Value) -> Ended {
    let scene = Scene::new().await;
    let ended = wait(&start(&scene, text, input).await).await;
    scene.shut_down().await;
    ended
}

async fn output(text: &str, input: Value) -> Value {
    let ended = play(text, input).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    serde_json::from_str(ended.output.unwrap().as_str()).unwrap()
}

async fn failure(text: &str, input: Value) -> (String, String) {
    let ended = play(text, input).await;
    assert_eq!(ended.status, RunStatus::Failed, "{:?}", ended.output);
    let error = ended.error.unwrap();
    (error.code.to_string(), error.message)
}

#[tokio::test]
async fn a_node_gets_what_an_earlier_one_gave() {
    let text = r#"
spec_version: "2.0"
nodes:
  first: {spawn_run: {target: echo, input: {n: "${{ input.n + 1 }}"}}}
  second: {agent_call: {target: echo, input: ["${{ nodes.first.output.n * 2 }}", "n is ${{ nodes.first.output.n }}"]}}
  out: {output: {value: "${{ nodes.second.output }}"}}
edges:
- {from: first, to: second}
- {from: second, to: out}
"#;
    assert_eq!(output(text, json!({"n": 3})).await, json!([8, "n is 4"]));
}

#[tokio::test]
async fn a_group_is_joined_and_its_values_are_at_hand() {
    let text = r#"
spec_version: "2.0"
nodes:
  both: {spawn_group: {targets: [{target: echo, input: 1}, {target: script, input: [{op: fail, code: x, message: no}]}]}}
  gather: {join: {}}
  fine: {output: {value: fine}}
  some: {output: {value: "${{ nodes.gather.output.values }}"}}
edges:
- {from: both, to: gather}
- {from: gather.completed, to: fine}
- {from: gather, to: some}
"#;
    assert_eq!(output(text, json!({})).await, json!([1]));
}

#[tokio::test]
async fn a_map_of_many_keeps_its_window_and_its_order() {
    let text = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: input.items, target: echo, input: {i: "${{ index }}", x: "${{ item }}"}, window: 7}}
  gather: {join: {}}
  out: {output: {value: "${{ nodes.gather.output.values.map(v, v.x) }}"}}
edges: [{from: all, to: gather}, {from: gather, to: out}]
"#;
    let items: Vec<u32> = (0..50).map(|n| n * n).collect();
    let scene = Scene::new().await;
    let run = start(&scene, text, json!({"items": items})).await;
    let ended = wait(&run).await;
    let given: Value =
        serde_json::from_str(ended.output.unwrap_or_else(|| panic!("{:?}", ended.error)).as_str()).unwrap();
    assert_eq!(given, json!(items));
    // Never more than the window had begun and not ended.
    let (mut live, mut most) = (0i64, 0);
    for event in log(&run).await {
        let data: Value = serde_json::from_str(event.data.as_str()).unwrap();
        if event.event.ends_with("spawn_decision") && event.node_id.is_some() {
            live += data["spawned_run_ids"].as_array().unwrap().len() as i64;
        } else if event.event.ends_with("child_lifecycle") && event.node_id.is_some() && data["status"] == "completed" {
            live -= 1;
        }
        most = most.max(live);
    }
    assert!((1..=7).contains(&most), "{most} were in flight");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_router_and_a_judge_choose_one_way_and_the_other_is_skipped() {
    let text = r#"
spec_version: "2.0"
nodes:
  kind: {router: {route_key: input.kind, routes: [{name: bug}, {name: number, equals: 7}]}}
  bug: {spawn_run: {target: echo, input: bug}}
  number: {spawn_run: {target: echo, input: number}}
  other: {spawn_run: {target: echo, input: other}}
  good: {judge: {score: input.score, threshold: 0.5}}
  out: {output: {value: {good: "${{ nodes.good.output.outcome }}", bug: "${{ has(nodes.bug.output) }}", number: "${{ nodes.number.status }}"}}}
  bad: {output: {error: {code: bad, message: "only ${{ input.score }}"}}}
edges:
- {from: kind.bug, to: bug}
- {from: kind.number, to: number}
- {from: kind.default, to: other}
- {from: bug, to: good}
- {from: number, to: good}
- {from: other, to: good}
- {from: good.pass, to: out}
- {from: good.fail, to: bad}
"#;
    let given = output(text, json!({"kind": 7, "score": 0.5})).await;
    assert_eq!(given, json!({"good": "pass", "bug": false, "number": "completed"}));
    let given = output(text, json!({"kind": "7", "score": 1})).await;
    assert_eq!(given, json!({"good": "pass", "bug": false, "number": "skipped"}));
    assert_eq!(failure(text, json!({"kind": "bug", "score": 0.25})).await, ("bad".into(), "only 0.25".into()));
}

/// Fails the first time that it is run for a node, and not again.
const FLAKY: &str = r#"
spec_version: "2.0"
nodes:
  begin: {spawn_run: {target: echo, input: [1, 2]}}
  work: {map: {over: nodes.begin.output, target: script, input: [{op: "${{ item == 2 && !has(nodes.again.output) ? 'fail' : 'return' }}", code: x, message: m, value: "${{ item }}"}]}}
  gather: {join: {}}
  again: {replan: {max_replans: 2}}
  out: {output: {value: {values: "${{ nodes.gather.output.values }}", said: "${{ nodes.again.output.action }}"}}}
edges:
- {from: begin, to: work}
- {from: work, to: gather}
- {from: gather, to: again}
- {from: again.replan, to: work}
- {from: again.continue, to: out}
"#;

#[tokio::test]
async fn a_replan_leads_back_until_nothing_has_failed() {
    let scene = Scene::new().await;
    let run = start(&scene, FLAKY, json!({})).await;
    let ended = wait(&run).await;
    let given: Value =
        serde_json::from_str(ended.output.unwrap_or_else(|| panic!("{:?}", ended.error)).as_str()).unwrap();
    assert_eq!(given, json!({"values": [1, 2], "said": "continue"}));
    let events = log(&run).await;
    let joins = facts(&events, "join_decision");
    let statuses: Vec<&str> = joins.iter().map(|join| join["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["completed_with_errors", "completed"]);
    let replans = facts(&events, "replan_decision");
    let answers: Vec<&Value> = replans.iter().map(|replan| &replan["suggested_action"]).collect();
    assert_eq!(answers, ["replan", "continue"]);
    scene.shut_down().await;
}

#[tokio::test]
async fn a_failure_ends_everything_unless_it_is_isolated() {
    let graph = |on_failure: &str| {
        format!(
            r#"
spec_version: "2.0"
tasks:
- {{id: bad, agent: script, input: [{{op: fail, code: broken, message: no}}], on_failure: {on_failure}}}
- {{id: after, agent: echo, needs: [bad]}}
- {{id: free, agent: echo, input: 7}}
- {{id: later, agent: echo, input: 8, needs: [free]}}
"#
        )
    };
    let (code, message) = failure(&graph("cascading"), json!({})).await;
    assert_eq!(code, "node_failed");
    assert!(message.contains("`bad`") && message.contains("broken"), "{message}");
    assert_eq!(output(&graph("isolated"), json!({})).await, json!({"later": 8}));
}

#[tokio::test]
async fn a_refusal_fails_its_node_and_is_in_the_log() {
    let text = r#"
spec_version: "2.0"
policy: {max_fanout: 2}
nodes:
  a: {map: {over: input.items, target: echo}}
  all: {join: {}}
edges: [{from: a, to: all}]
"#;
    let scene = Scene::new().await;
    let run = start(&scene, text, json!({"items": [1, 2, 3]})).await;
    let ended = wait(&run).await;
    assert!(ended.error.unwrap().message.contains("max_fanout"));
    let events = log(&run).await;
    let denied = events.iter().find(|event| event.event.ends_with("policy_deny")).unwrap();
    assert_eq!(denied.node_id.as_deref(), Some("a"));
    scene.shut_down().await;
}

/// A run that gives what its node says it does not has failed, for whoever looks: in the
/// counts of its group, for a judge of how it stands, and in the log.
#[tokio::test]
async fn a_run_whose_output_does_not_fit_has_failed() {
    let text = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: input, target: echo, input: "${{ item }}", output_schema: {type: integer}, window: 2}}
  gather: {join: {}}
  fine: {output: {value: fine}}
  out: {output: {value: "${{ [nodes.gather.output.values, nodes.gather.output.failure_count, nodes.gather.output.outputs[1].error.code] }}"}}
edges:
- {from: all, to: gather}
- {from: gather.completed, to: fine}
- {from: gather, to: out}
"#;
    let scene = Scene::new().await;
    let run = start(&scene, text, json!([1, "two", 3])).await;
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{ended:?}");
    assert_eq!(ended.output.unwrap().as_str(), r#"[[1,3],1,"output_schema"]"#);
    let tree = run.tree(pleach_engine::kernel::Query::default()).await.unwrap();
    let errors = tree.tree.children.iter().filter_map(|child| child.error.as_ref());
    let errors: Vec<&str> = errors.map(|error| &*error.message).collect();
    assert_eq!(errors, ["its output does not fit the node `all`: \"two\" is not of type \"integer\""]);
    scene.shut_down().await;
}

/// The log says of each node what came of it, also where no run tells.
#[tokio::test]
async fn a_node_that_fails_by_itself_is_in_the_log_and_in_the_report() {
    let text = r#"
spec_version: "2.0"
nodes:
  first: {spawn_run: {target: echo, input: 7}}
  blank: {spawn_run: {target: echo, input: "${{ nodes.first.output.name }}", on_failure: isolated}}
  short: {spawn_run: {target: echo, input: "${{ run.depth }}", input_schema: {type: string}, on_failure: isolated}}
  after: {spawn_run: {target: echo, input: 1}}
  stop: {cancel_subtree: {node: first}}
  out: {output: {value: "${{ nodes.first.output }}"}}
edges: [{from: first, to: blank}, {from: short, to: after}, {from: first, to: stop}, {from: stop, to: out}]
"#;
    let scene = Scene::new().await;
    let run = start(&scene, text, json!({})).await;
    assert_eq!(wait(&run).await.status, RunStatus::Completed);
    let events = log(&run).await;
    let failed = events.iter().filter(|event| event.event.ends_with("node_failure"));
    let mut failed: Vec<&str> = failed.map(|event| event.node_id.as_deref().unwrap()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["blank", "short"]);
    let report = run.graph_report().await.unwrap().unwrap();
    let told = report.tasks.iter().map(|task| {
        let codes: Vec<&str> = task.errors.iter().map(|error| &*error.code).collect();
        format!("{} {} {}", task.id, task.status.as_str(), codes.join(" ")).trim().to_owned()
    });
    let expected = [
        "first completed",
        "blank failed expression_failed",
        "short failed input_schema",
        "after skipped",
        "stop completed",
        "out completed",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    scene.shut_down().await;
}

/// A map that has as much to compute for each of its items as one expression may.
const COSTLY: &str = r#"
spec_version: "2.0"
nodes:
  each: {map: {over: input, target: echo, input: "${{ input.filter(n, n + item < 0) }}", window: 10000}}
  all: {join: {}}
edges: [{from: each, to: all}]
"#;

fn many() -> Value {
    json!((0..10_000).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_graph_that_computes_for_long_holds_up_nobody_and_can_be_cancelled() {
    let scene = Scene::new().await;
    let mut costly = Vec::new();
    // More than there are threads that could take their place.
    for _ in 0..24 {
        costly.push(start(&scene, COSTLY, many()).await);
    }
    let quick = "spec_version: \"2.0\"\ntasks: [{id: a, agent: echo, input: 7}]";
    let ended = wait(&start(&scene, quick, json!({})).await).await;
    assert_eq!(ended.output.unwrap().as_str(), r#"{"a":7}"#);
    for run in costly {
        assert_eq!(run.cancel("enough").await.unwrap().cancelled_count, 1, "it has spawned nothing yet");
        assert_eq!(wait(&run).await.status, RunStatus::Cancelled);
    }
    scene.shut_down().await;
}

#[tokio::test]
async fn what_a_graph_computes_is_paid_from_its_budget() {
    let scene = Scene::new().await;
    let mut submission = submission(COSTLY, &many());
    submission.budget.cpu_ms = Some(50);
    let run = scene.host.submit(submission).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(&*ended.error.unwrap().code, "budget_exhausted");
    assert!(ended.usage.cpu_us >= 50_000, "{:?}", ended.usage);
    scene.shut_down().await;
}

#[tokio::test]
async fn what_this_host_would_refuse_is_told_before_anything_runs() {
    let scene = Scene::new().await;
    let text = "spec_version: \"2.0\"\ntasks: [{id: a, agent: nobody}, {id: b, agent: echo, scopes: [\"llm:x\"]}]";
    let Err(Error::Graph { problems, .. }) = scene.host.submit(submission(text, &json!({}))).await else {
        panic!("ran")
    };
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["target_not_found", "scope_exceeds_policy"]);
    scene.shut_down().await;
}

#[tokio::test]
async fn a_tenant_without_graphs_runs_none() {
    let scene = Scene::new().await;
    let mut submission = submission("spec_version: \"2.0\"\ntasks: [{id: a, agent: echo}]", &json!({}));
    submission.policy.as_mut().unwrap().surfaces.graph = false;
    let Err(Error::Denied(denial)) = scene.host.submit(submission).await else { panic!("admitted") };
    assert_eq!(denial.code.as_str(), "feature_disabled");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_node_that_is_cancelled_is_skipped_with_what_depends_on_it() {
    let text = r#"
spec_version: "2.0"
nodes:
  slow: {spawn_run: {target: script, input: [{op: sleep, ms: 60000}]}}
  after: {spawn_run: {target: echo}}
  quick: {spawn_run: {target: echo}}
  stop: {cancel_subtree: {node: slow, reason: enough}}
  out: {output: {value: {slow: "${{ nodes.slow.status }}", count: "${{ nodes.stop.output.cancelled_count }}"}}}
edges: [{from: slow, to: after}, {from: quick, to: stop}, {from: slow, to: out}, {from: stop, to: out}]
"#;
    assert_eq!(output(text, json!({})).await, json!({"slow": "cancelled", "count": 1}));
}

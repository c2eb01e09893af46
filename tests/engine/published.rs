//! Graphs that are published: agents like any other, for whoever spawns them.

use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{Payload, RunStatus};
use pleach_engine::{Error, Publish, Submission};
use serde_json::{Value, json};

use crate::lasting::{Lasting, stop};
use crate::scene::{Scene, facts, grant, log, open_policy, until, wait};

const DOUBLE: &str = r#"
spec_version: "2.0"
name: double
version: 1.2.0
input_schema: {type: object, required: [n]}
nodes:
  work: {spawn_run: {target: script, input: [{op: sleep, ms: "${{ input.ms }}"}, {op: return, value: "${{ input.n * 2 }}"}]}}
  out: {output: {value: "${{ nodes.work.output }}"}}
edges: [{from: work, to: out}]
"#;

const ALL: &str = r#"
spec_version: "2.0"
nodes:
  all: {map: {over: input.items, target: double@^1, input: {n: "${{ item }}", ms: "${{ input.ms }}"}, scopes: ["spawn:*"], delegate: ["spawn:*"]}}
  gather: {join: {}}
  out: {output: {value: "${{ nodes.gather.output.values }}"}}
edges: [{from: all, to: gather}, {from: gather, to: out}]
"#;

async fn publish(scene: &Scene, text: &str) -> Result<pleach_engine::Plugin, Error> {
    scene.host.publish_graph(Source::new("double.yaml", text), Publish::default()).await
}

fn submission(mut submission: Submission) -> Submission {
    submission.grant = grant();
    submission.policy = Some(open_policy());
    submission
}

fn of_all(ms: u64) -> Submission {
    let input = Payload::of(&json!({"items": [1, 2, 3], "ms": ms})).unwrap();
    submission(Submission::of_graph(Source::new("all.yaml", ALL), input))
}

fn given(output: Option<Payload>) -> Value {
    serde_json::from_str(output.expect("an output").as_str()).unwrap()
}

#[tokio::test]
async fn a_published_graph_is_run_by_its_name_and_says_what_it_is() {
    let scene = Scene::new().await;
    let plugin = publish(&scene, DOUBLE).await.unwrap();
    assert_eq!((&*plugin.name, &*plugin.version, &*plugin.role), ("double", "1.2.0", "agent"));
    let by_name = Submission::with_input("double@^1.1", &json!({"n": 21, "ms": 0})).unwrap();
    let ended = wait(&scene.submit(submission(by_name)).await).await;
    assert_eq!(given(ended.output), 42);
    // What it asks of its input holds below a root too.
    let without = Submission::with_input("double", &json!({})).unwrap();
    let ended = wait(&scene.submit(submission(without)).await).await;
    assert_eq!(&*ended.error.unwrap().code, "input_schema");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_graph_spawns_a_published_graph_whose_runs_are_below_it() {
    let scene = Scene::new().await;
    publish(&scene, DOUBLE).await.unwrap();
    let mut only_one = of_all(0);
    // Graphs that wait take no place, so one is enough for all of them.
    only_one.limits.max_concurrency = Some(1);
    let run = scene.submit(only_one).await;
    assert_eq!(given(wait(&run).await.output), json!([2, 4, 6]));
    let spawned = facts(&log(&run).await, "spawn_decision");
    let runs: usize = spawned.iter().filter_map(|fact| fact["spawned_run_ids"].as_array().map(Vec::len)).sum();
    assert!(runs >= 6, "{spawned:#?}");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_component_spawns_a_published_graph_as_it_does_any_agent() {
    let scene = Scene::new().await;
    publish(&scene, DOUBLE).await.unwrap();
    let authority = json!({"can_use": ["spawn:*"], "can_delegate": ["spawn:*"]});
    let call = json!({"op": "call", "target": "double", "input": {"n": 4, "ms": 0}, "scopes": authority});
    let answers = scene.play(json!([call])).await;
    assert!(answers[0].to_string().contains('8'), "{answers:#?}");
    scene.shut_down().await;
}

#[tokio::test]
async fn a_graph_that_speaks_for_a_root_is_not_published() {
    let scene = Scene::new().await;
    for (field, said) in [
        ("timeout_ms", "timeout_ms: 5"),
        ("max_concurrency", "max_concurrency: 2"),
        ("policy", "policy: {max_fanout: 3}"),
        ("budget", "budget: {tokens: 1}"),
        ("fairness", "fairness: shortest_first"),
    ] {
        let error = publish(&scene, &format!("{DOUBLE}{said}\n")).await.unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")) && error.contains("leave it out"), "{error}");
    }
    assert!(scene.host.plugins().await.unwrap().iter().all(|plugin| plugin.name != "double"));
    scene.shut_down().await;
}

#[tokio::test]
async fn a_broken_graph_or_version_is_not_published() {
    let scene = Scene::new().await;
    let Err(Error::Graph { problems, .. }) = publish(&scene, &DOUBLE.replace("name: double", "name: Double")).await
    else {
        panic!("it was published")
    };
    assert_eq!(problems.len(), 1);
    let error = publish(&scene, &DOUBLE.replace("1.2.0", "one")).await.unwrap_err();
    assert!(error.to_string().contains("no semantic version"), "{error}");
    publish(&scene, DOUBLE).await.unwrap();
    publish(&scene, DOUBLE).await.unwrap();
    let error = publish(&scene, &DOUBLE.replace("* 2", "* 3")).await.unwrap_err();
    assert!(error.to_string().contains("double@1.2.0"), "{error}");
    scene.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_graphs_go_on_where_their_host_stopped() {
    let lasting = Lasting::new();
    let scene = lasting.scene().await;
    publish(&scene, DOUBLE).await.unwrap();
    let run = scene.submit(of_all(500)).await;
    // All three are under way when the host goes.
    let mut started = 0;
    until(&run, |event, data| {
        started += u32::from(event.event.ends_with("child_lifecycle") && data["status"] == "started");
        started >= 6
    })
    .await;
    stop(scene.host).await;
    let host = lasting.host().await;
    let run = host.run(run.id()).await.unwrap();
    let ended = wait(&run).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    assert_eq!(given(ended.output), json!([2, 4, 6]));
    let spawned = facts(&log(&run).await, "spawn_decision");
    let runs: usize = spawned.iter().filter_map(|fact| fact["spawned_run_ids"].as_array().map(Vec::len)).sum();
    assert_eq!(runs, 7, "each is spawned once, the root included: {spawned:#?}");
    assert!(host.check().await.unwrap().is_empty());
    stop(host).await;
}

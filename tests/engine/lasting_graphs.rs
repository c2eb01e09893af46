//! Graphs whose host goes away: another one walks on where it stopped, spawns
//! nothing twice, and gives the same output.

use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{Payload, RunStatus};
use pleach_engine::{EventRecord, Host, Submission};
use serde_json::{Value, json};

use crate::lasting::{Lasting, stop, story};
use crate::scene::{facts, grant, log, open_policy, until, wait};

/// As long as a tree in the middle of its work is looked at.
const A_WHILE_MS: u64 = 1_500;

/// A chain, a map that does not fit its window, a loop, verdicts, a failure that is
/// isolated and something that is cancelled; `input.ms` is how long some of it takes.
const GRAPH: &str = r#"
spec_version: "2.0"
nodes:
  begin: {spawn_run: {target: echo, input: [1, 2, 3, 4, 5]}}
  kind: {router: {route_key: "size(nodes.begin.output)", routes: [{name: five, equals: 5}]}}
  work: {map: {over: nodes.begin.output, target: script, input: [{op: sleep, ms: "${{ input.ms }}"}, {op: "${{ item == 2 && !has(nodes.again.output) ? 'fail' : 'return' }}", code: x, message: m, value: "${{ item }}"}], window: 2}}
  gather: {join: {}}
  again: {replan: {of: [work], max_replans: 2}}
  good: {judge: {score: "size(nodes.gather.output.values)", threshold: 5}}
  bad: {spawn_run: {target: script, input: [{op: fail, code: broken, message: "no"}], on_failure: isolated}}
  after: {spawn_run: {target: echo}}
  slow: {spawn_run: {target: script, input: [{op: sleep, ms: 600000}]}}
  stop: {cancel_subtree: {node: slow}}
  call: {agent_call: {target: script, input: [{op: sleep, ms: "${{ input.ms }}"}, {op: return, value: called}]}}
  out: {output: {value: {good: "${{ nodes.good.output.outcome }}", values: "${{ nodes.gather.output.values }}", call: "${{ nodes.call.output }}", slow: "${{ nodes.slow.status }}"}}}
  no: {output: {error: {code: no_good}}}
edges:
- {from: begin, to: kind}
- {from: kind.five, to: work}
- {from: kind.default, to: no}
- {from: work, to: gather}
- {from: gather, to: again}
- {from: again.replan, to: work}
- {from: again.continue, to: good}
- {from: good.pass, to: call}
- {from: good.fail, to: no}
- {from: bad, to: after}
- {from: call, to: stop}
- {from: stop, to: out}
- {from: slow, to: out}
"#;

fn submission(ms: u64) -> Submission {
    let input = Payload::of(&json!({"ms": ms})).unwrap();
    let mut submission = Submission::of_graph(Source::new("lasting.yaml", GRAPH), input);
    submission.grant = grant();
    submission.policy = Some(open_policy());
    submission
}

/// Waits for something in a run's log, and has its host go away then.
async fn until_then_stop(host: Host, run: &pleach_engine::Run, wanted: impl FnMut(&EventRecord, &Value) -> bool) {
    until(run, wanted).await;
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_goes_on_where_its_host_stopped() {
    let mut told = Vec::new();
    for disturbed in [false, true] {
        let lasting = Lasting::new();
        let scene = lasting.scene().await;
        let run = scene.submit(submission(if disturbed { A_WHILE_MS } else { 10 })).await;
        let id = run.id();
        let mut host = scene.host;
        if disturbed {
            // In the middle of the map: some of it is not spawned yet.
            until_then_stop(host, &run, |event, _| event.node_id.as_deref() == Some("work")).await;
            host = lasting.host().await;
            // In its second round.
            let run = host.run(id).await.unwrap();
            until_then_stop(host, &run, |event, _| event.event.ends_with("replan_decision")).await;
            // Hosts that have no time to get anywhere do no harm.
            stop(lasting.host().await).await;
            host = lasting.host().await;
            // When all verdicts are told, and an agent is called.
            let run = host.run(id).await.unwrap();
            until_then_stop(host, &run, |event, _| event.node_id.as_deref() == Some("call")).await;
            host = lasting.host().await;
            // When it has cancelled what is not needed, and only its output is left.
            let run = host.run(id).await.unwrap();
            until_then_stop(host, &run, |event, _| event.event.ends_with("node_completion")).await;
            host = lasting.host().await;
        }
        let run = host.run(id).await.unwrap();
        let ended = wait(&run).await;
        assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
        let events = log(&run).await;
        let completed = events.iter().filter(|event| event.event.ends_with("node_completion"));
        let completed: Vec<&str> = completed.filter_map(|event| event.node_id.as_deref()).collect();
        assert_eq!(completed, ["stop", "out"]);
        for (kind, times) in [("route_decision", 1), ("judge_verdict", 1), ("replan_decision", 2)] {
            assert_eq!(facts(&events, kind).len(), times, "{kind}");
        }
        // What an event says besides, such as how often a run was started again, is
        // not in its story; nor is how many members of a map were added at once, which
        // depends on how many had ended.
        let mut story = story(&events);
        story.retain(|line| !line.contains("spawn_decision"));
        told.push((ended.output.unwrap().as_str().to_owned(), spawned(&events), story));
        assert!(host.check().await.unwrap().is_empty());
        assert_eq!(host.size(id).await.unwrap().journal_entries, 0, "what has ended needs no journal");
        stop(host).await;
    }
    assert_eq!(told[0], told[1]);
    let expected = r#"{"call":"called","good":"pass","slow":"cancelled","values":[1,2,3,4,5]}"#;
    assert_eq!(told[0].0, expected);
}

/// The keys of everything that was spawned, sorted.
fn spawned(events: &[EventRecord]) -> Vec<String> {
    let decisions = facts(events, "spawn_decision");
    let runs = decisions.iter().flat_map(|decision| decision["runs"].as_array().unwrap());
    let mut keys: Vec<String> = runs.map(|run| run["spawn_key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "something was spawned twice");
    keys
}

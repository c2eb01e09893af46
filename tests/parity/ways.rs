//! The three ways to write a scenario, and what has to be the same about them.

use std::collections::BTreeMap;
use std::path::Path;

use pleach_engine::graph::source::Source;
use pleach_engine::kernel::{JoinPolicy, JoinResult, Payload, RunError, SpawnRequest, Visibility};
use pleach_engine::{CallError, Error, EventRecord, Host, HostBuilder, HostCalls, Publish, Run, Running, Submission};
use serde_json::{Value, json};

use crate::lasting::stop;
use crate::scene::{Scene, grant, guest, log, open_policy, plugin, wait};

/// What each root is called, so that policy speaks of all of them.
const NAME: &str = "conductor";

/// What a scenario does, written in every way that can express it.
pub struct Scenario {
    /// The nodes and edges; empty where a graph cannot say it.
    pub graph: String,
    /// The calls of the guest `script`.
    pub guest: Value,
    pub program: fn(HostCalls, Value) -> Running,
    /// What the program and the graph are given.
    pub input: Value,
}

/// What one way has left in its log: of each thing what was said of it, in order.
///
/// Things that nobody orders may come in any order in the log, and so each has a
/// list of its own: what a run has asked for, what became of a run, what of a group,
/// and what was cancelled.
#[derive(Debug, PartialEq)]
pub struct Told(BTreeMap<String, Vec<Value>>);

impl Told {
    /// The data of every event of one kind.
    pub fn decided(&self, event: &str) -> Vec<&Value> {
        let name = format!("orchestration.{event}");
        self.0.values().flatten().filter(|told| told["event"] == *name).map(|told| &told["data"]).collect()
    }

    fn became(&self, number: u32) -> Vec<&Value> {
        let run = if number == 0 { "ROOT".to_owned() } else { format!("ROOT.{number}") };
        self.0.get(&format!("run {run}")).into_iter().flatten().map(|told| &told["data"]).collect()
    }

    /// The steps of a run: 0 is the root, 1 what was spawned first.
    pub fn steps(&self, number: u32) -> Vec<&str> {
        self.became(number).into_iter().map(|step| step["status"].as_str().unwrap()).collect()
    }

    /// The last of those.
    pub fn end(&self, number: u32) -> &str {
        self.steps(number).last().unwrap_or_else(|| panic!("run {number} has done nothing: {self:#?}"))
    }

    /// Without the starts of runs that were cancelled: where a host takes over, a run may
    /// be cancelled before its turn has come.
    fn but_lost_starts(&self) -> Self {
        let mut told = self.0.clone();
        let is = |step: &Value, status: &str| step["data"]["status"] == status;
        for steps in told.values_mut().filter(|steps| steps.last().is_some_and(|step| is(step, "cancelled"))) {
            steps.retain(|step| !is(step, "started"));
        }
        Self(told)
    }

    /// What the root gave back.
    pub fn output(&self) -> &Value {
        let last = self.became(0).pop().unwrap();
        assert_eq!(last["status"], "completed", "{last}");
        &last["output"]
    }
}

/// Plays a scenario under an open policy.
pub async fn same(scenario: Scenario) -> Told {
    same_under(scenario, |_| {}).await
}

/// Plays a scenario each way, as `set` wants it admitted, and gives the one log
/// that all have written; also where the host stops in the middle, and another goes on.
pub async fn same_under(scenario: Scenario, set: impl Fn(&mut Submission)) -> Told {
    let undisturbed = play(&scenario, &set, async |_| {}).await;
    for (surface, submission) in ways(&scenario, &set) {
        for seq in STOPS {
            let told = disturbed(&scenario, surface, submission.clone(), seq).await;
            let (left, right) = (undisturbed.but_lost_starts(), told.but_lost_starts());
            assert_eq!(left, right, "on the right as {surface}, where the host stopped after seq {seq}");
        }
    }
    undisturbed
}

/// As [`same_under`], while `meanwhile` does something to each run.
pub async fn same_with(scenario: Scenario, set: impl Fn(&mut Submission), meanwhile: impl AsyncFn(&Run)) -> Told {
    play(&scenario, &set, meanwhile).await
}

/// After which events hosts stop: at once, and when the root has spawned something. Hosts
/// are quick: of those that stop later, most have come to the end. Every single point is
/// crossed by the simulation of the engine, with scenarios of its own.
const STOPS: [u64; 2] = [1, 4];

/// Compiled once for all scenarios.
fn builder() -> HostBuilder {
    Host::builder().circuit_breaker(None).code_cache(Path::new(env!("CARGO_TARGET_TMPDIR")).join("parity"))
}

/// The plugins of a scenario.
async fn publish(host: &Host, scenario: &Scenario) {
    let under = |name: &str, version: &str| Publish { name: Some(name.into()), version: Some(version.into()) };
    host.publish(guest("script"), Publish::default()).await.unwrap();
    host.publish(guest("script"), under(NAME, "1.0.0")).await.unwrap();
    host.publish(plugin("retry-replanner"), Publish::default()).await.unwrap();
    host.publish(guest("echo"), Publish::default()).await.unwrap();
    host.publish(guest("echo"), under("withdrawn", "1.0.0")).await.unwrap();
    host.unpublish("withdrawn", "1.0.0").await.unwrap();
    if scenario.graph.is_empty() {
        return;
    }
    // Published, and run by its name: what is run from a file is refused before it
    // runs where this policy would refuse a node of it.
    let text = format!("spec_version: \"2.0\"\nname: {NAME}\nversion: 2.0.0\n{}", scenario.graph);
    match host.publish_graph(Source::new("parity.yaml", text), Publish::default()).await {
        Ok(_) => {}
        Err(Error::Graph { problems, .. }) => {
            let told: Vec<String> = problems.iter().map(|one| format!("{}: {}", one.code, one.message)).collect();
            panic!("{}", told.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}

/// The program of a scenario, which no store keeps.
fn provide(host: &Host, scenario: &Scenario) {
    let program = scenario.program;
    let run = move |calls: HostCalls, input: Payload| program(calls, serde_json::from_str(input.as_str()).unwrap());
    host.provide(NAME, "1.0.0", run).unwrap();
}

/// What is submitted each way.
fn ways(scenario: &Scenario, set: &impl Fn(&mut Submission)) -> Vec<(&'static str, Submission)> {
    let input = Payload::of(&scenario.input).unwrap();
    let mut ways = vec![
        ("guest", Submission::new(&format!("{NAME}@=1.0.0"), Payload::of(&scenario.guest).unwrap())),
        ("api", Submission::of_program(NAME, "1.0.0", input.clone())),
    ];
    if !scenario.graph.is_empty() {
        ways.push(("graph", Submission::new(&format!("{NAME}@=2.0.0"), input)));
    }
    for (_, submission) in &mut ways {
        submission.grant = grant();
        submission.policy = Some(open_policy());
        set(submission);
    }
    ways
}

async fn play(scenario: &Scenario, set: &impl Fn(&mut Submission), meanwhile: impl AsyncFn(&Run)) -> Told {
    let scene = Scene::with(builder()).await;
    publish(&scene.host, scenario).await;
    provide(&scene.host, scenario);
    let mut first: Option<Told> = None;
    for (surface, submission) in ways(scenario, set) {
        let run = submit(&scene.host, surface, submission).await;
        meanwhile(&run).await;
        wait(&run).await;
        let told = told(&run, surface, &log(&run).await);
        match &first {
            None => first = Some(told),
            Some(first) => assert_eq!(first, &told, "on the left as guest, on the right as {surface}"),
        }
    }
    scene.shut_down().await;
    first.unwrap()
}

async fn submit(host: &Host, surface: &str, submission: Submission) -> Run {
    host.submit(submission).await.unwrap_or_else(|error| panic!("as {surface}: {error}"))
}

/// Plays a scenario one way on a host that stops after an event, and on to its end on
/// another.
async fn disturbed(scenario: &Scenario, surface: &str, submission: Submission, seq: u64) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("pleach.db").display());
    let host = builder().store(&store).build().await.unwrap();
    publish(&host, scenario).await;
    provide(&host, scenario);
    let run = submit(&host, surface, submission).await;
    let mut events = run.events(1);
    while let Some(event) = events.next().await {
        if event.unwrap().seq >= seq {
            break;
        }
    }
    drop(events);
    let id = run.id();
    stop(host).await;
    let host = builder().store(&store).build().await.unwrap();
    provide(&host, scenario);
    let run = host.run(id).await.unwrap();
    wait(&run).await;
    let told = told(&run, surface, &log(&run).await);
    assert!(host.check().await.unwrap().is_empty());
    stop(host).await;
    told
}

fn told(run: &Run, surface: &str, events: &[EventRecord]) -> Told {
    let root = run.id().root.to_string();
    let mut told = Told(BTreeMap::new());
    for event in events {
        // Whether a guest stops before its children do is nobody's to see.
        if event.visibility == Visibility::Internal {
            continue;
        }
        let data: Value = serde_json::from_str(&event.data.as_str().replace(&root, "ROOT")).unwrap();
        let by = event.run_id.to_string().replace(&root, "ROOT");
        // A graph asks at each replan that it comes by, about the newest round; the others
        // where they have reason to, about all of their children.
        let is_replan = event.event.ends_with("replan_decision");
        if is_replan && data["suggested_action"] == "continue" && data["failed_run_ids"] == json!([]) {
            continue;
        }
        // Agents and programs end, and have no outputs for that.
        if event.event.ends_with("node_completion") {
            continue;
        }
        let part = |name: &str| data[name].as_str().unwrap_or_default();
        let about = match event.event.trim_start_matches("orchestration.") {
            "child_lifecycle" => format!("run {}", part("child_run_id")),
            "join_decision" => format!("group {}", part("group_id")),
            "budget" => format!("budget {by}"),
            "cancellation_propagation" => format!("cancelled {}", part("reason")),
            _ => format!("asked {by}"),
        };
        let data = plain(event, data);
        told.0.entry(about).or_default().push(json!({"event": event.event, "run": by, "data": data}));
        let of_root = event.event.ends_with("spawn_decision") || event.event.ends_with("policy_deny");
        if of_root && event.run_id == run.id() && event.seq > 1 {
            let said = serde_json::to_value(event.surface).unwrap();
            assert_eq!(said, surface, "seq {}", event.seq);
            assert_eq!(event.node_id.is_some(), surface == "graph", "seq {}", event.seq);
        }
    }
    told
}

/// What an event says, without times and amounts, and without what two plays of one
/// scenario in one way can differ in: which of several neighbours came last.
fn plain(event: &EventRecord, mut data: Value) -> Value {
    if event.seq == 1 {
        // What the root is: its input and its code.
        let spec = &data["runs"][0];
        return json!({"limits": spec["limits"], "scopes": data["effective_scopes"], "tree": data["tree"]});
    }
    let Some(fields) = data.as_object_mut() else { return data };
    fields.remove("usage");
    fields.remove("not_before");
    // What a guest still answers when its end is settled, if it gets to it.
    fields.remove("late");
    let by_many = ["all_ended", "join_quorum_reached"];
    if fields.get("reason").and_then(Value::as_str).is_some_and(|reason| by_many.contains(&reason)) {
        fields.remove("trigger_run_id");
    }
    data
}

/// A request, as JSON.
pub fn request(request: Value) -> SpawnRequest {
    serde_json::from_value(request).unwrap_or_else(|e| panic!("{e}"))
}

/// Spawns a group with the key `all` and joins it.
pub async fn join_all(calls: &mut HostCalls, members: Value, join: Value) -> Result<JoinResult, RunError> {
    let members = members.as_array().unwrap().iter().cloned().map(request).collect();
    let join: JoinPolicy = serde_json::from_value(join).unwrap();
    let group = calls.spawn_group(members, Some("all".into()), join).await.map_err(failed)?;
    calls.join(group.group_id).await.map_err(failed)
}

/// What a program fails with that is refused what it needs.
pub fn failed(error: CallError) -> RunError {
    let code = match &error {
        CallError::Denied(denial) => denial.code.as_str(),
        CallError::Failed { code, .. } => code.as_str(),
    };
    RunError::new(code, error.to_string())
}

/// What a program gives back.
pub fn done(value: Value) -> Result<Payload, RunError> {
    Ok(Payload::of(&value).unwrap())
}

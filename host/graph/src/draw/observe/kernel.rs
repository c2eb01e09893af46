//! What is read off a tree that the kernel itself has made, as a graph would ask it
//! to: constructed views show what is read, this shows that it is there to read.

use std::sync::Arc;

use pleach_kernel::{
    CallSite, Event, Finish, Grant, JoinPolicy, Limits, NodeVerdict, Outcome, Payload, PluginRef, Policy, Query,
    Resolution, Role, RootId, RunError, RunId, Spawn, SpawnGroup, SpawnRequest, Submit, Surface, Tenant, Timestamp,
    Tree, Usage,
};

use super::super::Happened;
use super::super::scene::plan;
use super::tests::told_of;

const GRAPH: &str = r#"
spec_version: "2.0"
nodes:
  list: {spawn_run: {target: lister}}
  shards: {map: {over: nodes.list.output, target: reader}}
  read: {join: {mode: best_effort}}
  good: {judge: {target: judge, input: x}}
  report: {output: {}}
  worse: {output: {error: {code: bad}}}
edges:
  - {from: list, to: shards}
  - {from: shards, to: read}
  - {from: read, to: good}
  - {from: good.pass, to: report}
  - {from: good.fail, to: worse}
"#;

const ROOT: RootId = RootId(7);

struct Kernel {
    tree: Tree,
    now: u64,
    calls: u32,
    events: Vec<Event>,
}

fn spawn(target: &str, node: Option<&str>) -> Spawn {
    let role = if target == "judge" { Role::Judge } else { Role::Agent };
    let plugin = PluginRef { name: target.into(), version: "1.0.0".into(), digest: "sha256:00".into(), role };
    let mut request = SpawnRequest::new(target, Payload::null());
    request.spawn_key = node.map(Arc::from);
    Spawn { node_id: node.map(Arc::from), ..Spawn::new(request, Resolution::Found(Arc::new(plugin))) }
}

fn run(index: u32) -> RunId {
    RunId { root: ROOT, index }
}

impl Kernel {
    fn new() -> Self {
        let every = || vec!["spawn:*".parse().expect("a scope")];
        let policy = Policy { targets: vec!["*".into()], scopes: every(), ..Policy::default() };
        let mut graph = spawn("graph", None);
        Arc::make_mut(&mut graph.request).scopes = Grant::new(every(), every());
        let submit = Submit { spawn: graph, limits: Limits::CEILING, fairness: Default::default() };
        let (tenant, policy) = (Tenant::default_tenant(), Arc::new(policy));
        let tree = Tree::open(Timestamp(1_000), ROOT, tenant, policy, Surface::Graph, submit).expect("it is allowed");
        let mut kernel = Self { tree, now: 1_000, calls: 0, events: Vec::new() };
        kernel.start(0);
        kernel
    }

    fn site(&mut self) -> CallSite {
        self.calls += 1;
        CallSite { call: self.calls, keyless: self.calls }
    }

    fn spawn(&mut self, target: &str, node: &str) -> u32 {
        let (site, now) = (self.site(), Timestamp(self.now));
        let spawned = self.tree.spawn_run(now, run(0), Surface::Graph, spawn(target, Some(node)), site);
        let index = spawned.expect("it is allowed").run_id.index;
        self.start(index);
        index
    }

    fn group(&mut self, target: &str, node: &str, members: usize) -> Vec<u32> {
        let member = |_| {
            let mut member = spawn(target, Some(node));
            Arc::make_mut(&mut member.request).spawn_key = None;
            member
        };
        let group = SpawnGroup {
            members: (0..members).map(member).collect(),
            size: None,
            key_prefix: Some(node.into()),
            join: JoinPolicy::default(),
            node_id: Some(node.into()),
            agent_call: false,
        };
        let (site, now) = (self.site(), Timestamp(self.now));
        let spawned = self.tree.spawn_group(now, run(0), Surface::Graph, group, site).expect("it is allowed");
        let runs: Vec<u32> = spawned.members.iter().map(|member| member.run_id.index).collect();
        runs.iter().for_each(|run| self.start(*run));
        runs
    }

    fn start(&mut self, index: u32) {
        assert!(self.tree.start(Timestamp(self.now), run(index)));
    }

    fn finish(&mut self, index: u32, at: u64, outcome: Outcome) {
        self.now = 1_000 + at;
        let finish = Finish { run_id: run(index), attempt: 1, outcome, usage: Usage::default() };
        self.tree.finish(Timestamp(self.now), finish);
        self.events.extend(self.tree.take_events());
    }
}

fn completed(json: &str) -> Outcome {
    Outcome::Completed(Payload::parse(json.to_owned()).expect("JSON"))
}

#[test]
fn a_tree_of_the_kernel_tells_what_happened_to_each_node() {
    let mut kernel = Kernel::new();
    let list = kernel.spawn("lister", "list");
    kernel.finish(list, 10, completed("[1, 2]"));
    let shards = kernel.group("reader", "shards", 2);
    kernel.finish(shards[1], 30, Outcome::Failed(RunError::new("broken", "it broke")));
    kernel.finish(shards[0], 40, completed("1"));
    let judge = kernel.spawn("judge", "good");
    kernel.finish(judge, 70, completed(r#"{"outcome": "pass", "score": 1, "rationale": ""}"#));
    let CallSite { call, .. } = kernel.site();
    kernel.tree.record_verdict(Timestamp(1_070), run(0), call, "report".into(), NodeVerdict::Completed);
    kernel.finish(0, 71, completed("null"));

    let view = kernel.tree.view(&Query { max_depth: Some(1), ..Query::default() }).expect("a view");
    let plan = plan(GRAPH);
    expect_test::expect![[r#"
        list: completed 0..10 1x1
        shards: completed 10..40 2x1
        read.completed_with_errors: completed 40..40
        good.pass: completed 40..70 1x1
        report: completed 70..70
        worse: skipped
        70 ms: list > shards > read > good > report"#]]
    .assert_eq(&told_of(&plan, &Happened::of(&plan, &view.tree, &kernel.events)));
}

//! A graph with a node of every kind, and runs as the kernel shows them, for tests.

use std::sync::Arc;

use pleach_kernel::{
    ChildLifecycle, Event, Fact, GroupId, GroupView, JoinCounts, JoinDecision, JoinMode, JoinStatus, MemberView,
    NodeCompletion, Payload, PluginVerdict, ReplanDecision, RootId, RunError, RunId, RunStatus, RunView, Step,
    SuggestedAction, Surface, Timestamp, Usage,
};

use crate::diagnostic::Diagnostics;
use crate::plan::Plan;
use crate::source::Source;

/// A node of every kind, handles, a condition, a loop, and a join that names its
/// group where no edge leads.
pub(crate) const REVIEW: &str = r#"
spec_version: "2.0"
name: review
description: Reviews a repository in shards.
nodes:
  list: {agent_call: {target: lister}}
  shards: {map: {over: nodes.list.output.files, target: "reader@^1", window: 8}}
  read: {join: {mode: best_effort}}
  kind: {router: {route_key: input.kind, routes: [{name: security}, {name: style}]}}
  experts: {spawn_group: {targets: [{target: auditor}, {target: auditor}, {target: fuzzer}]}}
  opinions: {join: {group: experts, mode: quorum, quorum: 2}}
  lint: {spawn_run: {target: linter}}
  note: {spawn_run: {target: notifier, wait: false}}
  good: {judge: {score: nodes.opinions.output.success_count, threshold: 2}}
  again: {replan: {of: [shards], when: failed > 0, max_replans: 2}}
  stop: {cancel_subtree: {node: shards}}
  report: {output: {value: done}}
  give_up: {output: {error: {code: nothing_read}}}
edges:
  - {from: list, to: shards}
  - {from: list, to: note, when: input.loud == true}
  - {from: shards, to: read}
  - {from: read.completed, to: kind}
  - {from: read.completed_with_errors, to: kind}
  - {from: read.failed, to: stop}
  - {from: read.timed_out, to: stop}
  - {from: stop, to: give_up}
  - {from: kind.security, to: experts}
  - {from: kind.style, to: lint}
  - {from: kind.default, to: lint}
  - {from: opinions.completed, to: good}
  - {from: opinions.completed_with_errors, to: again}
  - {from: opinions.failed, to: again}
  - {from: opinions.timed_out, to: again}
  - {from: good.pass, to: report}
  - {from: good.fail, to: again}
  - {from: lint, to: report}
  - {from: again.replan, to: shards}
  - {from: again.continue, to: report}
"#;

/// The plan of a text that can be read and linked. Whether the graph makes sense is
/// no matter for whoever draws it.
pub(crate) fn plan(text: &str) -> Plan {
    let (source, mut found) = (Source::new("g.yaml", text), Diagnostics::default());
    let file = crate::file::read_file(&source, &mut found).expect("a graph");
    let plan = crate::link::link(file, &source, &mut found);
    assert_eq!(found.sorted(), []);
    plan
}

const ROOT: RootId = RootId(7);

pub(crate) fn id(index: u32) -> RunId {
    RunId { root: ROOT, index }
}

/// A graph's run, its children, its groups and what it wrote to the log.
pub(crate) struct Scene {
    pub run: RunView,
    pub events: Vec<Event>,
}

impl Scene {
    pub(crate) fn new(status: RunStatus) -> Self {
        let mut run = view(0, status, Some(1_000), None);
        run.finished_at = status.is_terminal().then_some(Timestamp(9_000));
        Self { run, events: Vec::new() }
    }

    /// A run of a node. Times are in milliseconds from the start of the graph.
    pub(crate) fn child(&mut self, node: &str, key: &str, status: RunStatus, from: u64, to: u64) -> &mut RunView {
        let started = (status != RunStatus::Queued).then_some(1_000 + from);
        let mut child = view(self.run.children.len() as u32 + 1, status, started, None);
        child.finished_at = status.is_terminal().then_some(Timestamp(1_000 + to));
        child.parent_node_id = Some(node.into());
        child.spawn_key = Some(key.into());
        if status == RunStatus::Failed {
            child.error = Some(RunError::new("trap", "it fell"));
        }
        self.run.children.push(child);
        self.run.children.last_mut().expect("it was pushed")
    }

    /// A group of the last `members` runs, and its decision.
    pub(crate) fn group(&mut self, node: &str, members: usize, decided: Option<(JoinStatus, u64)>) {
        let group_id = GroupId { root: ROOT, index: self.run.groups.len() as u32 };
        let first = self.run.children.len() - members;
        let member = |(ordinal, run): (usize, &RunView)| MemberView {
            ordinal: ordinal as u32,
            run_id: run.run_id,
            status: run.status,
        };
        let (mode, status) = (JoinMode::BestEffort, decided.map(|(status, _)| status));
        let members: Vec<MemberView> = self.run.children[first..].iter().enumerate().map(member).collect();
        self.run.groups.push(GroupView { group_id, mode, status, member_count: members.len() as u32, members });
        if let Some((status, at)) = decided {
            let (counts, reason) = (JoinCounts::default(), "".into());
            let decision =
                JoinDecision { group_id, mode, status, complete: true, counts, reason, trigger_run_id: None };
            self.event(node, at, Fact::JoinDecision(decision));
        }
    }

    pub(crate) fn event(&mut self, node: &str, at: u64, fact: Fact) {
        let node_id: Option<Arc<str>> = Some(node.into());
        let (seq, at) = (self.events.len() as u64 + 1, Timestamp(1_000 + at));
        self.events.push(Event { seq, at, run_id: id(0), node_id, call: None, surface: Surface::Graph, fact });
    }

    pub(crate) fn routed(&mut self, node: &str, at: u64, route: &str) {
        self.event(node, at, Fact::RouteDecision(verdict(Some(serde_json::json!({"route": route})))));
    }

    pub(crate) fn judged(&mut self, node: &str, at: u64, outcome: Option<&str>) {
        let answer = outcome.map(|outcome| serde_json::json!({"outcome": outcome, "score": 0.5}));
        self.event(node, at, Fact::JudgeVerdict(verdict(answer)));
    }

    pub(crate) fn replanned(&mut self, node: &str, at: u64, suggested_action: SuggestedAction) {
        let decision = ReplanDecision {
            run_id: id(0),
            needs_replan: true,
            suggested_action,
            failed_node_ids: Vec::new(),
            failed_run_ids: Vec::new(),
            completed_count: 0,
            replans_used: 1,
            max_replans: 2,
            reason: None,
            plan: None,
        };
        self.event(node, at, Fact::ReplanDecision(Box::new(decision)));
    }

    /// An output was reached, or a cancel.
    pub(crate) fn done(&mut self, node: &str, at: u64) {
        self.event(node, at, Fact::NodeCompletion(NodeCompletion {}));
    }

    /// The review, run: a shard failed, the experts were not content at first.
    pub(crate) fn review() -> Self {
        let mut scene = Self::new(RunStatus::Completed);
        scene.run.finished_at = Some(Timestamp(1_000 + 4_262));
        scene.child("list", "list", RunStatus::Completed, 0, 120);
        scene.child("shards", "shards:0", RunStatus::Completed, 120, 900);
        scene.child("shards", "shards:1", RunStatus::Failed, 130, 400).attempt = 2;
        scene.group("shards", 2, Some((JoinStatus::CompletedWithErrors, 900)));
        scene.routed("kind", 900, "security");
        scene.child("experts", "experts:0", RunStatus::Completed, 905, 1_500);
        scene.child("experts", "experts:1", RunStatus::Failed, 905, 1_200);
        scene.child("experts", "experts:2", RunStatus::Failed, 905, 1_800);
        scene.group("experts", 3, Some((JoinStatus::Failed, 1_800)));
        scene.replanned("again", 1_801, SuggestedAction::Replan);
        scene.child("shards", "shards#2:0", RunStatus::Completed, 1_810, 2_500);
        scene.group("shards", 1, Some((JoinStatus::Completed, 2_500)));
        scene.routed("kind", 2_500, "security");
        scene.child("experts", "experts#2:0", RunStatus::Completed, 2_505, 3_100);
        scene.child("experts", "experts#2:1", RunStatus::Completed, 2_505, 4_250);
        scene.child("experts", "experts#2:2", RunStatus::Cancelled, 2_505, 4_260);
        scene.group("experts", 3, Some((JoinStatus::Completed, 4_250)));
        scene.judged("good", 4_251, Some("pass"));
        scene.done("report", 4_251);
        scene
    }
}

/// A step of a run's life, with nothing that is not asked for.
pub(crate) fn life(run: u32, status: Step, attempt: u32) -> ChildLifecycle {
    ChildLifecycle {
        child_run_id: id(run),
        status,
        group_id: None,
        attempt,
        usage: None,
        output: None,
        error: None,
        reason: None,
        not_before: None,
        fate: None,
        guest_stopped: false,
        late: None,
        plugin: None,
        falls_back_to: None,
    }
}

fn verdict(answer: Option<serde_json::Value>) -> PluginVerdict {
    let answer = answer.map(|answer| Payload::of(&answer).expect("JSON"));
    PluginVerdict { run_id: id(0), answer, error: None }
}

fn view(index: u32, status: RunStatus, started: Option<u64>, error: Option<RunError>) -> RunView {
    RunView {
        run_id: id(index),
        plugin: "p@1.0.0".to_owned(),
        status,
        error,
        depth: u32::from(index > 0),
        parent_run_id: (index > 0).then(|| id(0)),
        parent_node_id: None,
        spawn_key: None,
        group_id: None,
        ordinal: None,
        attempt: 1,
        created_at: Timestamp(1_000),
        started_at: started.map(Timestamp),
        finished_at: None,
        usage: Usage::default(),
        children: Vec::new(),
        children_omitted: 0,
        groups: Vec::new(),
    }
}

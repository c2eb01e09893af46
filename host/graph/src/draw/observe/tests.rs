//! What is read off a run, and what its end waited for.

use pleach_kernel::{Code, Denial, Fact, JoinStatus, RunError, RunStatus, SuggestedAction};

use super::super::scene::{REVIEW, Scene, plan};
use super::super::{Happened, NodeStatus};
use crate::plan::Plan;

/// How each node stands, and the critical path, in words.
pub(super) fn told_of(plan: &Plan, happened: &Happened) -> String {
    let node = |(ix, node): (usize, &super::super::NodeHappened)| {
        let handle = node.handle.map_or(String::new(), |handle| format!(".{}", plan.nodes[ix].handles[handle]));
        let time = match (node.started_at, node.finished_at) {
            (Some(start), Some(end)) => format!(" {}..{}", start.0 - 1_000, end.0 - 1_000),
            (Some(start), None) => format!(" {}..", start.0 - 1_000),
            (None, _) => String::new(),
        };
        let runs = if node.runs > 0 { format!(" {}x{}", node.runs, node.attempts) } else { String::new() };
        let error = node.error.as_ref().map_or(String::new(), |error| format!(" {error}"));
        format!("{}{handle}: {}{time}{runs}{error}", plan.nodes[ix].id, node.status.as_str())
    };
    let mut told: Vec<String> = happened.nodes.iter().enumerate().map(node).collect();
    if let Some(path) = happened.critical_path(plan) {
        let ids: Vec<&str> = path.nodes.iter().map(|node| &*plan.nodes[*node].id).collect();
        told.push(format!("{} ms: {}", path.ms, ids.join(" > ")));
    }
    told.join("\n")
}

fn told(plan: &Plan, scene: &Scene) -> String {
    told_of(plan, &Happened::of(plan, &scene.run, &scene.events))
}

fn check(text: &str, scene: &Scene, expected: expect_test::Expect) {
    expected.assert_eq(&told(&plan(text), scene));
}

const TWO_WAYS: &str = r#"
spec_version: "2.0"
nodes:
  a: {spawn_run: {target: w}}
  slow: {spawn_run: {target: w}}
  quick: {spawn_run: {target: w}}
  other: {spawn_run: {target: w}}
  out: {output: {}}
edges:
  - {from: a, to: slow}
  - {from: a, to: quick}
  - {from: quick, to: out}
  - {from: slow, to: out}
  - {from: a, to: other, when: input.x == 1}
"#;

#[test]
fn a_loop_is_told_by_its_last_round_and_timed_over_all() {
    check(
        REVIEW,
        &Scene::review(),
        expect_test::expect![[r#"
            list: completed 0..120 1x1
            shards: completed 120..2500 3x2
            read.completed: completed 2500..2500
            kind.security: completed 900..2500
            experts: completed 905..4250 6x1
            opinions.completed: completed 4250..4250
            lint: skipped
            note: skipped
            good.pass: completed 4251..4251
            again.replan: completed 1801..1801
            stop: skipped
            report: completed 4251..4251
            give_up: skipped
            4251 ms: list > shards > read > kind > experts > opinions > good > report"#]],
    );
}

#[test]
fn the_critical_path_is_what_the_end_waited_for() {
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("a", "a", RunStatus::Completed, 5, 10);
    scene.child("slow", "slow", RunStatus::Completed, 10, 90);
    scene.child("quick", "quick", RunStatus::Completed, 10, 20);
    scene.done("out", 90);
    check(
        TWO_WAYS,
        &scene,
        expect_test::expect![[r#"
        a: completed 5..10 1x1
        slow: completed 10..90 1x1
        quick: completed 10..20 1x1
        other: skipped
        out: completed 90..90
        85 ms: a > slow > out"#]],
    );
}

#[test]
fn what_has_not_begun_waits_while_the_graph_runs_and_is_skipped_when_it_has_ended() {
    let scene = |status| {
        let mut scene = Scene::new(status);
        scene.child("a", "a", RunStatus::Completed, 0, 10);
        scene.child("slow", "slow", RunStatus::Failed, 10, 30).attempt = 3;
        scene.child("quick", "quick", if status == RunStatus::Running { status } else { RunStatus::Cancelled }, 10, 31);
        scene
    };
    check(
        TWO_WAYS,
        &scene(RunStatus::Running),
        expect_test::expect![[r#"
        a: completed 0..10 1x1
        slow: failed 10..30 1x3 trap
        quick: running 10.. 1x1
        other: waiting
        out: waiting
        30 ms: a > slow"#]],
    );
    check(
        TWO_WAYS,
        &scene(RunStatus::Failed),
        expect_test::expect![[r#"
            a: completed 0..10 1x1
            slow: failed 10..30 1x3 trap
            quick: cancelled 10..31 1x1
            other: skipped
            out: skipped
            30 ms: a > slow"#]],
    );
}

#[test]
fn a_condition_is_known_by_what_it_led_to() {
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("a", "a", RunStatus::Completed, 0, 10);
    scene.child("slow", "slow", RunStatus::Completed, 10, 20);
    scene.child("other", "other", RunStatus::Completed, 12, 50);
    scene.done("out", 20);
    check(
        TWO_WAYS,
        &scene,
        expect_test::expect![[r#"
        a: completed 0..10 1x1
        slow: completed 10..20 1x1
        quick: skipped
        other: completed 12..50 1x1
        out: completed 20..20
        50 ms: a > other"#]],
    );
}

/// Which conditions held is in no log, but which outputs were reached is.
#[test]
fn outputs_behind_conditions_are_known_each() {
    let text = r#"
spec_version: "2.0"
nodes:
  a: {spawn_run: {target: w}}
  small: {output: {}}
  large: {output: {}}
  stop: {cancel_subtree: {node: a}}
  worse: {output: {error: {code: bad}}}
edges:
  - {from: a, to: small, when: input.x < 1}
  - {from: a, to: large, when: input.x > 1}
  - {from: a, to: stop, when: input.x > 2}
  - {from: a, to: worse, when: input.x > 9}
"#;
    let mut scene = Scene::new(RunStatus::Failed);
    scene.child("a", "a", RunStatus::Completed, 5, 10);
    scene.done("large", 11);
    scene.done("stop", 12);
    scene.done("worse", 13);
    check(
        text,
        &scene,
        expect_test::expect![[r#"
            a: completed 5..10 1x1
            small: skipped
            large: completed 11..11
            stop: completed 12..12
            worse: failed 13..13 bad
            8 ms: a > worse"#]],
    );
}

#[test]
fn a_run_that_is_not_waited_for_holds_nothing_up() {
    let text = r#"
spec_version: "2.0"
nodes:
  aside: {spawn_run: {target: w, wait: false}}
  next: {spawn_run: {target: w}}
edges:
  - {from: aside, to: next}
"#;
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("aside", "aside", RunStatus::Cancelled, 5, 80);
    scene.child("next", "next", RunStatus::Completed, 6, 40);
    check(
        text,
        &scene,
        expect_test::expect![[r#"
        aside: cancelled 5..80 1x1
        next: completed 6..40 1x1
        35 ms: aside > next"#]],
    );
}

#[test]
fn what_ended_too_late_to_be_waited_for_is_not_what_was_waited_for() {
    let text = r#"
spec_version: "2.0"
nodes:
  aside: {spawn_run: {target: w, wait: false}}
  before: {spawn_run: {target: w}}
  next: {spawn_run: {target: w}}
edges:
  - {from: aside, to: next}
  - {from: before, to: next}
"#;
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("aside", "aside", RunStatus::Completed, 0, 30);
    scene.child("before", "before", RunStatus::Completed, 5, 9);
    scene.child("next", "next", RunStatus::Completed, 9, 40);
    check(
        text,
        &scene,
        expect_test::expect![[r#"
        aside: completed 0..30 1x1
        before: completed 5..9 1x1
        next: completed 9..40 1x1
        35 ms: before > next"#]],
    );
}

#[test]
fn an_open_group_keeps_its_join_running() {
    let mut scene = Scene::new(RunStatus::Running);
    scene.child("list", "list", RunStatus::Completed, 0, 10);
    scene.child("shards", "shards:0", RunStatus::Completed, 10, 20);
    scene.child("shards", "shards:1", RunStatus::Queued, 0, 0);
    scene.group("shards", 2, None);
    let told = told(&plan(REVIEW), &scene);
    assert!(told.contains("\nshards: running 10.. 2x1\nread: running\n"), "{told}");
}

#[test]
fn a_judge_without_an_answer_has_judged_fail() {
    let mut scene = Scene::new(RunStatus::Running);
    scene.judged("good", 10, None);
    scene.replanned("again", 20, SuggestedAction::Continue);
    let told = told(&plan(REVIEW), &scene);
    assert!(told.contains("\ngood.fail: completed 10..10\nagain.continue: completed 20..20\n"), "{told}");
}

#[test]
fn a_join_that_ran_out_of_time_led_to_what_stops_it() {
    let mut scene = Scene::new(RunStatus::Failed);
    scene.run.error = Some(RunError::new("nothing_read", "no"));
    scene.child("list", "list", RunStatus::Completed, 0, 10);
    scene.child("shards", "shards:0", RunStatus::Cancelled, 10, 70);
    scene.group("shards", 1, Some((JoinStatus::TimedOut, 60)));
    scene.done("stop", 61);
    scene.done("give_up", 61);
    check(
        REVIEW,
        &scene,
        expect_test::expect![[r#"
            list: completed 0..10 1x1
            shards: timed_out 10..60 1x1
            read.timed_out: completed 60..60
            kind: skipped
            experts: skipped
            opinions: skipped
            lint: skipped
            note: skipped
            good: skipped
            again: skipped
            stop: completed 61..61
            report: skipped
            give_up: failed 61..61 nothing_read
            61 ms: list > shards > read > stop > give_up"#]],
    );
}

#[test]
fn a_refused_node_has_failed_with_the_refusal() {
    let mut scene = Scene::new(RunStatus::Failed);
    let denial = Denial::new(Code::MaxFanout, "spawn_run", "full");
    scene.event("list", 3, Fact::PolicyDeny(Box::new(denial)));
    let told = told(&plan(REVIEW), &scene);
    assert!(told.starts_with("list: failed 3..3 max_fanout\nshards: skipped\n"), "{told}");
}

#[test]
fn an_empty_group_is_decided_at_once() {
    let mut scene = Scene::new(RunStatus::Running);
    scene.child("list", "list", RunStatus::Completed, 0, 10);
    scene.group("shards", 0, Some((JoinStatus::Empty, 11)));
    let told = told(&plan(REVIEW), &scene);
    assert!(told.contains("\nshards: completed 11..11\nread.completed: completed 11..11\n"), "{told}");
}

#[test]
fn what_other_runs_of_the_tree_wrote_is_not_the_graphs() {
    let mut scene = Scene::new(RunStatus::Running);
    scene.routed("kind", 5, "style");
    scene.events[0].run_id = super::super::scene::id(3);
    let plan = plan(REVIEW);
    let happened = Happened::of(&plan, &scene.run, &scene.events);
    assert!(happened.nodes.iter().all(|node| node.status == NodeStatus::Waiting));
    assert_eq!(happened.critical_path(&plan), None);
}

/// What a join waited for besides its group is on the way to what comes after it.
#[test]
fn a_join_comes_no_sooner_than_whatever_leads_to_it() {
    let text = r#"
spec_version: "2.0"
nodes:
  g: {spawn_group: {targets: [{target: w}]}}
  slow: {spawn_run: {target: w}}
  j: {join: {group: g}}
  z: {spawn_run: {target: w}}
edges:
- {from: g, to: j}
- {from: slow, to: j}
- {from: j, to: z}
"#;
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("g", "g:0", RunStatus::Completed, 0, 10);
    scene.group("g", 1, Some((JoinStatus::Completed, 10)));
    scene.child("slow", "slow", RunStatus::Completed, 0, 500);
    scene.child("z", "z", RunStatus::Completed, 500, 600);
    check(
        text,
        &scene,
        expect_test::expect![[r#"
        g: completed 0..10 1x1
        slow: completed 0..500 1x1
        j.completed: completed 500..500
        z: completed 500..600 1x1
        600 ms: slow > j > z"#]],
    );
}

#[test]
fn the_critical_path_goes_through_what_has_failed_to_its_replan() {
    let text = r#"
spec_version: "2.0"
nodes:
  a: {spawn_run: {target: w}}
  r: {replan: {of: [a]}}
  z: {spawn_run: {target: w}}
edges:
- {from: a, to: r}
- {from: r, to: z}
"#;
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("a", "a", RunStatus::Failed, 0, 500);
    scene.replanned("r", 501, SuggestedAction::Continue);
    scene.child("z", "z", RunStatus::Completed, 501, 600);
    check(
        text,
        &scene,
        expect_test::expect![[r#"
        a: failed 0..500 1x1 trap
        r.continue: completed 501..501
        z: completed 501..600 1x1
        600 ms: a > r > z"#]],
    );
}

/// What it gave is in the graph's output, whatever the last round came by.
#[test]
fn an_output_that_an_earlier_round_has_reached_stands() {
    let text = r#"
spec_version: "2.0"
nodes:
  a: {spawn_run: {target: w}}
  first: {output: {}}
  r: {replan: {of: [a]}}
  end: {output: {}}
edges:
- {from: a, to: first, when: input.x == 1}
- {from: first, to: r}
- {from: a, to: r}
- {from: r.replan, to: a}
- {from: r.continue, to: end}
"#;
    let mut scene = Scene::new(RunStatus::Completed);
    scene.child("a", "a", RunStatus::Failed, 0, 10);
    scene.done("first", 11);
    scene.replanned("r", 12, SuggestedAction::Replan);
    scene.child("a", "a#2", RunStatus::Completed, 13, 20);
    scene.replanned("r", 21, SuggestedAction::Continue);
    scene.done("end", 22);
    check(
        text,
        &scene,
        expect_test::expect![[r#"
        a: completed 0..20 2x1
        first: completed 11..11
        r.continue: completed 12..21
        end: completed 22..22
        22 ms: a > r > end"#]],
    );
}

/// A refusal before the kernel has no node's name in the log.
#[test]
fn the_node_that_a_graph_has_failed_with_has_failed() {
    let mut scene = Scene::new(RunStatus::Failed);
    scene.child("a", "a", RunStatus::Completed, 0, 10);
    let mut error = RunError::new("node_failed", "node `other` failed");
    error.details = pleach_kernel::Payload::of(&serde_json::json!({"node": "other", "code": "budget_exhausted"})).ok();
    scene.run.error = Some(error);
    let told = told(&plan(TWO_WAYS), &scene);
    assert!(told.contains("\nother: failed 8000..8000 budget_exhausted\n"), "{told}");
}

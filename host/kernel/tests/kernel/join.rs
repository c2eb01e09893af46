//! Join: every row of the table, with ties, timeouts and survivors.

use expect_test::{Expect, expect};
use pleach_kernel::*;

use crate::scene::*;

fn mode(mode: JoinMode) -> JoinPolicy {
    JoinPolicy { mode, quorum: None, timeout_ms: Some(1_000) }
}

fn quorum(quorum: u32) -> JoinPolicy {
    JoinPolicy { mode: JoinMode::Quorum, quorum: Some(quorum), timeout_ms: Some(1_000) }
}

/// Plays `script` on a group of `count` running members, which are the runs 1,
/// 2, … : `ok N`, `fail N`, `flake N`, `stop N`, `late N`, `cancel N`, `wait MS`.
fn play(join: JoinPolicy, count: u32, script: &str) -> Scene {
    let mut scene = Scene::new();
    scene.group(0, join, (0..count).map(|_| child("a")));
    scene.skip();
    for line in script.split(',') {
        let (word, number) = line.trim().split_once(' ').unwrap_or_else(|| panic!("{line}"));
        let number: u32 = number.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        match word {
            "ok" => scene.ok(number),
            "fail" => scene.fail(number),
            "stop" => scene.stop(number),
            "cancel" => drop(scene.cancel(Caller::Operator, Cancel::of(id(number)))),
            "wait" => scene.wait(u64::from(number)),
            _ => panic!("{line}"),
        }
    }
    scene
}

/// What was decided, and how it is answered.
fn check(join: JoinPolicy, count: u32, script: &str, expected: Expect) {
    let mut scene = play(join, count, script);
    let mut text = scene.told();
    match scene.tree.join(scene.at(), Caller::Run(id(0)), Surface::Guest, group_id(0)).unwrap() {
        JoinAnswer::Waiting => text += "waiting\n",
        JoinAnswer::Decided(result) => {
            let words: Vec<&str> = result.outputs.iter().map(|member| member.status.as_str()).collect();
            let part = if result.complete { "complete" } else { "partial" };
            text += &format!("{:?}, {part}: {}\n", result.status, words.join(" "));
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn best_effort_waits_for_every_member() {
    check(
        mode(JoinMode::BestEffort),
        2,
        "ok 1",
        expect![[r#"
        1 completed
        waiting
    "#]],
    );
    check(
        mode(JoinMode::BestEffort),
        2,
        "fail 1",
        expect![[r#"
        1 failed (broken)
        waiting
    "#]],
    );
    check(
        mode(JoinMode::BestEffort),
        2,
        "ok 1, ok 2",
        expect![[r#"
        1 completed
        2 completed
        join g0: Completed (all_ended) by 2, 2/0/0
        Completed, complete: completed completed
    "#]],
    );
    check(
        mode(JoinMode::BestEffort),
        2,
        "ok 1, fail 2",
        expect![[r#"
        1 completed
        2 failed (broken)
        join g0: CompletedWithErrors (all_ended) by 2, 1/1/0
        CompletedWithErrors, complete: completed failed
    "#]],
    );
    check(
        mode(JoinMode::BestEffort),
        2,
        "fail 1, fail 2",
        expect![[r#"
        1 failed (broken)
        2 failed (broken)
        join g0: Failed (all_ended) by 2, 0/2/0
        Failed, complete: failed failed
    "#]],
    );
}

#[test]
fn best_effort_does_not_count_a_cancelled_member_as_a_failure() {
    check(
        mode(JoinMode::BestEffort),
        2,
        "ok 1, cancel 2, stop 2",
        expect![[r#"
        1 completed
        2 cancels [2] (cancelled_by_orchestration)
        2 cancelled (cancelled_by_orchestration)
        join g0: Completed (all_ended) by 2, 1/0/1
        Completed, complete: completed cancelled
    "#]],
    );
    check(
        mode(JoinMode::BestEffort),
        1,
        "cancel 1, stop 1",
        expect![[r#"
        1 cancels [1] (cancelled_by_orchestration)
        1 cancelled (cancelled_by_orchestration)
        join g0: Failed (all_ended) by 1, 0/0/1
        Failed, complete: cancelled
    "#]],
    );
}

#[test]
fn fail_fast_cancels_the_survivors_of_a_failure() {
    check(
        mode(JoinMode::FailFast),
        3,
        "ok 1, fail 2, stop 3",
        expect![[r#"
        1 completed
        2 failed (broken)
        join g0: Failed (join_fail_fast) by 2, 1/1/1
        0 cancels [3] (join_fail_fast)
        3 cancelled (join_fail_fast)
        Failed, partial: completed failed cancelled
    "#]],
    );
    check(
        mode(JoinMode::FailFast),
        3,
        "ok 1, ok 2",
        expect![[r#"
        1 completed
        2 completed
        waiting
    "#]],
    );
    check(
        mode(JoinMode::FailFast),
        2,
        "ok 1, ok 2",
        expect![[r#"
        1 completed
        2 completed
        join g0: Completed (all_ended) by 2, 2/0/0
        Completed, complete: completed completed
    "#]],
    );
    check(
        mode(JoinMode::FailFast),
        2,
        "ok 1, fail 2",
        expect![[r#"
        1 completed
        2 failed (broken)
        join g0: Failed (join_fail_fast) by 2, 1/1/0
        Failed, complete: completed failed
    "#]],
    );
    check(
        mode(JoinMode::FailFast),
        2,
        "ok 1, cancel 2, stop 2",
        expect![[r#"
        1 completed
        2 cancels [2] (cancelled_by_orchestration)
        2 cancelled (cancelled_by_orchestration)
        join g0: Completed (all_ended) by 2, 1/0/1
        Completed, complete: completed cancelled
    "#]],
    );
}

#[test]
fn a_quorum_that_is_reached_cancels_the_survivors() {
    check(
        quorum(2),
        4,
        "ok 1, fail 2",
        expect![[r#"
        1 completed
        2 failed (broken)
        waiting
    "#]],
    );
    check(
        quorum(2),
        4,
        "ok 1, fail 2, ok 3, stop 4",
        expect![[r#"
        1 completed
        2 failed (broken)
        3 completed
        join g0: Completed (join_quorum_reached) by 3, 2/1/1
        0 cancels [4] (join_quorum_reached)
        4 cancelled (join_quorum_reached)
        Completed, partial: completed failed completed cancelled
    "#]],
    );
    check(
        quorum(1),
        1,
        "ok 1",
        expect![[r#"
        1 completed
        join g0: Completed (join_quorum_reached) by 1, 1/0/0
        Completed, complete: completed
    "#]],
    );
}

#[test]
fn a_quorum_that_cannot_be_reached_cancels_the_survivors() {
    check(
        quorum(2),
        3,
        "fail 1, fail 2, stop 3",
        expect![[r#"
        1 failed (broken)
        2 failed (broken)
        join g0: Failed (join_quorum_impossible) by 2, 0/2/1
        0 cancels [3] (join_quorum_impossible)
        3 cancelled (join_quorum_impossible)
        Failed, partial: failed failed cancelled
    "#]],
    );
    check(
        quorum(2),
        2,
        "fail 1, stop 2",
        expect![[r#"
        1 failed (broken)
        join g0: Failed (join_quorum_impossible) by 1, 0/1/1
        0 cancels [2] (join_quorum_impossible)
        2 cancelled (join_quorum_impossible)
        Failed, partial: failed cancelled
    "#]],
    );
    check(
        quorum(2),
        3,
        "cancel 1, stop 1, cancel 2, stop 2",
        expect![[r#"
        1 cancels [1] (cancelled_by_orchestration)
        1 cancelled (cancelled_by_orchestration)
        2 cancels [2] (cancelled_by_orchestration)
        2 cancelled (cancelled_by_orchestration)
        join g0: Failed (join_quorum_impossible) by 2, 0/0/3
        0 cancels [3] (join_quorum_impossible)
        Failed, partial: cancelled cancelled cancelled
    "#]],
    );
}

#[test]
fn the_first_success_is_enough() {
    check(
        mode(JoinMode::FirstSuccess),
        3,
        "fail 1, ok 2, stop 3",
        expect![[r#"
        1 failed (broken)
        2 completed
        join g0: Completed (join_first_success) by 2, 1/1/1
        0 cancels [3] (join_first_success)
        3 cancelled (join_first_success)
        Completed, partial: failed completed cancelled
    "#]],
    );
    check(
        mode(JoinMode::FirstSuccess),
        2,
        "fail 1",
        expect![[r#"
        1 failed (broken)
        waiting
    "#]],
    );
    check(
        mode(JoinMode::FirstSuccess),
        2,
        "fail 1, fail 2",
        expect![[r#"
        1 failed (broken)
        2 failed (broken)
        join g0: Failed (all_ended) by 2, 0/2/0
        Failed, complete: failed failed
    "#]],
    );
}

#[test]
fn a_timeout_gives_what_had_finished_in_every_mode() {
    for join in [mode(JoinMode::BestEffort), mode(JoinMode::FailFast), quorum(2), mode(JoinMode::FirstSuccess)] {
        let first = if join.mode == JoinMode::FirstSuccess { "fail 1" } else { "ok 1" };
        let mut scene = play(join, 3, &format!("{first}, wait 999"));
        assert_eq!(scene.tree.join_result(group_id(0)), None, "{:?}", join.mode);
        scene.skip();
        scene.wait(1);
        let result = scene.tree.join_result(group_id(0)).unwrap();
        assert_eq!((result.status, &*result.reason), (JoinStatus::TimedOut, "join_timed_out"));
        assert_eq!((result.complete, result.cancelled_count, result.running_count), (false, 2, 0));
        assert!(scene.told().ends_with("0 cancels [2 3] (join_timed_out)\n"));
    }
}

#[test]
fn the_timer_starts_with_the_group_and_nobody_has_to_ask() {
    let mut scene = Scene::new();
    let join = JoinPolicy { timeout_ms: None, ..JoinPolicy::default() };
    scene.try_group(0, SpawnGroup { join, ..members([child("a")]) }).unwrap();
    scene.wait(59_999);
    scene.start(1);
    assert_eq!(scene.tree.join_result(group_id(0)), None);
    scene.wait(1);
    assert_eq!(scene.tree.join_result(group_id(0)).unwrap().status, JoinStatus::TimedOut);
}

#[test]
fn a_timeout_of_nothing_fires_at_once() {
    let mut scene = play(JoinPolicy { timeout_ms: Some(0), ..JoinPolicy::default() }, 1, "wait 0");
    expect![[r#"
        join g0: TimedOut (join_timed_out), 0/0/1
        0 cancels [1] (join_timed_out)
    "#]]
    .assert_eq(&scene.told());
}

/// Ties are broken by the log: what was decided first came first.
#[test]
fn what_comes_first_in_the_log_wins_a_tie() {
    check(
        mode(JoinMode::BestEffort),
        1,
        "wait 1000, ok 1",
        expect![[r#"
        join g0: TimedOut (join_timed_out), 0/0/1
        0 cancels [1] (join_timed_out)
        1 cancelled (join_timed_out), late: completed
        TimedOut, partial: cancelled
    "#]],
    );
    let mut scene = Scene::new();
    scene.group(0, mode(JoinMode::BestEffort), [child("a")]);
    scene.now += 1_000;
    scene.ok(1);
    scene.wait(0);
    assert_eq!(scene.tree.join_result(group_id(0)).unwrap().status, JoinStatus::Completed);
}

#[test]
fn of_two_successes_at_one_instant_the_first_in_the_log_is_the_first() {
    let scene = play(mode(JoinMode::FirstSuccess), 2, "ok 2, ok 1");
    let Some(decision) = scene.log().iter().find_map(|event| match &event.fact {
        Fact::JoinDecision(decision) => Some(decision),
        _ => None,
    }) else {
        panic!("no decision")
    };
    assert_eq!(decision.trigger_run_id, Some(id(2)));
}

#[test]
fn a_decided_join_never_changes_bit_for_bit() {
    let mut scene = play(mode(JoinMode::FailFast), 4, "ok 1, fail 2");
    let first = serde_json::to_string(&scene.tree.join_result(group_id(0))).unwrap();
    let ask = |scene: &mut Scene| {
        let answer = scene.tree.join(scene.at(), Caller::Run(id(0)), Surface::Guest, group_id(0)).unwrap();
        let JoinAnswer::Decided(result) = answer else { panic!("it was decided") };
        serde_json::to_string(&Some(result)).unwrap()
    };
    scene.ok(3);
    assert_eq!(ask(&mut scene), first, "a survivor that finishes late is not merged");
    scene.fail(4);
    scene.wait(10_000);
    assert_eq!(ask(&mut scene), first);
    scene.ok(0);
    let after = serde_json::to_string(&scene.tree.join_result(group_id(0))).unwrap();
    assert_eq!(after, first);
}

#[test]
fn a_member_that_was_not_heard_in_time_is_told_as_cancelled() {
    let scene = play(quorum(1), 2, "ok 2, ok 1");
    let result = scene.tree.join_result(group_id(0)).unwrap();
    let told: Vec<_> = result.outputs.iter().map(|member| (member.status, member.output.is_some())).collect();
    assert_eq!(told, [(RunStatus::Cancelled, false), (RunStatus::Completed, true)]);
    assert_eq!((result.success_count, result.cancelled_count, result.failure_count), (1, 1, 0));
    assert_eq!(result.decided_at_seq, scene.log()[scene.log().len() - 3].seq);
}

#[test]
fn a_timed_out_member_is_a_failure() {
    let mut scene = Scene::new();
    let quick = with(child("a"), |request| request.timeout_ms = Some(10));
    scene.group(0, mode(JoinMode::FailFast), [quick, child("b")]);
    scene.wait(10);
    scene.stop(1);
    let result = scene.tree.join_result(group_id(0)).unwrap();
    assert_eq!((result.status, result.outputs[0].status), (JoinStatus::Failed, RunStatus::TimedOut));
}

#[test]
fn a_member_that_is_tried_again_is_still_running() {
    let mut scene = Scene::new();
    scene.group(0, mode(JoinMode::FailFast), [retrying(2, 100), child("b")]);
    scene.flake(1);
    assert_eq!(scene.tree.join_result(group_id(0)), None);
    scene.wait(100);
    scene.start(1);
    scene.flake(1);
    assert_eq!(scene.tree.join_result(group_id(0)).unwrap().status, JoinStatus::Failed);
}

#[test]
fn only_the_owner_its_ancestors_and_the_operator_may_join() {
    let mut scene = Scene::new();
    let owner = scene.live(0, boss());
    let member = scene.group(owner, mode(JoinMode::BestEffort), [boss()]);
    let sibling = scene.live(0, boss());
    let mut ask = |caller, group| {
        let answer = scene.tree.join(scene.at(), caller, Surface::Guest, group);
        answer.map_or_else(|denial| denial.code.as_str(), |_| "answered")
    };
    assert_eq!(ask(Caller::Run(id(owner)), group_id(0)), "answered");
    assert_eq!(ask(Caller::Run(id(0)), group_id(0)), "answered");
    assert_eq!(ask(Caller::Operator, group_id(0)), "answered");
    assert_eq!(ask(Caller::Run(id(member)), group_id(0)), "not_in_lineage");
    assert_eq!(ask(Caller::Run(id(sibling)), group_id(0)), "not_in_lineage");
    assert_eq!(ask(Caller::Run(id(owner)), group_id(1)), "group_not_found");
    assert_eq!(ask(Caller::Run(id(owner)), GroupId { root: RootId(1), index: 0 }), "group_not_found");
    scene.take();
}

//! Timeouts: counted from the first start, over all tries.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

fn within(request: SpawnRequest, ms: u64) -> SpawnRequest {
    with(request, |request| request.timeout_ms = Some(ms))
}

#[test]
fn a_run_is_ended_when_its_time_is_over_and_not_before() {
    let mut scene = Scene::new();
    let run = scene.spawn(0, within(child("a"), 100));
    scene.wait(1_000);
    scene.start(run);
    assert_eq!(scene.tree.runs()[1].deadline(), Some(Timestamp(START + 1_100)), "counted from the start");
    scene.skip();
    scene.wait(99);
    assert_eq!(scene.told(), "");
    scene.wait(1);
    scene.stop(run);
    expect![[r#"
        1 closing as timed_out
        1 timed_out
    "#]]
    .assert_eq(&scene.told());
    assert_eq!(scene.tree.runs()[1].error().map(|error| error.code), Some("timed_out".into()));
}

#[test]
fn the_time_runs_on_over_tries_and_waits() {
    let mut scene = Scene::new();
    let run = scene.live(0, within(retrying(9, 40), 100));
    scene.wait(30);
    scene.flake(run);
    scene.wait(40);
    scene.start(run);
    scene.wait(20);
    scene.flake(run);
    scene.skip();
    scene.wait(40);
    expect![[r#"
        1 timed_out in try 3
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn a_parent_that_times_out_takes_its_children_along() {
    let mut scene = Scene::new();
    let parent = scene.live(0, within(boss(), 100));
    let child = scene.live(parent, within(child("a"), 1_000));
    scene.skip();
    scene.wait(100);
    scene.stop(parent);
    scene.stop(child);
    expect![[r#"
        1 closing as timed_out
        1 cancels [2] (parent_timed_out)
        1 closing as timed_out
        2 cancelled (parent_timed_out)
        1 timed_out
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn a_result_in_time_beats_the_clock() {
    let mut scene = Scene::new();
    let run = scene.live(0, within(child("a"), 100));
    scene.now += 100;
    scene.ok(run);
    scene.wait(0);
    assert_eq!(scene.status(run), RunStatus::Completed);
    assert_eq!(scene.tree.next_timer(), None);
}

#[test]
fn what_is_due_together_is_decided_runs_first() {
    let mut scene = Scene::new();
    let join = JoinPolicy { mode: JoinMode::BestEffort, quorum: None, timeout_ms: Some(100) };
    scene.group(0, join, [within(child("a"), 100), child("b")]);
    scene.skip();
    scene.wait(100);
    expect![[r#"
        1 closing as timed_out
        join g0: TimedOut (join_timed_out), 0/0/2
        0 cancels [2] (join_timed_out)
    "#]]
    .assert_eq(&scene.told());
    let result = scene.tree.join_result(group_id(0)).unwrap();
    assert_eq!(result.outputs[0].status, RunStatus::Cancelled, "its guest had not stopped yet");
    scene.stop(1);
    assert_eq!(scene.status(1), RunStatus::TimedOut);
    assert_eq!(scene.tree.join_result(group_id(0)), Some(result));
}

#[test]
fn a_root_times_out_too() {
    let mut scene = Scene::under(|_, request| request.timeout_ms = Some(50));
    scene.spawn(0, child("a"));
    scene.wait(50);
    assert_eq!(scene.statuses(), "running cancelled");
    scene.stop(0);
    assert_eq!((scene.statuses().as_str(), scene.tree.is_ended()), ("timed_out cancelled", true));
}

#[test]
fn a_clock_that_jumps_decides_everything_at_once_in_order() {
    let mut scene = Scene::new();
    for ms in [300, 100, 200] {
        scene.live(0, within(child("a"), ms));
    }
    scene.skip();
    scene.wait(1_000_000);
    expect![[r#"
        2 closing as timed_out
        3 closing as timed_out
        1 closing as timed_out
    "#]]
    .assert_eq(&scene.told());
}

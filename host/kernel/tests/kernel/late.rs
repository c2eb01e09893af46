//! Late results: the first terminal status wins, and what comes after is noted.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

#[test]
fn a_result_that_comes_after_a_cancel_is_noted_and_not_merged() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    scene.cancel(Caller::Operator, Cancel::of(id(run))).unwrap();
    scene.finish(run, Outcome::Completed(json("1")), Usage { tokens: 7, ..Usage::default() });
    expect![[r#"
        0 spawns [1]
        1 started
        1 cancels [1] (cancelled_by_orchestration)
        1 cancelled (cancelled_by_orchestration), late: completed
    "#]]
    .assert_eq(&scene.told());
    let run = &scene.tree.runs()[1];
    assert_eq!((run.status, run.output()), (RunStatus::Cancelled, None));
    assert_eq!(run.usage.tokens, 7, "what it took is counted all the same");
}

#[test]
fn a_second_end_is_noted_once_and_changes_nothing() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    scene.ok(run);
    scene.fail(run);
    scene.ok(run);
    scene.stop(run);
    expect![[r#"
        0 spawns [1]
        1 started
        1 completed
        1 completed, late: failed
    "#]]
    .assert_eq(&scene.told());
    assert_eq!(scene.tree.runs()[1].output().map(Payload::as_str), Some("1"));
}

#[test]
fn the_end_of_an_earlier_try_means_nothing_to_a_later_one() {
    let mut scene = Scene::new();
    let run = scene.live(0, retrying(3, 10));
    scene.flake(run);
    scene.wait(10);
    scene.start(run);
    scene.skip();
    let late = Finish { run_id: id(run), attempt: 1, outcome: Outcome::Completed(json("1")), usage: Usage::default() };
    scene.tree.finish(scene.at(), late);
    scene.take();
    assert_eq!((scene.told(), scene.status(run)), (String::new(), RunStatus::Running));
}

#[test]
fn a_guest_that_stops_by_itself_without_a_result_has_failed() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    scene.stop(run);
    let error = scene.tree.runs()[1].error().unwrap();
    assert_eq!((scene.status(run), &*error.code), (RunStatus::Failed, "host_failure"));
}

#[test]
fn an_end_of_nothing_means_nothing() {
    let mut scene = Scene::new();
    let queued = scene.spawn(0, child("a"));
    scene.skip();
    scene.ok(queued);
    scene.ok(77);
    assert_eq!((scene.told(), scene.status(queued)), (String::new(), RunStatus::Queued));
}

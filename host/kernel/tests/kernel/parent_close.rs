//! The end of a parent: no child outlives it unless it was spawned to.

use expect_test::{Expect, expect};
use pleach_kernel::*;

use crate::scene::*;

/// A boss (1) with one running child (2) of a kind; then the boss ends.
fn check(close: ParentClose, end: fn(&mut Scene), expected: Expect) {
    let mut scene = Scene::new();
    scene.live(0, with(boss(), |request| request.timeout_ms = Some(500)));
    scene.live(1, closing(close));
    scene.skip();
    end(&mut scene);
    expected.assert_eq(&scene.told());
}

#[test]
fn cancel_stops_the_child_and_the_parent_ends_after_it() {
    check(
        ParentClose::Cancel,
        |scene| {
            scene.ok(1);
            scene.stop(2)
        },
        expect![[r#"
            1 closing as completed
            1 cancels [2] (parent_closed)
            2 cancelled (parent_closed)
            1 completed
        "#]],
    );
    check(
        ParentClose::Cancel,
        |scene| {
            scene.fail(1);
            scene.ok(2)
        },
        expect![[r#"
            1 closing as failed (broken)
            1 cancels [2] (parent_closed)
            2 cancelled (parent_closed), late: completed
            1 failed (broken)
        "#]],
    );
}

#[test]
fn wait_lets_the_child_finish_and_the_parent_ends_after_it() {
    check(
        ParentClose::Wait,
        |scene| {
            scene.ok(1);
            scene.ok(2)
        },
        expect![[r#"
            1 closing as completed
            2 completed
            1 completed
        "#]],
    );
    check(
        ParentClose::Wait,
        |scene| {
            scene.fail(1);
            scene.fail(2)
        },
        expect![[r#"
            1 closing as failed (broken)
            2 failed (broken)
            1 failed (broken)
        "#]],
    );
}

#[test]
fn abandon_lets_the_child_run_on() {
    check(
        ParentClose::Abandon,
        |scene| {
            scene.ok(1);
            scene.ok(2)
        },
        expect![[r#"
            1 completed
            2 completed
        "#]],
    );
}

#[test]
fn a_parent_that_is_cancelled_or_times_out_waits_for_nobody() {
    let cancel = |scene: &mut Scene| {
        scene.cancel(Caller::Operator, Cancel { include_root: true, ..Cancel::of(id(1)) }).unwrap();
        scene.stop(1);
        scene.stop(2);
    };
    check(
        ParentClose::Wait,
        cancel,
        expect![[r#"
        1 cancels [1 2] (cancelled_by_orchestration)
        1 closing as cancelled
        2 cancelled (cancelled_by_orchestration)
        1 cancelled (cancelled_by_orchestration)
    "#]],
    );
    check(
        ParentClose::Wait,
        |scene| {
            scene.wait(500);
            scene.stop(1);
            scene.stop(2)
        },
        expect![[r#"
            1 closing as timed_out
            1 cancels [2] (parent_timed_out)
            1 closing as timed_out
            2 cancelled (parent_timed_out)
            1 timed_out
        "#]],
    );
}

#[test]
fn an_abandoned_child_outlives_a_parent_that_times_out() {
    check(
        ParentClose::Abandon,
        |scene| {
            scene.wait(500);
            scene.stop(1);
            scene.ok(2)
        },
        expect![[r#"
            1 closing as timed_out
            1 timed_out
            2 completed
        "#]],
    );
}

/// What a child left to be waited for goes with the child.
#[test]
fn a_child_that_waits_for_its_own_children_is_not_overlooked() {
    let mut scene = Scene::new();
    scene.live(0, boss());
    scene.live(1, boss());
    scene.live(2, closing(ParentClose::Wait));
    scene.ok(2);
    scene.skip();
    scene.ok(1);
    scene.stop(3);
    expect![[r#"
        1 closing as completed
        1 cancels [3] (parent_closed)
        3 cancelled (parent_closed)
        2 completed
        1 completed
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn a_queued_child_of_a_parent_that_waits_still_starts() {
    let mut scene = Scene::new();
    scene.live(0, boss());
    scene.spawn(1, closing(ParentClose::Wait));
    scene.ok(1);
    assert_eq!(scene.try_spawn(1, child("a")).unwrap_err().code, Code::CallerCancelled, "but nothing new");
    scene.start(2);
    scene.ok(2);
    assert_eq!(scene.statuses(), "running completed completed");
}

#[test]
fn the_tree_ends_with_its_last_run_and_not_with_its_root() {
    let mut scene = Scene::new();
    scene.live(0, closing(ParentClose::Abandon));
    scene.ok(0);
    assert_eq!((scene.tree.root().status, scene.tree.is_ended()), (RunStatus::Completed, false));
    scene.ok(1);
    assert!(scene.tree.is_ended());
}

#[test]
fn a_join_spares_what_its_losers_have_abandoned() {
    let mut scene = Scene::new();
    let join = JoinPolicy { mode: JoinMode::FirstSuccess, quorum: None, timeout_ms: None };
    let first = scene.group(0, join, [boss(), boss()]);
    let kept = scene.live(first, closing(ParentClose::Abandon));
    let lost = scene.live(first, closing(ParentClose::Wait));
    scene.skip();
    scene.ok(first + 1);
    expect![[r#"
        2 completed
        join g0: Completed (join_first_success) by 2, 1/0/1
        0 cancels [1 4] (join_first_success)
    "#]]
    .assert_eq(&scene.told());
    scene.stop(lost);
    scene.stop(first);
    assert_eq!((scene.status(first), scene.status(kept)), (RunStatus::Cancelled, RunStatus::Running));
}

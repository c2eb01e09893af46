//! Recovery: what a host that starts over finds to do is what the host that was
//! killed had to do.

use expect_test::{Expect, expect};
use pleach_kernel::*;

use crate::scene::*;

/// A guest that runs, and a way to settle how it ends. Interrupted by the host
/// that lives, or found by the next one, it ends the same.
fn check(close: impl Fn(&mut Scene) -> u32, expected: Expect) {
    let end = |kill: bool| {
        let mut scene = Scene::under(|_, request| request.budget.tokens = Some(100));
        let run = close(&mut scene);
        assert!(scene.tree.is_closing(id(run)) && scene.tree.guest_active(id(run)));
        scene.skip();
        if kill {
            scene.tree = Tree::fold(root(), scene.log().to_vec()).unwrap_or_else(|error| panic!("{error}"));
            let closing = scene.tree.active_guests().filter(|run| scene.tree.is_closing(*run));
            for run in closing.collect::<Vec<_>>() {
                scene.stop(run.index);
            }
        } else {
            let stops: Vec<RunId> = scene.tree.stops(0).collect();
            for run in stops.into_iter().filter(|run| scene.tree.is_closing(*run)).collect::<Vec<_>>() {
                scene.stop(run.index);
            }
        }
        assert!(!scene.tree.is_closing(id(run)) && !scene.tree.guest_active(id(run)));
        scene.told()
    };
    let lived = end(false);
    assert_eq!(lived, end(true));
    expected.assert_eq(&lived);
}

#[test]
fn a_guest_that_was_cancelled_ends_so_after_a_kill() {
    check(
        |scene| {
            let run = scene.live(0, child("a"));
            scene.cancel(Caller::Operator, Cancel::of(id(run))).unwrap();
            run
        },
        expect![[r#"
            1 cancelled (cancelled_by_orchestration)
        "#]],
    );
}

#[test]
fn a_guest_that_took_too_long_ends_so_after_a_kill() {
    check(
        |scene| {
            let run = scene.live(0, with(child("a"), |request| request.timeout_ms = Some(5)));
            scene.wait(5);
            run
        },
        expect![[r#"
            1 timed_out
        "#]],
    );
}

#[test]
fn a_guest_whose_parent_ended_or_took_too_long_ends_so_after_a_kill() {
    check(
        |scene| {
            let parent = scene.live(0, boss());
            let run = scene.live(parent, child("a"));
            scene.ok(parent);
            run
        },
        expect![[r#"
            2 cancelled (parent_closed)
            1 completed
        "#]],
    );
    check(
        |scene| {
            let parent = scene.live(0, with(boss(), |request| request.timeout_ms = Some(5)));
            let run = scene.live(parent, closing(ParentClose::Wait));
            scene.wait(5);
            run
        },
        expect![[r#"
            1 closing as timed_out
            2 cancelled (parent_timed_out)
            1 timed_out
        "#]],
    );
}

#[test]
fn a_guest_that_lost_a_join_ends_so_after_a_kill() {
    check(
        |scene| {
            let join = JoinPolicy { mode: JoinMode::FirstSuccess, ..JoinPolicy::default() };
            let first = scene.group(0, join, [child("a"), child("b")]);
            scene.ok(first);
            first + 1
        },
        expect![[r#"
            2 cancelled (join_first_success)
        "#]],
    );
    check(
        |scene| {
            let join = JoinPolicy { timeout_ms: Some(5), ..JoinPolicy::default() };
            let first = scene.group(0, join, [child("a")]);
            scene.wait(5);
            first
        },
        expect![[r#"
            1 cancelled (join_timed_out)
        "#]],
    );
}

#[test]
fn a_guest_whose_budget_is_spent_ends_so_after_a_kill() {
    check(
        |scene| {
            let run = scene.live(0, with(child("a"), |request| request.budget.tokens = Some(1)));
            scene.tree.spend(scene.at(), id(run), Usage { tokens: 2, ..Usage::default() });
            scene.take();
            run
        },
        expect![[r#"
            1 cancelled (budget_exhausted)
            1 budget settled, {"tokens":0} back
        "#]],
    );
}

#[test]
fn a_guest_of_an_earlier_try_of_its_parent_ends_so_after_a_kill() {
    check(
        |scene| {
            let parent = scene.live(0, with(retrying(2, 9), |request| request.scopes = everything()));
            let run = scene.live(parent, child("a"));
            scene.flake(parent);
            run
        },
        expect![[r#"
            2 cancelled (attempt_ended)
        "#]],
    );
}

#[test]
fn a_guest_that_a_plan_cancelled_ends_so_after_a_kill() {
    check(
        |scene| {
            scene.failed();
            let run = scene.live(0, child("a"));
            let plan = Plan { actions: vec![Action::Cancel(id(run).to_string())], rationale: String::new() };
            let planned = Ok(Planned { plan, resolutions: Vec::new() });
            scene.tree.apply_plan(scene.at(), id(0), Surface::Guest, &about(0), planned).unwrap();
            scene.take();
            run
        },
        expect![[r#"
            2 cancelled (cancelled_by_plan)
        "#]],
    );
}

#[test]
fn guests_that_run_are_listed_in_the_order_of_their_ids() {
    let mut scene = Scene::new();
    let (a, b) = (scene.spawn(0, child("a")), scene.spawn(0, child("b")));
    scene.start(b);
    assert_eq!(scene.tree.active_guests().collect::<Vec<_>>(), [id(0), id(b)]);
    scene.start(a);
    scene.ok(b);
    assert_eq!(scene.tree.active_guests().collect::<Vec<_>>(), [id(0), id(a)]);
    assert!(!scene.tree.is_closing(id(a)) && !scene.tree.is_closing(id(b)) && !scene.tree.is_closing(id(99)));
}

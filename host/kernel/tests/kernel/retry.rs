//! Retries: bounded, only of what may be tried again, and the same each time.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

#[test]
fn a_retryable_failure_is_tried_again_up_to_max_attempts() {
    let mut scene = Scene::new();
    let run = scene.live(0, retrying(3, 100));
    for _ in 0..2 {
        scene.flake(run);
        scene.wait(99);
        assert_eq!(scene.tree.ready_count(), 0, "it waits");
        scene.wait(1);
        scene.start(run);
    }
    scene.flake(run);
    expect![[r#"
        0 spawns [1]
        1 started
        1 retrying (flaky) at +100
        1 queued in try 2
        1 started in try 2
        1 retrying in try 2 (flaky) at +200
        1 queued in try 3
        1 started in try 3
        1 failed in try 3 (flaky)
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn only_what_is_marked_as_retryable_is_tried_again() {
    let mut scene = Scene::new();
    let run = scene.live(0, retrying(9, 0));
    scene.fail(run);
    assert_eq!(scene.status(run), RunStatus::Failed);
    let run = scene.live(0, child("a"));
    scene.flake(run);
    assert_eq!(scene.status(run), RunStatus::Failed, "nor without a policy for it");
    assert!(!scene.try_spawn(0, keyed("a", "")).unwrap_err().retryable, "nor a denial, ever");
}

#[test]
fn the_wait_is_the_backoff_without_chance() {
    for (backoff, waits) in [(Backoff::Fixed, [100, 100, 100]), (Backoff::Exponential, [100, 200, 250])] {
        let mut scene = Scene::new();
        let retry = Retry { max_attempts: 4, backoff, initial_ms: 100, max_ms: Some(250), jitter: 0.0 };
        let run = scene.live(0, with(child("a"), |request| request.retry = Some(retry)));
        for ms in waits {
            scene.flake(run);
            assert_eq!(scene.tree.next_timer(), Some(Timestamp(scene.now + ms)), "{backoff:?}");
            scene.wait(ms);
            scene.start(run);
        }
    }
}

#[test]
fn jitter_is_the_same_in_every_replay_and_differs_between_runs() {
    let wait = |run: u32| {
        let mut scene = Scene::new();
        let retry =
            Retry { max_attempts: 2, backoff: Backoff::Fixed, initial_ms: 1_000_000, max_ms: None, jitter: 0.9 };
        for _ in 0..run {
            scene.live(0, with(child("a"), |request| request.retry = Some(retry)));
        }
        scene.flake(run);
        scene.tree.next_timer().unwrap().since_ms(scene.at())
    };
    assert_eq!(wait(1), wait(1));
    assert_ne!(wait(1), wait(2));
    assert!((100_000..=1_000_000).contains(&wait(1)));
}

#[test]
fn a_run_that_waits_for_its_next_try_can_be_cancelled() {
    let mut scene = Scene::new();
    let run = scene.live(0, retrying(3, 100));
    scene.flake(run);
    scene.skip();
    scene.cancel(Caller::Operator, Cancel::of(id(run))).unwrap();
    scene.wait(1_000);
    expect![[r#"
        1 cancels [1] (cancelled_by_orchestration)
        1 cancelled in try 2 (cancelled_by_orchestration)
    "#]]
    .assert_eq(&scene.told());
    assert_eq!(scene.tree.next_timer(), None);
}

#[test]
fn a_cancelled_run_is_not_tried_again() {
    let mut scene = Scene::new();
    let run = scene.live(0, retrying(3, 100));
    scene.cancel(Caller::Operator, Cancel::of(id(run))).unwrap();
    scene.flake(run);
    assert_eq!(scene.status(run), RunStatus::Cancelled);
}

/// A second try asks its questions anew; what it can name, it finds again.
#[test]
fn children_with_a_key_are_the_next_trys_and_the_others_are_cancelled() {
    let mut scene = Scene::new();
    let parent = scene.live(0, with(retrying(2, 0), |request| request.scopes = everything()));
    let named = scene.live(parent, keyed("a", "k"));
    let nameless = scene.live(parent, child("a"));
    let abandoned = scene.live(parent, closing(ParentClose::Abandon));
    scene.skip();
    scene.flake(parent);
    expect![[r#"
        1 retrying (flaky) at +0
        1 cancels [3] (attempt_ended)
    "#]]
    .assert_eq(&scene.told());
    scene.wait(0);
    scene.start(parent);
    assert_eq!(scene.spawn(parent, keyed("a", "k")), named);
    let now = scene.at();
    let ask =
        scene.tree.spawn_run(now, id(parent), Surface::Guest, ready(child("a")), CallSite { call: 99, keyless: 2 });
    scene.take();
    assert!(ask.is_ok_and(|spawned| !spawned.idempotent && spawned.run_id != id(nameless)));
    assert_eq!(scene.status(abandoned), RunStatus::Running);
}

#[test]
fn a_nameless_child_that_waits_for_its_own_is_not_overlooked() {
    let mut scene = Scene::new();
    let parent = scene.live(0, with(retrying(2, 0), |request| request.scopes = everything()));
    let middle = scene.live(parent, boss());
    let leaf = scene.live(middle, closing(ParentClose::Wait));
    scene.ok(middle);
    scene.flake(parent);
    scene.stop(leaf);
    assert_eq!((scene.status(leaf), scene.status(middle)), (RunStatus::Cancelled, RunStatus::Completed));
}

#[test]
fn what_every_try_took_is_counted() {
    let mut scene = Scene::new();
    let run = scene.live(0, retrying(2, 5));
    let usage = Usage { tokens: 3, ..Usage::default() };
    scene.now += 10;
    let flaky = RunError { retryable: true, ..RunError::new("flaky", "") };
    scene.finish(run, Outcome::Failed(flaky), usage);
    scene.wait(5);
    scene.start(run);
    scene.now += 20;
    scene.finish(run, Outcome::Completed(json("1")), usage);
    let usage = scene.tree.runs()[1].usage;
    assert_eq!((usage.tokens, usage.wall_ms), (6, 30), "without the wait between them");
}

//! What judges and routers answer, what guests report, and what capabilities
//! refuse: events that change nothing and have to be told.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

#[test]
fn a_judges_verdict_and_a_routers_choice_are_events_of_their_own() {
    let mut scene = Scene::new();
    let (judge, router, agent) =
        (scene.live(0, child("judge")), scene.live(0, child("router")), scene.live(0, child("a")));
    scene.skip();
    scene.finish(judge, Outcome::Completed(json(r#"{"outcome":"pass"}"#)), Usage::default());
    scene.finish(router, Outcome::Completed(json(r#"{"route":"on"}"#)), Usage::default());
    scene.ok(agent);
    expect![[r#"
        1 judges: {"outcome":"pass"}
        1 completed
        2 routes: {"route":"on"}
        2 completed
        3 completed
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn a_judge_that_fails_or_is_cancelled_has_given_no_verdict_and_says_so() {
    let mut scene = Scene::new();
    let (broken, cancelled) = (scene.live(0, child("judge")), scene.live(0, child("judge")));
    scene.skip();
    scene.fail(broken);
    scene.cancel(Caller::Operator, Cancel::of(id(cancelled))).unwrap();
    scene.ok(cancelled);
    expect![[r#"
        1 judges: broken
        1 failed (broken)
        2 cancels [2] (cancelled_by_orchestration)
        2 judges: nothing
        2 cancelled (cancelled_by_orchestration), late: completed
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn only_a_live_guest_reports_progress() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    scene.skip();
    let report = |scene: &mut Scene, run| {
        scene.calls += 1;
        let progress = Progress { message: "half".into(), fraction: Some(0.5), data: None, dropped: 2 };
        scene.tree.record_progress(scene.at(), id(run), scene.calls, progress);
        scene.take();
        scene.told()
    };
    assert_eq!(report(&mut scene, run), "1 reports: half\n");
    assert_eq!(report(&mut scene, 99), "");
    scene.cancel(Caller::Operator, Cancel::of(id(run))).unwrap();
    scene.skip();
    assert_eq!(report(&mut scene, run), "");
}

#[test]
fn a_refusal_outside_the_kernel_is_filled_in_and_told() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    let refused = Denial::new(Code::ScopeRequired, "files.read", "it does not hold fs.read:x");
    scene.tree.record_denial(scene.at(), id(run), refused);
    scene.take();
    let Fact::PolicyDeny(denial) = &scene.last().fact else { panic!("{:?}", scene.last()) };
    assert_eq!((denial.caller_run_id, denial.policy_version, denial.retryable), (Some(id(run)), 3, false));
    let before = scene.log().len();
    scene.tree.record_denial(scene.at(), id(99), Denial::new(Code::ScopeRequired, "files.read", ""));
    scene.take();
    assert_eq!(scene.log().len(), before, "a run that is not there is refused nothing");
}

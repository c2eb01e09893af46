//! Fallbacks: another plugin goes on where one cannot.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

fn falling_back(request: SpawnRequest, fallbacks: &[&str]) -> SpawnRequest {
    with(request, |request| request.fallbacks = fallbacks.iter().map(|name| (*name).into()).collect())
}

/// A ready run is refused because its plugin's circuit is open.
fn refuse(scene: &mut Scene, run: u32) {
    let error = RunError::circuit_open("it has failed too often");
    assert!(scene.tree.refuse_start(scene.at(), id(run), error));
    scene.take();
}

#[test]
fn a_run_whose_tries_are_used_up_goes_on_with_the_next_plugin_and_tries_of_its_own() {
    let mut scene = Scene::new();
    let run = scene.live(0, falling_back(retrying(2, 100), &["b"]));
    for _ in 0..3 {
        scene.flake(run);
        scene.wait(100);
        scene.start(run);
    }
    assert_eq!(scene.tree.runs()[1].plugin().to_string(), "b@1.0.0");
    scene.ok(run);
    expect![[r#"
        0 spawns [1]
        1 started
        1 retrying (flaky) at +100
        1 queued in try 2
        1 started in try 2
        1 retrying in try 2 (flaky) at +100, falls back to 0
        1 queued in try 3 of b@1.0.0
        1 started in try 3 of b@1.0.0
        1 retrying in try 3 of b@1.0.0 (flaky) at +300
        1 queued in try 4 of b@1.0.0
        1 started in try 4 of b@1.0.0
        1 completed in try 4 of b@1.0.0
    "#]]
    .assert_eq(&scene.told());
    let view = scene.tree.view(&Query::default()).unwrap();
    assert_eq!((&*view.tree.plugin, &*view.tree.children[0].plugin), ("lead@1.0.0", "b@1.0.0"));
}

#[test]
fn a_failure_that_is_not_retryable_uses_the_tries_up() {
    let mut scene = Scene::new();
    let run = scene.live(0, falling_back(retrying(9, 0), &["b", "c"]));
    for plugin in ["b@1.0.0", "c@1.0.0"] {
        scene.fail(run);
        scene.wait(0);
        assert_eq!(scene.tree.runs()[1].plugin().to_string(), plugin);
        scene.start(run);
    }
    scene.fail(run);
    assert_eq!((scene.status(run), scene.tree.runs()[1].attempt), (RunStatus::Failed, 3));
}

#[test]
fn a_try_that_was_refused_goes_to_a_fallback_and_only_the_last_waits_it_out() {
    let mut scene = Scene::new();
    let run = scene.spawn(0, falling_back(retrying(2, 100), &["b"]));
    refuse(&mut scene, run);
    scene.wait(0);
    refuse(&mut scene, run);
    assert_eq!(scene.tree.ready_count(), 0, "it waits for its next try");
    scene.wait(100);
    refuse(&mut scene, run);
    expect![[r#"
        0 spawns [1]
        1 started
        1 retrying (circuit_open) at +0, falls back to 0
        1 queued in try 2 of b@1.0.0
        1 started in try 2 of b@1.0.0
        1 retrying in try 2 of b@1.0.0 (circuit_open) at +100
        1 queued in try 3 of b@1.0.0
        1 started in try 3 of b@1.0.0
        1 failed in try 3 of b@1.0.0 (circuit_open)
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn without_a_policy_for_it_a_try_that_was_refused_is_the_end() {
    let mut scene = Scene::new();
    let run = scene.spawn(0, child("a"));
    refuse(&mut scene, run);
    let error = scene.tree.runs()[1].error().unwrap();
    assert_eq!((&*error.code, error.retryable), ("circuit_open", true));
    assert!(!scene.tree.refuse_start(scene.at(), id(run), error), "it is not ready any more");
}

#[test]
fn a_run_that_was_cancelled_timed_out_or_has_spent_everything_is_not_handed_on() {
    let mut scene = Scene::new();
    let cancelled = scene.live(0, falling_back(child("a"), &["b"]));
    scene.cancel(Caller::Operator, Cancel::of(id(cancelled))).unwrap();
    scene.fail(cancelled);
    let slow = with(falling_back(child("a"), &["b"]), |request| request.timeout_ms = Some(5));
    let slow = scene.live(0, slow);
    scene.wait(5);
    scene.fail(slow);
    let spent = scene.live(0, falling_back(child("a"), &["b"]));
    let error = RunError::new(RunError::BUDGET_EXHAUSTED, "nothing is left");
    scene.finish(spent, Outcome::Failed(error), Usage::default());
    assert_eq!(scene.statuses(), "running cancelled timed_out failed");
}

#[test]
fn a_fallback_is_admitted_as_a_target_is_and_the_denial_names_it() {
    let mut scene = Scene::under(|policy, request| {
        policy.targets = ["a", "b", "d", "judge"].map(String::from).into();
        request.scopes = Grant::new(scopes(&["spawn:a", "spawn:b", "spawn:judge"]), []);
    });
    let mut check = |fallback: &str, resolution: Resolution, expected: &str| {
        let request = falling_back(child("a"), &["b", fallback]);
        let fallbacks = vec![found("b"), resolution];
        let denial = scene.try_ready(0, Spawn { fallbacks, ..ready(request) }).unwrap_err();
        assert_eq!((denial.code.as_str(), denial.target.as_deref()), (expected, Some(fallback)), "{denial}");
    };
    check("e", Resolution::NotFound { hint: "there are others".into() }, "target_not_found");
    check("b@^2", Resolution::NotPublished, "target_not_published");
    check("c", found("c"), "target_not_allowlisted");
    check("d", found("d"), "scope_required");
    check("judge", found("judge"), "invalid_request");
    let nine = falling_back(child("a"), &["b"; MAX_FALLBACKS + 1]);
    assert_eq!(scene.try_spawn(0, nine).unwrap_err().code, Code::InvalidRequest);
    scene.spawn(0, falling_back(child("a"), &["b"; MAX_FALLBACKS]));
}

#[test]
fn another_list_of_fallbacks_is_another_request() {
    let mut scene = Scene::new();
    let first = scene.spawn(0, falling_back(keyed("a", "k"), &["b"]));
    assert_eq!(scene.spawn(0, falling_back(keyed("a", "k"), &["b"])), first);
    for other in [&["c"] as &[&str], &[], &["b", "b"]] {
        let denial = scene.try_spawn(0, falling_back(keyed("a", "k"), other)).unwrap_err();
        assert_eq!(denial.code, Code::IdempotencyConflict, "{other:?}");
    }
}

#[test]
fn a_run_has_the_tightest_limits_of_its_plugins_and_orchestrates_as_the_one_it_has_come_to() {
    let mut scene = Scene::under(|policy, _| {
        let mut narrow = |name: &str, target: &str, max_fanout| {
            let limits = Tightening { max_fanout: Some(max_fanout), ..Tightening::default() };
            let entry = Orchestrator { targets: vec![target.into()], limits, ..Orchestrator::default() };
            policy.orchestrators.insert(name.into(), entry);
        };
        narrow("boss", "a", 7);
        narrow("deputy", "b", 2);
    });
    let run = scene.live(0, falling_back(boss(), &["deputy"]));
    assert_eq!(scene.tree.runs()[1].spec.limits.max_fanout, 2);
    let denial = scene.try_spawn(run, child("b")).unwrap_err();
    assert_eq!(denial.code, Code::TargetNotAllowlisted);
    scene.fail(run);
    scene.wait(0);
    scene.start(run);
    scene.spawn(run, child("b"));
    assert_eq!(scene.try_spawn(run, child("a")).unwrap_err().code, Code::TargetNotAllowlisted);
}

#[test]
fn a_plan_tries_the_same_plugins_again() {
    let mut scene = Scene::new();
    let run = scene.live(0, falling_back(child("a"), &["b"]));
    scene.fail(run);
    scene.wait(0);
    scene.start(run);
    scene.fail(run);
    let plan = Plan { actions: vec![Action::Retry(id(run).to_string())], rationale: String::new() };
    let planned = Ok(Planned { plan, resolutions: Vec::new() });
    scene.tree.apply_plan(scene.at(), id(0), Surface::Guest, &about(0), planned).unwrap();
    scene.take();
    let again = &scene.tree.runs()[2];
    assert_eq!((again.plugin().to_string(), again.spec.fallbacks.len()), ("a@1.0.0".into(), 1));
}

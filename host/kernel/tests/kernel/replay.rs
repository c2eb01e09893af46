//! Replay: a guest that is run again gets the answers that it got.

use expect_test::{Expect, expect};
use pleach_kernel::*;

use crate::replan::question;
use crate::scene::*;

/// The tree as a host that starts over has it.
fn again(scene: &Scene) -> Tree {
    Tree::fold(root(), scene.log().to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

fn called(request: SpawnRequest) -> SpawnGroup {
    SpawnGroup { agent_call: true, ..members([request]) }
}

fn calls(tree: &Tree, run: u32) -> Vec<(u32, &'static str)> {
    tree.calls_made(id(run)).collect()
}

fn planner(scene: &mut Scene) -> RunId {
    match scene.try_evaluate(0, None, true) {
        Ok(Replanning::Asked { planner, .. }) => planner,
        other => panic!("{other:?}"),
    }
}

/// Call 1 a run, 2 a group, 3 an agent call, 4 a replanner.
fn busy() -> (Scene, RunId) {
    let mut scene = Scene::new();
    let run = scene.live(0, keyed("a", "k"));
    scene.fail(run);
    let join = JoinPolicy { mode: JoinMode::All, ..JoinPolicy::default() };
    scene.try_group(0, SpawnGroup { join, ..members([child("a"), child("b")]) }).unwrap();
    scene.try_group(0, called(child("b"))).unwrap();
    let planner = planner(&mut scene);
    (scene, planner)
}

#[test]
fn a_call_that_spawned_is_answered_the_same_without_an_event() {
    let mut scene = Scene::new();
    let spawned = scene.try_spawn(0, keyed("a", "k")).unwrap();
    let found = scene.try_spawn(0, keyed("a", "k")).unwrap();
    let join = JoinPolicy { mode: JoinMode::All, ..JoinPolicy::default() };
    let group = || SpawnGroup { join, key_prefix: Some("g".into()), ..members([child("a"), child("b")]) };
    let grouped = scene.try_group(0, group()).unwrap();
    let regrouped = scene.try_group(0, group()).unwrap();
    let answered = scene.try_group(0, called(child("b"))).unwrap();
    assert!(found.idempotent && regrouped.idempotent && !grouped.warnings.is_empty());
    for index in 1..=4 {
        scene.start(index);
        scene.ok(index);
    }
    for tree in [again(&scene), Tree::restore(root(), &scene.tree.snapshot()).unwrap()] {
        let spawn = |call| tree.replayed_spawn(id(0), call, &ready(keyed("a", "k")));
        assert_eq!((spawn(1), spawn(2)), (Some(Ok(spawned.clone())), Some(Ok(found.clone()))));
        let group = |call| tree.replayed_group(id(0), call, &group());
        assert_eq!((group(3), group(4)), (Some(Ok(grouped.clone())), Some(Ok(regrouped.clone()))));
        let call = tree.replayed_group(id(0), 5, &called(child("b")));
        assert_eq!(call, Some(Ok(answered.clone())));
    }
}

#[test]
fn what_a_call_has_led_to_is_told_by_what_was_called() {
    let (scene, planner) = busy();
    let tree = again(&scene);
    let expected = [(1, "spawn_run"), (2, "spawn_group"), (3, "agent_call"), (4, "evaluate_and_replan")];
    assert_eq!(calls(&tree, 0), expected);
    assert_eq!(tree.calls_reached(id(0)), 5);
    assert_eq!(tree.replayed_planner(id(0), 4, &question(None, true)), Some(Ok((planner, id(0)))));
    assert_eq!((calls(&tree, 1), tree.calls_reached(id(1))), (vec![], 0));
    assert_eq!((calls(&tree, 99), tree.calls_reached(id(99))), (vec![], 0));
}

#[test]
fn a_call_that_spawned_nothing_is_not_known() {
    let (mut scene, _) = busy();
    assert!(scene.try_spawn(0, keyed("a", "")).is_err(), "call 5 is denied");
    let tree = again(&scene);
    for call in [0, 5, 6] {
        assert_eq!(tree.replayed_spawn(id(0), call, &ready(child("a"))), None);
        assert_eq!(tree.replayed_group(id(0), call, &members([])), None);
        assert_eq!(tree.replayed_planner(id(0), call, &question(None, true)), None);
    }
    assert_eq!(tree.replayed_spawn(id(99), 1, &ready(child("a"))), None);
    assert_eq!(tree.calls_reached(id(0)), 5, "a denial leaves no call behind");
}

/// A replanner that is asked for again is found, and that is told.
#[test]
fn a_replanner_that_was_asked_already_is_the_answer_of_both_calls() {
    let (mut scene, planner) = busy();
    scene.skip();
    assert_eq!(self::planner(&mut scene), planner);
    assert_eq!(scene.told(), format!("0 finds [{}]\n", planner.index));
    let tree = again(&scene);
    assert_eq!(
        tree.replayed_planner(id(0), 4, &question(None, true)),
        tree.replayed_planner(id(0), 5, &question(None, true))
    );
}

#[test]
fn an_answer_does_not_depend_on_how_often_the_child_was_tried_since() {
    let mut scene = Scene::new();
    let first = scene.try_spawn(0, with(retrying(3, 0), |request| request.spawn_key = Some("k".into()))).unwrap();
    scene.start(1);
    scene.flake(1);
    scene.wait(0);
    scene.start(1);
    assert_eq!(scene.tree.runs()[1].attempt, 2);
    let request = || with(retrying(3, 0), |request| request.spawn_key = Some("k".into()));
    assert_eq!(again(&scene).replayed_spawn(id(0), 1, &ready(request())), Some(Ok(first.clone())));
    let found = scene.try_spawn(0, request()).unwrap();
    assert_eq!((found.lineage.attempt, &found.lineage), (1, &first.lineage), "nor does one that is found again");
}

#[test]
fn calls_are_of_one_try_and_forgotten_when_the_guest_stops() {
    let mut scene = Scene::new();
    let parent = scene.live(0, with(retrying(3, 0), |request| request.scopes = everything()));
    scene.spawn(parent, keyed("a", "k"));
    assert_eq!(calls(&scene.tree, parent), [(2, "spawn_run")]);
    scene.flake(parent);
    assert_eq!((calls(&scene.tree, parent), scene.tree.calls_reached(id(parent))), (vec![], 0));
    scene.wait(0);
    scene.start(parent);
    assert_eq!(calls(&again(&scene), parent), []);
    assert!(scene.try_spawn(parent, keyed("a", "k")).unwrap().idempotent);
    assert_eq!(calls(&again(&scene), parent), [(3, "spawn_run")]);
    scene.ok(parent);
    assert_eq!(calls(&again(&scene), parent), []);
}

#[test]
fn progress_is_reported_once() {
    let mut scene = Scene::new();
    let run = scene.live(0, child("a"));
    scene.skip();
    let report = |scene: &mut Scene, call| {
        let progress = Progress { message: format!("at {call}").into(), fraction: None, data: None, dropped: 0 };
        scene.tree.record_progress(scene.at(), id(run), call, progress);
        scene.take();
        scene.told()
    };
    assert_eq!(report(&mut scene, 3), "1 reports: at 3\n");
    scene.tree = again(&scene);
    assert_eq!(report(&mut scene, 3), "");
    assert_eq!(report(&mut scene, 2), "", "it was dropped for coming too fast, and stays so");
    assert_eq!(scene.tree.calls_reached(id(run)), 4);
    assert_eq!(report(&mut scene, 4), "1 reports: at 4\n");
    assert_eq!(scene.tree.calls_reached(id(run)), 5);
}

fn differs<T: std::fmt::Debug>(answer: Option<Result<T, Nondeterminism>>, expected: Expect) {
    let difference = answer.expect("the call is known").expect_err("it is the same");
    let text = difference.to_string();
    assert!([difference.recorded, difference.asked].iter().all(|part| text.contains(part)), "{text}");
    assert!(text.contains(&format!("host call {}", difference.call)), "{text}");
    expected.assert_eq(&text.replace(", and", ",\nand"));
}

#[test]
fn a_guest_that_asks_differently_is_told_what_was_and_what_is_asked() {
    let (scene, _) = busy();
    let tree = again(&scene);
    let spawn = |call, request| tree.replayed_spawn(id(0), call, &ready(request));
    differs(
        spawn(1, keyed("b", "k")),
        expect![[r#"
            host call 1 was spawn_run of `a` with the key `k` (request b16314c9),
            and when it was run again spawn_run of `b` with the key `k` (request 604c55fd)"#]],
    );
    differs(
        spawn(1, child("a")),
        expect![[r#"
            host call 1 was spawn_run of `a` with the key `k` (request b16314c9),
            and when it was run again spawn_run of `a` without a key (request b16314c9)"#]],
    );
    differs(
        spawn(2, child("a")),
        expect![[r#"
            host call 2 was spawn_group of 2 runs, the first `a`, without a key prefix, joined by best_effort in 60000 ms,
            and when it was run again spawn_run of `a` without a key (request b16314c9)"#]],
    );
    let group = |call, group: SpawnGroup| tree.replayed_group(id(0), call, &group);
    differs(
        group(2, members([child("a"), child("judge")])),
        expect![[r#"
            host call 2 was spawn_group of 2 runs, the first `a`, without a key prefix, joined by best_effort in 60000 ms; member 1 is `b` (request 604c55fd),
            and when it was run again spawn_group of 2 runs, the first `a`, without a key prefix, joined by best_effort in 60000 ms; member 1 is `judge` (request 2f2d1558)"#]],
    );
    differs(
        group(2, members([child("a")])),
        expect![[r#"
        host call 2 was spawn_group of 2 runs, the first `a`, without a key prefix, joined by best_effort in 60000 ms,
        and when it was run again spawn_group of `a` without a key prefix, joined by best_effort in 60000 ms"#]],
    );
    let join = JoinPolicy { mode: JoinMode::Quorum, quorum: Some(1), timeout_ms: Some(5) };
    differs(
        group(2, SpawnGroup { join, key_prefix: Some("p".into()), ..members([child("a"), child("b")]) }),
        expect![[r#"
            host call 2 was spawn_group of 2 runs, the first `a`, without a key prefix, joined by best_effort in 60000 ms,
            and when it was run again spawn_group of 2 runs, the first `a`, with the key prefix `p`, joined by quorum of 1 in 5 ms"#]],
    );
    differs(
        group(3, members([child("b")])),
        expect![[r#"
        host call 3 was agent_call of `b` without a key prefix, joined by best_effort in 60000 ms,
        and when it was run again spawn_group of `b` without a key prefix, joined by best_effort in 60000 ms"#]],
    );
    differs(
        group(1, called(child("b"))),
        expect![[r#"
            host call 1 was spawn_run of `a` with the key `k` (request b16314c9),
            and when it was run again agent_call of `b` without a key prefix, joined by best_effort in 60000 ms"#]],
    );
    differs(
        group(4, members([])),
        expect![[r#"
        host call 4 was evaluate_and_replan for the children of 00000000-0000-feed-0000-000000000000,
        and when it was run again spawn_group of no runs without a key prefix, joined by best_effort in 60000 ms"#]],
    );
    differs(
        tree.replayed_planner(id(0), 3, &question(None, true)),
        expect![[r#"
        host call 3 was agent_call of `b` without a key prefix, joined by best_effort in 60000 ms,
        and when it was run again evaluate_and_replan of mend for the children of 00000000-0000-feed-0000-000000000000"#]],
    );
    let other = Evaluate { config: None, ..question(None, true) };
    let whose = question(Some(1), true);
    for ask in [other, whose, question(None, false)] {
        assert!(matches!(tree.replayed_planner(id(0), 4, &ask), Some(Err(_))), "{ask:?}");
    }
}

#[test]
fn a_refused_agent_call_is_called_that() {
    let mut scene = Scene::under(|policy, _| policy.limits.max_fanout = 0);
    let denial = scene.try_group(0, called(child("a"))).unwrap_err();
    assert_eq!((denial.code, &*denial.action), (Code::MaxFanout, "agent_call"));
    assert_eq!(denial.message, "max_fanout is 0, and 0 are in use", "there are no members to speak of");
    let denial = scene.try_group(0, members([child("a")])).unwrap_err();
    assert_eq!((&*denial.action, &denial.message[..10]), ("spawn_group", "member 0: "));
    let conflict = |request| SpawnGroup { key_prefix: Some("~".into()), ..called(request) };
    assert_eq!(&*scene.try_group(0, conflict(child("a"))).unwrap_err().action, "agent_call");
}

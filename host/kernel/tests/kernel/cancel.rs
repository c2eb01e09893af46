//! Cancel: one decision for a whole subtree, and nothing starts in it.

use expect_test::expect;
use pleach_kernel::*;

use crate::scene::*;

fn cancel_of(run: u32) -> Cancel {
    Cancel::of(id(run))
}

/// 0 – 1 – 2 – 3, all running; 4 is another child of 1 that waits.
fn tower() -> Scene {
    let mut scene = Scene::new();
    scene.live(0, boss());
    scene.live(1, boss());
    scene.live(2, child("a"));
    scene.spawn(1, child("a"));
    scene.skip();
    scene
}

#[test]
fn children_settle_before_their_parents_however_the_guests_stop() {
    let mut scene = tower();
    let answer = scene.cancel(Caller::Run(id(0)), cancel_of(1)).unwrap();
    assert_eq!((answer.cancelled_count, answer.scanned_count), (4, 4));
    scene.stop(1);
    scene.stop(2);
    scene.stop(3);
    expect![[r#"
        1 cancels [1 2 3 4] (cancelled_by_orchestration)
        4 cancelled (cancelled_by_orchestration)
        1 closing as cancelled
        2 closing as cancelled
        3 cancelled (cancelled_by_orchestration)
        2 cancelled (cancelled_by_orchestration)
        1 cancelled (cancelled_by_orchestration)
    "#]]
    .assert_eq(&scene.told());
}

#[test]
fn asking_twice_counts_nothing_the_second_time() {
    let mut scene = tower();
    assert_eq!(scene.cancel(Caller::Operator, cancel_of(1)).unwrap().cancelled_count, 4);
    let again = scene.cancel(Caller::Operator, cancel_of(1)).unwrap();
    assert_eq!((again.cancelled_count, again.cancelled_run_ids.len(), again.scanned_count), (0, 0, 4));
    for run in [1, 2, 3] {
        scene.stop(run);
    }
    scene.skip();
    assert_eq!(scene.cancel(Caller::Operator, cancel_of(1)).unwrap().cancelled_count, 0);
    assert_eq!(scene.told(), "", "nor does it write anything");
}

#[test]
fn the_root_of_the_subtree_can_be_spared() {
    let mut scene = tower();
    let answer = scene.cancel(Caller::Run(id(1)), Cancel { include_root: false, ..cancel_of(1) }).unwrap();
    assert_eq!(answer.cancelled_run_ids, [id(2), id(3), id(4)]);
    assert!(!answer.include_root);
    assert!(scene.try_spawn(1, child("a")).is_ok(), "which goes on and may spawn");
    assert!(scene.try_spawn(2, child("a")).is_err());
}

#[test]
fn new_spawns_are_refused_in_the_same_decision() {
    let mut scene = tower();
    scene.cancel(Caller::Operator, cancel_of(0)).unwrap();
    for caller in [0, 1, 2] {
        assert_eq!(scene.try_spawn(caller, child("a")).unwrap_err().code, Code::CallerCancelled);
        assert_eq!(scene.try_group(caller, members([child("a")])).unwrap_err().code, Code::CallerCancelled);
    }
}

#[test]
fn nothing_starts_in_a_cancelled_subtree() {
    let mut scene = tower();
    let waiting = scene.live(1, retrying(2, 50));
    scene.flake(waiting);
    scene.cancel(Caller::Operator, cancel_of(1)).unwrap();
    scene.wait(1_000);
    assert_eq!(scene.tree.ready_count(), 0);
    for run in [4, waiting] {
        assert!(!scene.tree.start(scene.at(), id(run)));
        assert_eq!(scene.status(run), RunStatus::Cancelled, "what had no guest has ended at once");
    }
}

#[test]
fn guests_are_told_to_stop_in_the_order_of_the_decisions() {
    let mut scene = tower();
    scene.cancel(Caller::Operator, cancel_of(3)).unwrap();
    scene.cancel(Caller::Operator, cancel_of(1)).unwrap();
    let stops: Vec<u32> = scene.tree.stops(0).map(|run| run.index).collect();
    assert_eq!(stops, [3, 1, 2]);
    assert_eq!(scene.tree.stops(1).count(), 2);
    assert_eq!(scene.tree.stops(99).count(), 0);
}

#[test]
fn a_cancel_takes_what_was_spawned_to_be_abandoned_too() {
    let mut scene = tower();
    let abandoned = scene.live(1, with(closing(ParentClose::Abandon), |request| request.scopes = everything()));
    scene.ok(1);
    scene.stop(2);
    scene.stop(3);
    assert_eq!((scene.status(1), scene.status(abandoned)), (RunStatus::Completed, RunStatus::Running));
    let answer = scene.cancel(Caller::Operator, cancel_of(1)).unwrap();
    assert_eq!(answer.cancelled_run_ids, [id(abandoned)], "whose parent has ended");
}

#[test]
fn it_needs_the_scope_and_the_lineage() {
    let mut scene = Scene::new();
    let only = |run: &str| {
        let text = format!("run.cancel:{run}");
        with(child("a"), |request| request.scopes = Grant::new(scopes(&[&text, "spawn:*"]), []))
    };
    let powerless = scene.live(0, child("a"));
    let selfish = scene.live(0, only(&id(2).to_string()));
    let wide = scene.live(0, only("*"));
    let below = scene.live(wide, child("a"));
    let mut ask = |caller: u32, run| {
        let answer = scene.tree.cancel_subtree(scene.at(), Caller::Run(id(caller)), Surface::Guest, &Cancel::of(run));
        answer.map_or_else(|denial| denial.code.as_str(), |_| "cancelled")
    };
    assert_eq!(ask(powerless, id(powerless)), "scope_required");
    assert_eq!(ask(wide, id(selfish)), "not_in_lineage");
    assert_eq!(ask(wide, id(0)), "not_in_lineage");
    assert_eq!(ask(selfish, id(wide)), "scope_required");
    assert_eq!(ask(wide, id(99)), "run_not_found");
    assert_eq!(ask(wide, RunId { root: RootId(1), index: 0 }), "run_not_found");
    assert_eq!(ask(wide, id(below)), "cancelled");
    assert_eq!(ask(selfish, id(selfish)), "cancelled", "a run may cancel itself");
    assert_eq!(ask(0, id(powerless)), "cancelled");
    scene.take();
}

#[test]
fn the_operator_needs_neither() {
    let mut scene = Scene::under(|_, request| request.scopes = Grant::new(scopes(&["spawn:*"]), []));
    scene.live(0, child("a"));
    assert_eq!(scene.cancel(Caller::Operator, cancel_of(0)).unwrap().cancelled_count, 2);
}

#[test]
fn the_reason_is_the_askers_or_the_default() {
    let mut scene = tower();
    let reasoned = Cancel { reason: "changed my mind".into(), ..cancel_of(3) };
    assert_eq!(&*scene.cancel(Caller::Operator, reasoned).unwrap().reason, "changed my mind");
    assert_eq!(&*scene.cancel(Caller::Operator, cancel_of(1)).unwrap().reason, "cancelled_by_orchestration");
    scene.stop(3);
    let error = scene.tree.runs()[3].error().unwrap();
    assert_eq!((&*error.code, error.message.contains("changed my mind")), ("cancelled", true));
    let ask: Cancel = serde_json::from_value(serde_json::json!({ "run_id": id(1) })).unwrap();
    assert_eq!(ask, cancel_of(1), "the defaults on the wire");
}

#[test]
fn cancelling_a_thousand_is_one_decision() {
    let mut scene = Scene::new();
    let boss = scene.live(0, boss());
    scene.try_group(boss, members((0..1_000).map(|_| child("a")))).unwrap();
    scene.skip();
    let answer = scene.cancel(Caller::Operator, cancel_of(boss)).unwrap();
    assert_eq!(answer.cancelled_count, 1_001);
    let marks = scene.log().iter().filter(|event| matches!(event.fact, Fact::CancellationPropagation(_)));
    assert_eq!(marks.count(), 1);
    scene.stop(boss);
    assert!(scene.tree.runs()[1..].iter().all(|run| run.status == RunStatus::Cancelled));
}

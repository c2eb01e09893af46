//! Ready runs: which goes first, and that nobody waits for ever.

use pleach_kernel::*;

use crate::scene::*;

fn of(target: &str, priority: Priority) -> SpawnRequest {
    with(child(target), |request| request.priority = priority)
}

/// The runs that could start, in order, where plugin `a` takes 10 and others are
/// unknown.
fn order(scene: &Scene) -> Vec<u32> {
    let mean = |plugin: &str| if plugin == "a" { 10 } else { 0 };
    scene.tree.ready_by(mean).map(|ready| ready.run.index).collect()
}

#[test]
fn priority_goes_first_and_then_whoever_was_ready_first() {
    let mut scene = Scene::new();
    let [low, first, high, second] = [Priority::Low, Priority::Medium, Priority::High, Priority::Medium]
        .map(|priority| scene.spawn(0, of("a", priority)));
    assert_eq!(order(&scene), [high, first, second, low]);
    let ready: Vec<Priority> = scene.tree.ready_by(|_| 0).map(|ready| ready.priority).collect();
    assert_eq!(ready, [Priority::High, Priority::Medium, Priority::Medium, Priority::Low]);
}

#[test]
fn a_run_that_is_ready_again_stands_behind_those_who_were() {
    let mut scene = Scene::new();
    let again = scene.live(0, retrying(2, 0));
    let waits = scene.spawn(0, child("b"));
    scene.flake(again);
    scene.wait(0);
    assert_eq!(order(&scene), [waits, again]);
}

#[test]
fn the_shortest_goes_first_in_a_tree_that_chose_it_and_the_unknown_before_it() {
    let spawned = |fairness| {
        let mut scene = Scene::fairly(fairness, |_, _| ());
        for target in ["a", "b", "a", "b"] {
            scene.spawn(0, child(target));
        }
        scene.spawn(0, of("a", Priority::High));
        scene
    };
    assert_eq!(order(&spawned(Fairness::RoundRobin)), [5, 1, 2, 3, 4]);
    let mut scene = spawned(Fairness::ShortestFirst);
    assert_eq!(order(&scene), [5, 2, 4, 1, 3], "priority before length");
    scene.start(2);
    scene.cancel(Caller::Operator, Cancel::of(id(1))).unwrap();
    assert_eq!(order(&scene), [5, 4, 3]);
    assert_eq!(scene.tree.ready_count(), 3);
}

/// Starts whatever goes first, while runs that go before others come in for ever.
fn passes_over(mut scene: Scene, waits: SpawnRequest, others: SpawnRequest) -> u64 {
    let waits = scene.spawn(0, waits);
    for passes in 0..10 * MAX_PASSES {
        scene.spawn(0, others.clone());
        let first = order(&scene)[0];
        scene.start(first);
        if first == waits {
            return passes;
        }
    }
    panic!("it is passed over for ever");
}

#[test]
fn nobody_is_passed_over_for_ever() {
    let low = passes_over(Scene::new(), of("a", Priority::Low), of("a", Priority::High));
    assert_eq!(low, MAX_PASSES, "by higher priority");
    let shortest_first = || Scene::fairly(Fairness::ShortestFirst, |_, _| ());
    assert_eq!(passes_over(shortest_first(), child("a"), child("b")), MAX_PASSES, "by shorter ones");
    let both = passes_over(shortest_first(), of("b", Priority::Low), of("a", Priority::Medium));
    assert_eq!(both, MAX_PASSES, "by higher priority, where it is short itself");
}

#[test]
fn of_many_that_wait_none_is_passed_over_more_often() {
    let mut scene = Scene::new();
    let waiting: Vec<u32> = (0..3).map(|_| scene.spawn(0, of("a", Priority::Low))).collect();
    let mut started = Vec::new();
    for _ in 0..MAX_PASSES + 6 {
        scene.spawn(0, of("a", Priority::High));
        let first = order(&scene)[0];
        scene.start(first);
        started.push(first);
    }
    let places: Vec<usize> = waiting.iter().filter_map(|run| started.iter().position(|other| other == run)).collect();
    let most = MAX_PASSES as usize;
    assert_eq!(places, [most, most + 1, most + 2], "all three were passed over by the same runs");
}

#[test]
fn looking_at_the_order_is_as_starting_in_it() {
    let mut scene = Scene::new();
    scene.spawn(0, of("a", Priority::Low));
    for _ in 0..2 * MAX_PASSES {
        scene.spawn(0, of("a", Priority::High));
    }
    let looked = order(&scene);
    assert_eq!(looked.iter().position(|run| *run == 1), Some(MAX_PASSES as usize));
    let mut started = Vec::new();
    while scene.tree.ready_count() > 0 {
        let first = order(&scene)[0];
        scene.start(first);
        started.push(first);
    }
    assert_eq!(looked, started);
}

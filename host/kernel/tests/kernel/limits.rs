//! Limits: exactly as many as allowed, and none is legal.

use pleach_kernel::*;

use crate::scene::*;

fn limited(change: impl FnOnce(&mut Limits)) -> Scene {
    Scene::under(|policy, _| change(&mut policy.limits))
}

#[test]
fn exactly_max_fanout_children_are_admitted_over_a_lifetime() {
    for limit in [0, 1, 3] {
        let mut scene = limited(|limits| limits.max_fanout = limit);
        for _ in 0..limit {
            let run = scene.live(0, child("a"));
            scene.ok(run);
        }
        let denial = scene.try_spawn(0, child("a")).unwrap_err();
        assert_eq!(denial.code, Code::MaxFanout);
        let limit = u64::from(limit);
        assert_eq!((denial.limit, denial.requested, denial.current), (Some(limit), Some(1), Some(limit)));
    }
}

#[test]
fn exactly_max_depth_levels_are_admitted() {
    for limit in [0, 1, 3] {
        let mut scene = limited(|limits| limits.max_depth = limit);
        let mut deepest = 0;
        for _ in 0..limit {
            deepest = scene.live(deepest, boss());
        }
        let denial = scene.try_spawn(deepest, boss()).unwrap_err();
        let (limit, current) = (u64::from(limit), u64::from(limit));
        assert_eq!(denial.code, Code::MaxDepth);
        assert_eq!((denial.limit, denial.requested, denial.current), (Some(limit), Some(limit + 1), Some(current)));
    }
}

#[test]
fn exactly_max_children_total_descendants_are_admitted_wherever_they_hang() {
    let mut scene = limited(|limits| limits.max_children_total = 4);
    let one = scene.live(0, boss());
    let two = scene.live(one, boss());
    scene.ok(two);
    scene.spawn(one, child("a"));
    scene.spawn(0, child("a"));
    for caller in [0, one] {
        let denial = scene.try_spawn(caller, child("a")).unwrap_err();
        assert_eq!((denial.code, denial.limit, denial.current), (Code::MaxChildrenTotal, Some(4), Some(4)));
    }
}

#[test]
fn at_max_concurrency_runs_are_queued_and_not_denied() {
    let mut scene = limited(|limits| limits.max_concurrency = 3);
    scene.try_group(0, members((0..5).map(|_| child("a")))).unwrap();
    assert_eq!((scene.tree.room(0), scene.tree.ready_count()), (2, 5));
    scene.start(1);
    scene.start(2);
    assert_eq!(scene.tree.room(0), 0);
    assert_eq!(scene.tree.room(1), 1, "a run that waits in a join takes no place");
    scene.ok(1);
    assert_eq!((scene.tree.room(0), scene.tree.ready().next()), (1, Some(id(3))));
}

#[test]
fn limits_only_tighten_on_the_way_down() {
    let mut scene = Scene::under(|policy, _| {
        let tight = Tightening { max_fanout: Some(1), max_depth: Some(99), ..Tightening::default() };
        let wide = Tightening { max_fanout: Some(7), ..Tightening::default() };
        for (name, limits) in [("tight", tight), ("wide", wide)] {
            let entry = Orchestrator { targets: vec!["*".into()], scopes: policy.scopes.clone(), limits };
            policy.orchestrators.insert(name.into(), entry);
        }
    });
    let named = |name: &str| with(child(name), |request| request.scopes = everything());
    let tight = scene.live(0, named("tight"));
    let below = scene.live(tight, named("wide"));
    let fanout = |scene: &Scene, run: u32| scene.tree.runs()[run as usize].spec.limits.max_fanout;
    assert_eq!((fanout(&scene, tight), fanout(&scene, below)), (1, 1));
    assert_eq!(scene.tree.runs()[1].spec.limits.max_depth, 50, "an entry never loosens");
    assert_eq!(scene.try_spawn(tight, child("a")).unwrap_err().code, Code::MaxFanout);
    let snapshot = scene.try_spawn(0, child("a")).unwrap().policy_snapshot;
    assert_eq!((snapshot.policy_version, snapshot.limits.max_fanout), (3, 10_000));
}

#[test]
fn whoever_submits_may_tighten_and_not_loosen() {
    let limits = Limits { max_depth: 1, max_fanout: 1_000_000, ..Limits::CEILING };
    let submit = Submit { spawn: ready(child("lead")), limits, fairness: Fairness::default() };
    let tenant = Tenant::default_tenant();
    let tree = Tree::open(Timestamp(START), root(), tenant, policy().into(), Surface::Api, submit).unwrap();
    assert_eq!((tree.root().spec.limits.max_depth, tree.root().spec.limits.max_fanout), (1, 10_000));
}

#[test]
fn the_tenants_queue_is_bounded_over_all_its_trees() {
    let mut scene = Scene::under(|policy, _| policy.quotas.max_queued = Some(2));
    scene.tree.set_queued(1);
    assert_eq!(
        scene
            .tree
            .spawn_group(scene.at(), id(0), Surface::Guest, members([child("a"), child("a")]), site(0))
            .unwrap_err()
            .code,
        Code::QuotaExceeded
    );
    assert!(scene.tree.spawn_run(scene.at(), id(0), Surface::Guest, ready(child("a")), site(1)).is_ok());
    scene.tree.set_queued(2);
    let denial = scene.tree.spawn_run(scene.at(), id(0), Surface::Guest, ready(child("a")), site(2)).unwrap_err();
    assert_eq!((denial.code, denial.limit, denial.current), (Code::QuotaExceeded, Some(2), Some(2)));
    scene.tree.set_queued(0);
    scene.take();
}

/// What the built-in limits are, as semantics has them.
#[test]
fn the_seed_defaults_are_those_of_the_book() {
    let seed = Limits::default();
    assert_eq!((seed.max_depth, seed.max_fanout, seed.max_children_total), (3, 8, 32));
    assert_eq!(seed.join_timeout_ms, 60_000);
    assert_eq!(JoinMode::default(), JoinMode::BestEffort);
}

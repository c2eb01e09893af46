//! The order of admission: the first check that fails is the answer.

use std::sync::Arc;

use pleach_kernel::*;

use crate::scene::*;

fn code<T>(answer: Result<T, Box<Denial>>) -> String {
    match answer {
        Ok(_) => "admitted".into(),
        Err(denial) => denial.code.to_string(),
    }
}

/// One way in which a request can break a check, and how to mend it.
struct Flaw {
    code: &'static str,
    mend: fn(&mut Policy, &mut Grant, &mut Spawn, &mut Surface),
}

/// Each check answers before the later ones: a request that fails all of them
/// is mended one check at a time.
#[test]
fn each_check_answers_before_the_later_ones() {
    let flaws = [
        Flaw { code: "feature_disabled", mend: |_, _, _, surface| *surface = Surface::Guest },
        Flaw {
            code: "idempotency_conflict",
            mend: |_, _, spawn, _| Arc::make_mut(&mut spawn.request).spawn_key = Some("new".into()),
        },
        Flaw { code: "target_not_found", mend: |_, _, spawn, _| spawn.resolution = Resolution::NotPublished },
        Flaw { code: "target_not_published", mend: |_, _, spawn, _| spawn.resolution = found("a") },
        Flaw { code: "allowlist_empty", mend: |policy, _, _, _| policy.targets = vec!["b".into()] },
        Flaw { code: "target_not_allowlisted", mend: |policy, _, _, _| policy.targets.push("a".into()) },
        Flaw {
            code: "scope_required",
            mend: |_, grant, _, _| *grant = Grant::new(scopes(&["spawn:a", "spawn:seed"]), []),
        },
        Flaw {
            code: "scope_not_held",
            mend: |_, grant, _, _| {
                *grant = Grant::new(scopes(&["spawn:a", "spawn:seed"]), scopes(&["fs.read:x"]));
            },
        },
        Flaw {
            code: "scope_exceeds_policy",
            mend: |policy, _, _, _| {
                let narrow = policy.orchestrators.values_mut();
                narrow.for_each(|entry| entry.scopes = scopes(&["fs.read:*"]));
            },
        },
        Flaw { code: "max_depth", mend: |policy, _, _, _| policy.limits.max_depth = 1 },
        Flaw { code: "max_fanout", mend: |policy, _, _, _| policy.limits.max_fanout = 2 },
        Flaw { code: "max_children_total", mend: |policy, _, _, _| policy.limits.max_children_total = 2 },
        Flaw {
            code: "budget_exhausted",
            mend: |_, _, spawn, _| Arc::make_mut(&mut spawn.request).budget.tokens = Some(10),
        },
    ];
    for mended in 0..=flaws.len() {
        let expected = flaws.get(mended).map_or("admitted", |flaw| flaw.code);
        assert_eq!(all_flaws_but(&flaws[..mended]), expected, "with {mended} mended");
    }
}

/// Asks for a child in the worst way, less what is mended.
fn all_flaws_but(mended: &[Flaw]) -> String {
    let mut policy =
        Policy { limits: Limits { max_depth: 0, max_fanout: 1, max_children_total: 1, ..policy().limits }, ..policy() };
    policy.surfaces.api = false;
    policy.targets = Vec::new();
    let mut grant = Grant::new(scopes(&["spawn:seed"]), []);
    let mut request = keyed("a", "seed");
    request.scopes = Grant::new(scopes(&["fs.read:x"]), []);
    request.budget.tokens = Some(11);
    let mut spawn = Spawn::new(request, Resolution::NotFound { hint: "there is b".into() });
    let mut surface = Surface::Api;
    // The orchestrator's own entry narrows scopes; its targets follow the tenant's.
    policy.orchestrators.insert("lead".into(), Orchestrator::default());
    for flaw in mended {
        (flaw.mend)(&mut policy, &mut grant, &mut spawn, &mut surface);
    }
    let listed = policy.targets.clone();
    policy.orchestrators.values_mut().for_each(|entry| entry.targets = listed.clone());
    // One child is there already, so that its key, the fanout and the total are
    // used: what policy forbids now was allowed when it happened.
    let mut free = Scene::new();
    free.spawn(0, keyed("seed", "seed"));
    let strict = Scene::under(|strict, request| {
        *strict = policy;
        request.scopes = grant;
        request.budget.tokens = Some(10);
    });
    let log = strict.log().iter().chain(free.log().last()).cloned();
    let mut tree = Tree::fold(root(), log).unwrap();
    code(tree.spawn_run(Timestamp(START), id(0), surface, Spawn::new(spawn.request, spawn.resolution), site(1)))
}

#[test]
fn a_caller_that_ends_is_refused_before_its_keys_are_looked_at() {
    let mut scene = Scene::new();
    let boss = scene.live(0, boss());
    scene.spawn(boss, keyed("a", "k"));
    scene.cancel(Caller::Operator, Cancel::of(id(boss))).unwrap();
    assert_eq!(code(scene.try_spawn(boss, keyed("a", "k"))), "caller_cancelled");
    scene.stop(boss);
    assert_eq!(code(scene.try_spawn(boss, keyed("a", "k"))), "caller_cancelled");
    assert_eq!(code(scene.try_group(boss, members([]))), "caller_cancelled");
}

#[test]
fn a_caller_of_another_tree_is_not_found() {
    let mut scene = Scene::new();
    assert_eq!(code(scene.try_spawn(9, child("a"))), "run_not_found");
    let stranger = RunId { root: RootId(1), index: 0 };
    let answer = scene.tree.spawn_run(scene.at(), stranger, Surface::Guest, ready(child("a")), site(0));
    scene.take();
    assert_eq!(code(answer), "run_not_found");
}

#[test]
fn a_closed_surface_refuses_every_call_that_comes_through_it() {
    let mut scene = Scene::under(|policy, _| policy.surfaces.graph = false);
    let (now, graph, root) = (scene.at(), Surface::Graph, id(0));
    let ask = Evaluate { run_id: None, replanner: None, config: None, node: None };
    let answers = [
        code(scene.tree.spawn_run(now, root, graph, ready(child("a")), site(0))),
        code(scene.tree.spawn_group(now, root, graph, members([]), site(0))),
        code(scene.tree.join(now, Caller::Run(root), graph, group_id(0))),
        code(scene.tree.cancel_subtree(now, Caller::Run(root), graph, &Cancel::of(root))),
        code(scene.tree.evaluate(now, root, graph, ask, site(0))),
        code(scene.tree.query(now, Caller::Run(root), graph, &Query::default())),
    ];
    scene.take();
    assert_eq!(answers, ["feature_disabled"; 6]);
    assert_eq!(scene.told().lines().filter(|line| line.contains("feature_disabled")).count(), 6);
}

#[test]
fn an_allowlist_is_the_orchestrators_own_or_the_tenants() {
    let mut scene = Scene::under(|policy, _| {
        let only = Orchestrator { targets: vec!["rev*".into()], scopes: scopes(&["fs.read:*"]), ..Default::default() };
        policy.orchestrators.insert("boss".into(), only);
        policy.targets = vec!["boss".into(), "a".into()];
        policy.scopes = scopes(&["spawn:*", "run.cancel:*", "run.abandon:*", "fs.read:*", "llm:*", "secret:*"]);
    });
    let boss = scene.live(0, boss());
    let table = [
        (0, "a", "admitted"),
        (0, "reviewer", "target_not_allowlisted"),
        (boss, "reviewer", "admitted"),
        (boss, "a", "target_not_allowlisted"),
    ];
    for (caller, target, expected) in table {
        assert_eq!(code(scene.try_spawn(caller, child(target))), expected, "{caller} spawns {target}");
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused_and_says_why() {
    let mut scene = Scene::new();
    let never = Retry { max_attempts: 0, backoff: Backoff::Fixed, initial_ms: 0, max_ms: None, jitter: 0.0 };
    let table = [
        with(child("a"), |r| r.timeout_ms = Some(0)),
        with(child("a"), |r| r.retry = Some(never)),
        with(child("a"), |r| r.retry = Some(Retry { max_attempts: 1_001, ..never })),
        with(child("a"), |r| r.retry = Some(Retry { max_attempts: 2, jitter: 1.5, ..never })),
        with(child("a"), |r| r.retry = Some(Retry { max_attempts: 2, jitter: f64::NAN, ..never })),
        keyed("a", ""),
        keyed("a", "~1.1"),
        keyed("a", &"k".repeat(257)),
    ];
    for request in table {
        let denial = scene.try_spawn(0, request).unwrap_err();
        assert_eq!(denial.code, Code::InvalidRequest);
        assert!(!denial.message.is_empty());
    }
    assert_eq!(code(scene.try_spawn(0, keyed("a", &"k".repeat(256)))), "admitted");
}

#[test]
fn a_denial_says_everything_and_stands_in_the_log() {
    let mut scene = Scene::under(|policy, _| policy.limits.max_fanout = 1);
    scene.spawn(0, child("a"));
    let denial = scene.try_spawn(0, child("a@^1")).unwrap_err();
    expect_test::expect![[r#"
        {
          "code": "max_fanout",
          "action": "spawn_run",
          "message": "max_fanout is 1, and 1 are in use",
          "limit": 1,
          "requested": 1,
          "current": 1,
          "caller_run_id": "00000000-0000-feed-0000-000000000000",
          "target": "a@^1",
          "policy_version": 3,
          "retryable": false
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&denial).unwrap());
    assert_eq!(scene.last().fact, Fact::PolicyDeny(denial));
}

#[test]
fn a_root_is_bound_by_policy_and_by_no_allowlist() {
    let open = |change: fn(&mut Policy, &mut Spawn, &mut Surface)| {
        let mut spawn = ready(with(child("lead"), |request| request.scopes = everything()));
        let (mut policy, mut surface) = (policy(), Surface::Api);
        policy.targets = Vec::new();
        change(&mut policy, &mut spawn, &mut surface);
        let submit = Submit { spawn, limits: Limits::CEILING, fairness: Fairness::default() };
        let tenant = Tenant::default_tenant();
        code(Tree::open(Timestamp(START), root(), tenant, policy.into(), surface, submit))
    };
    assert_eq!(open(|_, _, _| ()), "admitted");
    assert_eq!(open(|policy, _, _| policy.surfaces.api = false), "feature_disabled");
    assert_eq!(open(|_, spawn, _| Arc::make_mut(&mut spawn.request).timeout_ms = Some(0)), "invalid_request");
    assert_eq!(open(|_, spawn, _| spawn.resolution = Resolution::NotPublished), "target_not_published");
    assert_eq!(open(|policy, _, _| policy.scopes = scopes(&["spawn:*"])), "scope_exceeds_policy");
    assert_eq!(open(|policy, _, _| policy.limits.max_concurrency = 0), "quota_exceeded");
    let beyond = |policy: &mut Policy, spawn: &mut Spawn, _: &mut Surface| {
        (policy.budget.tokens, Arc::make_mut(&mut spawn.request).budget.tokens) = (Some(5), Some(6));
    };
    assert_eq!(open(beyond), "budget_exhausted");
    assert_eq!(open(|policy, _, _| policy.limits.max_depth = 0), "admitted", "0 is a legal limit");
}

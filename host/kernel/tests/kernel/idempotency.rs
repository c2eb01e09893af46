//! Idempotency: the same question gets the same run.

use pleach_kernel::*;

use crate::scene::*;

#[test]
fn the_same_key_and_the_same_request_is_the_same_run() {
    let mut scene = Scene::new();
    let first = scene.try_spawn(0, keyed("a", "k")).unwrap();
    let again = scene.try_spawn(0, keyed("a", "k")).unwrap();
    assert!(!first.idempotent && again.idempotent);
    assert_eq!(Spawned { idempotent: false, ..again }, first);
    assert_eq!(scene.tree.runs().len(), 2);
}

#[test]
fn it_is_the_same_run_even_where_every_limit_is_reached_and_the_child_has_ended() {
    let mut scene = Scene::under(|policy, request| {
        (policy.limits.max_fanout, policy.limits.max_children_total, policy.limits.max_depth) = (1, 1, 1);
        request.budget.tokens = Some(5);
    });
    let request = || with(keyed("a", "k"), |request| request.budget.tokens = Some(5));
    let first = scene.live(0, request());
    scene.finish(first, Outcome::Completed(json("1")), Usage { tokens: 5, ..Usage::default() });
    assert_eq!(scene.try_spawn(0, request()).map(|spawned| spawned.idempotent), Ok(true));
    assert_eq!(scene.try_spawn(0, keyed("a", "other")).unwrap_err().code, Code::MaxFanout);
}

/// What makes a request another one, and what does not.
#[test]
fn the_payload_is_compared_in_its_canonical_form() {
    type Change = fn(&mut SpawnRequest);
    let same: [(&str, Change); 6] = [
        ("key order and white space", |r| r.input = json(r#" { "b" : [1, 2],   "a": 1 } "#)),
        ("1.0 and 1", |r| r.input = json(r#"{"a":1.0,"b":[1,2.0]}"#)),
        ("1e0 and 1", |r| r.input = json(r#"{"a":1e0,"b":[10e-1,2]}"#)),
        ("escapes", |r| r.input = json(r#"{"\u0061":1,"b":[1,2]}"#)),
        ("priority", |r| r.priority = Priority::High),
        ("the order of scopes", |r| r.scopes = Grant::new(scopes(&["llm:b", "llm:a", "llm:a"]), [])),
    ];
    let different: [(&str, Change); 11] = [
        ("target", |r| r.target = "b".into()),
        ("version", |r| r.target = "a@^1".into()),
        ("input", |r| r.input = json(r#"{"a":2,"b":[1,2]}"#)),
        ("the order of a list", |r| r.input = json(r#"{"a":1,"b":[2,1]}"#)),
        ("text and number", |r| r.input = json(r#"{"a":"1","b":[1,2]}"#)),
        ("scopes", |r| r.scopes = Grant::new(scopes(&["llm:a"]), [])),
        ("use and delegate", |r| r.scopes = Grant::new([], scopes(&["llm:a", "llm:b"]))),
        ("timeout", |r| r.timeout_ms = Some(9)),
        ("retry", |r| r.retry = retrying(2, 0).retry),
        ("budget", |r| r.budget.tokens = Some(1)),
        ("parent_close", |r| r.parent_close = ParentClose::Wait),
    ];
    let base = || {
        with(keyed("a", "k"), |request| {
            request.input = json(r#"{"a":1,"b":[1,2]}"#);
            request.scopes = Grant::new(scopes(&["llm:a", "llm:b"]), []);
        })
    };
    let mut scene = Scene::new();
    let first = scene.spawn(0, base());
    for (what, change) in same {
        let again = scene.try_spawn(0, with(base(), change)).unwrap_or_else(|denial| panic!("{what}: {denial}"));
        assert_eq!((again.run_id.index, again.idempotent), (first, true), "{what}");
    }
    for (what, change) in different {
        let denial = scene.try_spawn(0, with(base(), change)).expect_err(what);
        assert_eq!(denial.code, Code::IdempotencyConflict, "{what}");
    }
    assert_eq!(scene.tree.runs().len(), 2);
}

/// RFC 8785 writes numbers as doubles, to which both of these are one number.
#[test]
fn two_identifiers_of_64_bits_are_two_requests() {
    let with_id = |text: &str| with(keyed("a", "k"), |request| request.input = json(text));
    let mut scene = Scene::new();
    scene.spawn(0, with_id("[9007199254740992]"));
    assert!(scene.try_spawn(0, with_id("[9007199254740992.0]")).is_ok());
    assert_eq!(scene.try_spawn(0, with_id("[9007199254740993]")).unwrap_err().code, Code::IdempotencyConflict);
}

#[test]
fn a_payload_nested_too_deeply_to_take_apart_is_compared_as_it_stands() {
    let deep = |space: &str| json(&format!("{}{space}{}", "[".repeat(5_000), "]".repeat(5_000)));
    let mut scene = Scene::new();
    scene.spawn(0, with(keyed("a", "k"), |request| request.input = deep("")));
    assert!(scene.try_spawn(0, with(keyed("a", "k"), |request| request.input = deep(""))).unwrap().idempotent);
    let other = scene.try_spawn(0, with(keyed("a", "k"), |request| request.input = deep(" ")));
    assert_eq!(other.unwrap_err().code, Code::IdempotencyConflict);
}

#[test]
fn a_key_is_one_parents() {
    let mut scene = Scene::new();
    let boss = scene.live(0, boss());
    let mine = scene.spawn(0, keyed("a", "k"));
    let its = scene.spawn(boss, keyed("b", "k"));
    assert_ne!(mine, its);
}

/// A caller that is run again asks its questions in the same order.
#[test]
fn without_a_key_the_order_of_calls_is_the_key() {
    let mut scene = Scene::new();
    let now = scene.at();
    let mut call = 0;
    let mut ask = |keyless, target: &str| {
        call += 1;
        let site = CallSite { call, keyless };
        scene.tree.spawn_run(now, id(0), Surface::Guest, ready(child(target)), site).map(|s| s.run_id.index)
    };
    assert_eq!((ask(0, "a"), ask(1, "a")), (Ok(1), Ok(2)));
    assert_eq!((ask(0, "a"), ask(1, "a")), (Ok(1), Ok(2)), "as if it was asked again");
    assert_eq!(ask(1, "b").unwrap_err().code, Code::IdempotencyConflict);
    scene.take();
}

#[test]
fn what_is_found_again_is_told_as_such_and_spawns_nothing() {
    let mut scene = Scene::new();
    scene.spawn(0, keyed("a", "k"));
    scene.spawn(0, keyed("a", "k"));
    expect_test::expect![[r#"
        0 spawns [1]
        0 finds [1]
    "#]]
    .assert_eq(&scene.told());
}

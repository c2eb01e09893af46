//! Authority: use and delegation are held apart, and neither grows.

use pleach_kernel::*;

use crate::scene::*;

/// A coordinator and what it asks for a child.
struct Case {
    holds: (&'static [&'static str], &'static [&'static str]),
    asks: (&'static [&'static str], &'static [&'static str]),
    answer: &'static str,
}

#[test]
fn a_child_gets_what_its_parent_may_delegate_and_nothing_else() {
    const MAY: &[&str] = &["spawn:a"];
    const BOTH: &[&str] = &["spawn:a", "fs.read:docs/*"];
    let table = [
        Case { holds: (MAY, &[]), asks: (&[], &[]), answer: "admitted" },
        Case { holds: (&[], MAY), asks: (&[], &[]), answer: "scope_required" },
        Case { holds: (&["spawn:b"], &[]), asks: (&[], &[]), answer: "scope_required" },
        Case { holds: (&["spawn:*"], &[]), asks: (&[], &[]), answer: "admitted" },
        // What one may use oneself cannot be handed on …
        Case { holds: (BOTH, &[]), asks: (&["fs.read:docs/x"], &[]), answer: "scope_not_held" },
        // … and what can be handed on may be used by the child alone.
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&["fs.read:docs/x"], &[]), answer: "admitted" },
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&[], &["fs.read:docs/x"]), answer: "admitted" },
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&["fs.read:docs/*"], &[]), answer: "admitted" },
        // Asking for more is a denial and not a silent cut.
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&["fs.read:*"], &[]), answer: "scope_not_held" },
        Case { holds: (MAY, &["fs.read:docs/x"]), asks: (&["fs.read:docs/*"], &[]), answer: "scope_not_held" },
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&["fs.read:docsx"], &[]), answer: "scope_not_held" },
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&[], &["llm:x"]), answer: "scope_not_held" },
        Case { holds: (MAY, &["fs.read:docs/*"]), asks: (&["fs.read:docs/a", "llm:x"], &[]), answer: "scope_not_held" },
        Case { holds: (MAY, &["secret:*"]), asks: (&["secret:a"], &[]), answer: "scope_exceeds_policy" },
        Case { holds: (MAY, &["secret:*"]), asks: (&[], &["secret:a"]), answer: "scope_exceeds_policy" },
    ];
    for Case { holds, asks, answer } in table {
        let mut scene = Scene::under(|policy, request| {
            request.scopes = Grant::new(scopes(holds.0), scopes(holds.1));
            let entry = Orchestrator {
                targets: vec!["*".into()],
                scopes: scopes(&["fs.read:*", "llm:*", "spawn:*"]),
                limits: Tightening::default(),
            };
            policy.orchestrators.insert("lead".into(), entry);
        });
        let wanted = Grant::new(scopes(asks.0), scopes(asks.1));
        let spawned = scene.try_spawn(0, with(child("a"), |request| request.scopes = wanted.clone()));
        let code = spawned.as_ref().map_or_else(|denial| denial.code.as_str(), |_| "admitted");
        assert_eq!(code, answer, "{holds:?} gives {asks:?}");
        if let Ok(spawned) = spawned {
            assert_eq!(spawned.effective_scopes, wanted);
        }
    }
}

#[test]
fn nothing_is_granted_by_default() {
    let mut scene = Scene::new();
    let spawned = scene.try_spawn(0, child("a")).unwrap();
    assert_eq!(spawned.effective_scopes, Grant::default());
    scene.start(1);
    assert_eq!(scene.try_spawn(1, child("b")).unwrap_err().code, Code::ScopeRequired);
}

#[test]
fn abandoning_needs_a_scope_of_its_own() {
    for (holds, answer) in [
        (&["spawn:*"][..], "scope_required"),
        (&["spawn:*", "run.abandon:b"], "scope_required"),
        (&["spawn:*", "run.abandon:a"], "admitted"),
    ] {
        let mut scene = Scene::under(|_, request| request.scopes = Grant::new(scopes(holds), []));
        let answered =
            scene.try_spawn(0, closing(ParentClose::Abandon)).map_or_else(|d| d.code.as_str(), |_| "admitted");
        assert_eq!(answered, answer, "{holds:?}");
    }
}

#[test]
fn a_target_that_no_scope_can_name_is_refused() {
    let mut scene = Scene::new();
    for name in ["a%2fb", "../a", "a\\b", "a*"] {
        let denial = scene.try_spawn(0, child(name)).unwrap_err();
        assert_eq!(denial.code, Code::ScopeInvalid, "{name}");
    }
}

#[test]
fn a_grant_has_a_bound() {
    let many = |n: usize| (0..n).map(|i| scope(&format!("llm:m{i}"))).collect::<Vec<_>>();
    let mut scene = Scene::new();
    let ask = |n| with(child("a"), |request| request.scopes = Grant::new(many(n), []));
    assert!(scene.try_spawn(0, ask(MAX_SCOPES)).is_ok());
    assert_eq!(scene.try_spawn(0, ask(MAX_SCOPES + 1)).unwrap_err().code, Code::InvalidRequest);
}

//! Groups: all or nothing, and the same group for the same question.

use std::sync::Arc;

use pleach_kernel::*;

use crate::scene::*;

fn prefixed(group: SpawnGroup) -> SpawnGroup {
    SpawnGroup { key_prefix: Some("g".into()), ..group }
}

fn joined(mode: JoinMode, quorum: Option<u32>) -> JoinPolicy {
    JoinPolicy { mode, quorum, timeout_ms: None }
}

#[test]
fn either_every_member_is_admitted_or_none_is() {
    type Flaw = fn(&mut Spawn);
    let flaws: [(&str, Flaw); 6] = [
        ("target_not_found", |spawn| spawn.resolution = Resolution::NotFound { hint: String::new() }),
        ("target_not_published", |spawn| spawn.resolution = Resolution::NotPublished),
        ("scope_not_held", |spawn| Arc::make_mut(&mut spawn.request).scopes = Grant::new(scopes(&["http.get:x"]), [])),
        ("budget_exhausted", |spawn| Arc::make_mut(&mut spawn.request).budget.tokens = Some(61)),
        ("invalid_request", |spawn| Arc::make_mut(&mut spawn.request).timeout_ms = Some(0)),
        ("invalid_request", |spawn| Arc::make_mut(&mut spawn.request).spawn_key = Some("mine".into())),
    ];
    for (code, flaw) in flaws {
        let mut scene = Scene::under(|_, request| request.budget.tokens = Some(100));
        let mut group = members([child("a"), child("b"), child("c")]);
        Arc::make_mut(&mut group.members[0].request).budget.tokens = Some(40);
        flaw(&mut group.members[1]);
        let denial = scene.try_group(0, group).unwrap_err();
        assert_eq!(denial.code.as_str(), code);
        assert!(denial.message.starts_with("member 1: "), "the member is named: {}", denial.message);
        assert_eq!(denial.target.as_deref(), Some("b"));
        assert_eq!((&*denial.action, scene.tree.runs().len()), ("spawn_group", 1));
        assert_eq!(scene.told().lines().count(), 1, "a denial and nothing else");
    }
}

#[test]
fn members_count_against_limits_and_budget_together() {
    let limits = |fanout, total| {
        Scene::under(|policy, request| {
            (policy.limits.max_fanout, policy.limits.max_children_total) = (fanout, total);
            request.budget.tokens = Some(10);
        })
    };
    let four = || members((0..4).map(|_| with(child("a"), |request| request.budget.tokens = Some(2))));
    let code = |mut scene: Scene, group| scene.try_group(0, group).map(|group| group.members.len()).map_err(|d| d.code);
    assert_eq!(code(limits(4, 4), four()), Ok(4));
    assert_eq!(code(limits(3, 4), four()), Err(Code::MaxFanout));
    assert_eq!(code(limits(4, 3), four()), Err(Code::MaxChildrenTotal));
    let six = members((0..6).map(|_| with(child("a"), |request| request.budget.tokens = Some(2))));
    assert_eq!(code(limits(9, 9), six), Err(Code::BudgetExhausted));
}

#[test]
fn member_keys_are_the_prefix_and_the_ordinal() {
    let mut scene = Scene::new();
    let group = scene.try_group(0, prefixed(members([child("a"), child("b")]))).unwrap();
    let lineages: Vec<_> = group.members.iter().map(|member| &member.lineage).collect();
    assert_eq!(lineages[1].spawn_key.as_deref(), Some("g:1"));
    assert_eq!((lineages[1].ordinal, lineages[1].group_id), (Some(1), Some(group.group_id)));
    assert_eq!(scene.try_spawn(0, keyed("a", "g:0")).unwrap().run_id, id(1), "which finds the member alone too");
}

#[test]
fn a_group_is_idempotent_on_parent_and_prefix() {
    let mut scene = Scene::under(|policy, _| policy.limits.max_fanout = 2);
    let ask = || prefixed(members([child("a"), child("b")]));
    let first = scene.try_group(0, ask()).unwrap();
    let again = scene.try_group(0, ask()).unwrap();
    assert_eq!((again.group_id, again.idempotent), (first.group_id, true), "though the fanout is used up");
    assert!(again.members.iter().all(|member| member.idempotent));
    let others = [
        prefixed(members([child("b"), child("a")])),
        prefixed(members([child("a")])),
        prefixed(members([])),
        SpawnGroup { join: joined(JoinMode::FailFast, None), ..ask() },
        SpawnGroup { join: joined(JoinMode::Quorum, Some(1)), ..ask() },
        SpawnGroup { join: JoinPolicy { timeout_ms: Some(1), ..JoinPolicy::default() }, ..ask() },
    ];
    for other in others {
        assert_eq!(scene.try_group(0, other).unwrap_err().code, Code::IdempotencyConflict);
    }
    let alias = SpawnGroup { join: joined(JoinMode::All, None), ..ask() };
    assert!(scene.try_group(0, alias).unwrap().idempotent, "`all` is the same mode");
}

#[test]
fn a_prefix_that_meets_another_runs_key_is_a_conflict() {
    let mut scene = Scene::new();
    scene.spawn(0, keyed("a", "g:1"));
    let denial = scene.try_group(0, prefixed(members([child("a"), child("a")]))).unwrap_err();
    assert_eq!(denial.code, Code::IdempotencyConflict);
    assert_eq!(scene.tree.runs().len(), 2);
}

#[test]
fn a_quorum_is_from_one_to_the_number_of_members() {
    let table = [
        (JoinMode::Quorum, Some(0), 3, Some("invalid_quorum")),
        (JoinMode::Quorum, Some(1), 3, None),
        (JoinMode::Quorum, Some(3), 3, None),
        (JoinMode::Quorum, Some(4), 3, Some("invalid_quorum")),
        (JoinMode::Quorum, None, 3, Some("invalid_quorum")),
        (JoinMode::Quorum, Some(1), 0, Some("invalid_quorum")),
        (JoinMode::BestEffort, Some(1), 3, Some("invalid_quorum")),
        (JoinMode::BestEffort, None, 3, None),
    ];
    for (mode, quorum, count, expected) in table {
        let mut scene = Scene::new();
        let group = SpawnGroup { join: joined(mode, quorum), ..members((0..count).map(|_| child("a"))) };
        let code = scene.try_group(0, group).err().map(|denial| denial.code.as_str());
        assert_eq!(code, expected, "{mode:?} {quorum:?} of {count}");
    }
}

#[test]
fn an_empty_group_joins_at_once_and_is_idempotent_too() {
    for mode in [JoinMode::BestEffort, JoinMode::FailFast, JoinMode::FirstSuccess] {
        let mut scene = Scene::new();
        let ask = || prefixed(SpawnGroup { join: joined(mode, None), ..members([]) });
        let group = scene.try_group(0, ask()).unwrap().group_id;
        let result = scene.tree.join_result(group).unwrap();
        assert_eq!((result.status, result.complete, &*result.reason), (JoinStatus::Empty, true, "empty"));
        assert!(result.outputs.is_empty());
        assert!(scene.try_group(0, ask()).unwrap().idempotent);
        scene.wait(3_600_000);
        assert_eq!(scene.tree.join_result(group), Some(result));
    }
}

#[test]
fn the_mode_all_is_best_effort_with_a_warning() {
    let mut scene = Scene::new();
    let group = SpawnGroup { join: joined(JoinMode::All, None), ..members([child("a")]) };
    let spawned = scene.try_group(0, group).unwrap();
    assert_eq!(spawned.warnings.len(), 1);
    scene.start(1);
    scene.ok(1);
    assert_eq!(scene.tree.join_result(spawned.group_id).unwrap().mode, JoinMode::BestEffort);
}

#[test]
fn a_group_of_a_thousand_is_one_decision() {
    let mut scene = Scene::new();
    scene.try_group(0, members((0..1_000).map(|_| child("a")))).unwrap();
    assert_eq!(scene.told().lines().count(), 1);
    let Fact::SpawnDecision(decision) = &scene.last().fact else { panic!("{:?}", scene.last()) };
    assert_eq!((decision.runs.len(), decision.target.len(), decision.effective_scopes.len()), (1_000, 1, 1));
}

#[test]
fn a_group_has_a_bound() {
    let mut scene = Scene::new();
    let group = SpawnGroup { members: vec![ready(child("a")); MAX_GROUP + 1], ..members([]) };
    assert_eq!(scene.try_group(0, group).unwrap_err().code, Code::InvalidRequest);
}

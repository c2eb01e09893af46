//! Notices: what a caller hears of what it has spawned, and groups that are
//! added to.

use expect_test::{Expect, expect};
use pleach_kernel::*;

use crate::scene::*;

/// What a run has heard after the first `after` notices, a line each.
fn heard(scene: &Scene, run: u32, after: usize, expected: Expect) {
    let lines: Vec<String> = scene
        .tree
        .notices(id(run), after, 10)
        .iter()
        .map(|notice| match notice {
            Notice::Run(run) => format!("run {} `{}` {}", run.run_id.index, run.spawn_key, run.status.as_str()),
            Notice::Group(group) => format!("group {} {:?} ({})", group.group_id.index, group.status, group.reason),
        })
        .collect();
    expected.assert_eq(&lines.join("; "));
}

fn start(scene: &mut Scene, runs: std::ops::Range<u32>) {
    runs.for_each(|run| scene.start(run));
}

fn open_group(size: u32, join: JoinPolicy) -> SpawnGroup {
    SpawnGroup { size: Some(size), key_prefix: Some("m".into()), join, ..members([child("a"), child("a")]) }
}

/// Asks for members of group 0 from a place on; which runs they are.
fn extend(scene: &mut Scene, first: u32, members: &[&str]) -> Result<Vec<u32>, Box<Denial>> {
    let members = members.iter().map(|target| ready(child(target))).collect();
    let group = GroupId { root: scene.tree.id(), index: 0 };
    let added = scene.tree.extend_group(scene.at(), id(0), Surface::Graph, group, first, members)?;
    Ok(added.iter().map(|run| run.index).collect())
}

/// Gives up group 0.
fn give_up(scene: &mut Scene, caller: u32) -> Result<(), Box<Denial>> {
    let group = GroupId { root: scene.tree.id(), index: 0 };
    scene.tree.give_up_group(scene.at(), id(caller), Surface::Graph, group)
}

#[test]
fn a_caller_hears_of_its_children_in_the_order_in_which_they_end() {
    let mut scene = Scene::new();
    scene.spawn(0, child("a"));
    scene.spawn(0, child("a"));
    scene.try_group(0, members([child("a"), child("a")])).unwrap();
    start(&mut scene, 1..5);
    heard(&scene, 0, 0, expect![""]);
    scene.ok(2);
    scene.ok(3);
    scene.fail(1);
    scene.ok(4);
    // A closed group is heard of as a whole.
    heard(&scene, 0, 0, expect!["run 2 `~1.2` completed; run 1 `~1.1` failed; group 0 Completed (all_ended)"]);
    heard(&scene, 0, 2, expect!["group 0 Completed (all_ended)"]);
    heard(&scene, 0, 3, expect![""]);
    heard(&scene, 1, 0, expect![""]);
}

#[test]
fn a_group_that_is_added_to_is_decided_when_all_it_was_to_have_have_ended() {
    let mut scene = Scene::new();
    scene.try_group(0, open_group(5, JoinPolicy::default())).unwrap();
    start(&mut scene, 1..3);
    scene.ok(1);
    scene.ok(2);
    heard(&scene, 0, 0, expect!["run 1 `m:0` completed; run 2 `m:1` completed"]);
    assert_eq!(extend(&mut scene, 2, &["a", "a"]), Ok(vec![3, 4]));
    assert_eq!(extend(&mut scene, 4, &["a", "a"]).unwrap_err().code, Code::InvalidRequest, "too many");
    assert_eq!(extend(&mut scene, 5, &["a"]).unwrap_err().code, Code::InvalidRequest, "one is left out");
    assert_eq!(extend(&mut scene, 4, &["a"]), Ok(vec![5]));
    start(&mut scene, 3..6);
    scene.fail(3);
    scene.ok(4);
    heard(&scene, 0, 2, expect!["run 3 `m:2` failed; run 4 `m:3` completed"]);
    scene.ok(5);
    heard(&scene, 0, 4, expect!["run 5 `m:4` completed; group 0 CompletedWithErrors (all_ended)"]);
    assert_eq!(extend(&mut scene, 5, &["a"]), Ok(vec![]), "it is decided");
}

#[test]
fn another_try_of_the_caller_finds_the_members_that_the_first_one_added() {
    let mut scene = Scene::new();
    scene.try_group(0, open_group(6, JoinPolicy::default())).unwrap();
    assert_eq!(extend(&mut scene, 2, &["a", "b"]), Ok(vec![3, 4]));
    assert_eq!(extend(&mut scene, 2, &["a", "b", "a"]), Ok(vec![3, 4, 5]), "two are there, one is new");
    assert_eq!(extend(&mut scene, 3, &["b"]), Ok(vec![4]));
    let before = scene.tree.runs().len();
    let refused = extend(&mut scene, 3, &["a", "a", "a"]).unwrap_err();
    assert_eq!(refused.code, Code::IdempotencyConflict);
    assert!(refused.message.contains("member 3 was another request"), "{}", refused.message);
    assert_eq!(scene.tree.runs().len(), before, "all of them, or none");
    start(&mut scene, 1..6);
    (1..6).for_each(|run| scene.ok(run));
    assert_eq!(extend(&mut scene, 5, &["a"]), Ok(vec![6]));
    start(&mut scene, 6..7);
    scene.ok(6);
    assert_eq!(extend(&mut scene, 4, &["a", "a"]), Ok(vec![5, 6]), "it is decided, and they are in it");
}

#[test]
fn a_quorum_counts_members_that_were_not_added_yet() {
    let mut scene = Scene::new();
    let join = JoinPolicy { mode: JoinMode::Quorum, quorum: Some(3), timeout_ms: None };
    scene.try_group(0, open_group(4, join)).unwrap();
    start(&mut scene, 1..3);
    scene.fail(1);
    heard(&scene, 0, 0, expect!["run 1 `m:0` failed"]);
    scene.fail(2);
    heard(&scene, 0, 1, expect!["run 2 `m:1` failed; group 0 Failed (join_quorum_impossible)"]);
    let result = scene.tree.join_result(GroupId { root: scene.tree.id(), index: 0 }).unwrap();
    assert_eq!((result.outputs.len(), result.cancelled_count, result.complete), (2, 2, false));
}

/// What is there still counts; who is under way, and whoever was to come, is cancelled.
#[test]
fn a_group_that_its_owner_gives_up_is_decided_as_failed() {
    let mut scene = Scene::new();
    scene.try_group(0, open_group(4, JoinPolicy::default())).unwrap();
    start(&mut scene, 1..3);
    scene.ok(1);
    assert_eq!(give_up(&mut scene, 0), Ok(()));
    scene.stop(2);
    heard(&scene, 0, 0, expect!["run 1 `m:0` completed; group 0 Failed (join_given_up); run 2 `m:1` cancelled"]);
    let result = scene.tree.join_result(GroupId { root: scene.tree.id(), index: 0 }).unwrap();
    let completed = result.outputs.iter().filter(|member| member.output.is_some()).count();
    assert_eq!((completed, result.success_count, result.cancelled_count, result.complete), (1, 1, 3, false));
    let log = scene.log().len();
    assert_eq!(give_up(&mut scene, 0), Ok(()), "it is decided");
    assert_eq!(extend(&mut scene, 2, &["a"]), Ok(vec![]), "it is decided");
    assert_eq!(scene.log().len(), log);
}

#[test]
fn a_group_that_has_all_its_members_is_not_given_up() {
    let mut scene = Scene::new();
    scene.try_group(0, open_group(2, JoinPolicy::default())).unwrap();
    start(&mut scene, 1..3);
    assert_eq!(give_up(&mut scene, 0), Ok(()));
    scene.ok(1);
    scene.ok(2);
    heard(&scene, 0, 0, expect!["run 1 `m:0` completed; run 2 `m:1` completed; group 0 Completed (all_ended)"]);
}

#[test]
fn only_its_owner_adds_to_a_group_or_gives_it_up() {
    let mut scene = Scene::new();
    scene.try_group(0, open_group(4, JoinPolicy::default())).unwrap();
    start(&mut scene, 1..3);
    let group = GroupId { root: scene.tree.id(), index: 0 };
    let spawn = || vec![ready(child("a"))];
    let refused = scene.tree.extend_group(scene.at(), id(1), Surface::Guest, group, 2, spawn()).unwrap_err();
    assert_eq!(refused.code, Code::GroupNotFound);
    assert_eq!(give_up(&mut scene, 1).unwrap_err().code, Code::GroupNotFound);
    let other = GroupId { root: scene.tree.id(), index: 7 };
    let refused = scene.tree.extend_group(scene.at(), id(0), Surface::Guest, other, 2, spawn()).unwrap_err();
    assert_eq!(refused.code, Code::GroupNotFound);
}

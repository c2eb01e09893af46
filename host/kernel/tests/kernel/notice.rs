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

fn extend(scene: &mut Scene, members: usize) -> Result<usize, Box<Denial>> {
    let members = (0..members).map(|_| ready(child("a"))).collect();
    let group = GroupId { root: scene.tree.id(), index: 0 };
    scene.tree.extend_group(scene.at(), id(0), Surface::Graph, group, members).map(|added| added.len())
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
    assert_eq!(extend(&mut scene, 2), Ok(2));
    assert_eq!(extend(&mut scene, 2).unwrap_err().code, Code::InvalidRequest);
    assert_eq!(extend(&mut scene, 1), Ok(1));
    start(&mut scene, 3..6);
    scene.fail(3);
    scene.ok(4);
    heard(&scene, 0, 2, expect!["run 3 `m:2` failed; run 4 `m:3` completed"]);
    scene.ok(5);
    heard(&scene, 0, 4, expect!["run 5 `m:4` completed; group 0 CompletedWithErrors (all_ended)"]);
    assert_eq!(extend(&mut scene, 1), Ok(0), "it is decided");
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

#[test]
fn only_its_owner_adds_to_a_group() {
    let mut scene = Scene::new();
    scene.try_group(0, open_group(4, JoinPolicy::default())).unwrap();
    start(&mut scene, 1..3);
    let group = GroupId { root: scene.tree.id(), index: 0 };
    let spawn = || vec![ready(child("a"))];
    let refused = scene.tree.extend_group(scene.at(), id(1), Surface::Guest, group, spawn()).unwrap_err();
    assert_eq!(refused.code, Code::GroupNotFound);
    let other = GroupId { root: scene.tree.id(), index: 7 };
    let refused = scene.tree.extend_group(scene.at(), id(0), Surface::Guest, other, spawn()).unwrap_err();
    assert_eq!(refused.code, Code::GroupNotFound);
}

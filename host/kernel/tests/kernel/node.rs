//! Lineage: where a run stands, and which node of a graph it was spawned for.

use std::sync::Arc;

use pleach_kernel::*;

use crate::scene::*;

#[test]
fn a_run_knows_where_it_stands() {
    let mut scene = Scene::new();
    let parent = scene.live(0, boss());
    let mut group = members([keyed("a", "x"), child("a")]);
    Arc::make_mut(&mut group.members[0].request).spawn_key = None;
    group.members.iter_mut().for_each(|member| member.node_id = Some("fan".into()));
    group.node_id = Some("fan".into());
    let spawned = scene.try_group(parent, group).unwrap();
    expect_test::expect![[r#"
        {
          "run_id": "00000000-0000-feed-0000-000000000000.3",
          "root_run_id": "00000000-0000-feed-0000-000000000000",
          "parent_run_id": "00000000-0000-feed-0000-000000000000.1",
          "parent_node_id": "fan",
          "depth": 2,
          "spawn_key": "~1.2:1",
          "group_id": "00000000-0000-feed-0000-000000000000.g0",
          "ordinal": 1,
          "attempt": 1,
          "tenant": "default",
          "trace_id": "000000000000feed0000000000000000"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&spawned.members[1].lineage).unwrap());
    let root = scene.tree.lineage(scene.tree.root());
    assert_eq!((root.depth, root.parent_run_id, root.spawn_key, root.group_id), (0, None, None, None));
}

/// An event is about a run under the node of its parent's graph.
#[test]
fn every_event_about_a_run_names_the_node_that_it_was_spawned_for() {
    let mut scene = Scene::new();
    let mut outer = ready(boss());
    outer.node_id = Some("outer".into());
    let parent = scene.try_ready(0, outer).unwrap().run_id.index;
    scene.start(parent);
    let mut group = members([child("judge")]);
    group.node_id = Some("inner".into());
    scene.try_group(parent, group).unwrap();
    scene.start(2);
    scene.ok(2);
    scene.ok(parent);
    let about = |event: &Event| match &event.fact {
        Fact::SpawnDecision(decision) => decision.spawned_run_ids[0].index,
        Fact::ChildLifecycle(life) => life.child_run_id.index,
        Fact::JudgeVerdict(verdict) => verdict.run_id.index,
        Fact::JoinDecision(_) => 2,
        other => panic!("{other:?}"),
    };
    for event in scene.log() {
        let expected = [None, Some("outer"), Some("inner")][about(event) as usize];
        assert_eq!(event.node_id.as_deref(), expected, "{event:?}");
    }
}

#[test]
fn a_seed_is_a_runs_own_and_the_same_in_every_replay() {
    let seeds = || {
        let mut scene = Scene::new();
        scene.spawn(0, child("a"));
        scene.spawn(0, child("a"));
        scene.tree.runs().iter().map(Run::seed).collect::<Vec<_>>()
    };
    let first = seeds();
    assert_eq!(first, seeds());
    assert!(first[0] != first[1] && first[1] != first[2]);
}

/// Parity: however it is asked for, the same happens.
#[test]
fn the_same_calls_through_another_surface_write_the_same_events() {
    let log = |surface| {
        let mut scene = Scene::new();
        let now = scene.at();
        scene.tree.spawn_group(now, id(0), surface, members([child("a"), child("judge")]), site(0)).unwrap();
        scene.take();
        for run in [1, 2] {
            scene.start(run);
            scene.ok(run);
        }
        scene.tree.cancel_subtree(now, Caller::Run(id(0)), surface, &Cancel::of(id(0))).unwrap();
        scene.take();
        let facts = scene.log().iter().map(|event| event.fact.clone());
        (facts.collect::<Vec<_>>(), scene.log()[2..].iter().all(|event| event.surface == surface))
    };
    let (guest, graph, api) = (log(Surface::Guest), log(Surface::Graph), log(Surface::Api));
    assert_eq!((&guest.0, &guest.0), (&graph.0, &api.0));
    assert!(guest.1 && graph.1 && api.1, "and each says which it was");
}

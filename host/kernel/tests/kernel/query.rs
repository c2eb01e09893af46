//! Query: the tree as it is shown, a page at a time.

use pleach_kernel::*;

use crate::scene::*;

/// 0 with the children 1, 2, 3; 4 and 5 below 1; 6 below 4.
fn family() -> Scene {
    let mut scene = Scene::new();
    scene.group(0, JoinPolicy::default(), [boss(), boss(), boss()]);
    scene.live(1, boss());
    scene.live(1, boss());
    scene.live(4, boss());
    scene
}

fn shape(view: &RunView) -> String {
    let mut text = view.run_id.index.to_string();
    if !view.children.is_empty() {
        let children: Vec<String> = view.children.iter().map(shape).collect();
        text += &format!("({})", children.join(" "));
    }
    if view.children_omitted > 0 {
        text += &format!("+{}", view.children_omitted);
    }
    text
}

fn ask(scene: &mut Scene, query: Query) -> (String, u32) {
    let view = scene.tree.query(scene.at(), Caller::Run(id(0)), Surface::Guest, &query).unwrap();
    (shape(&view.tree), view.node_count)
}

#[test]
fn a_tree_is_paged_by_depth_and_by_count() {
    let mut scene = family();
    let all = Query::default();
    let table = [
        (all, "0(1(4(6) 5) 2 3)", 7),
        (Query { max_depth: Some(0), ..all }, "0+3", 1),
        (Query { max_depth: Some(1), ..all }, "0(1+2 2 3)", 4),
        (Query { max_depth: Some(2), ..all }, "0(1(4+1 5) 2 3)", 6),
        (Query { max_nodes: Some(0), ..all }, "0+3", 1),
        (Query { max_nodes: Some(1), ..all }, "0+3", 1),
        (Query { max_nodes: Some(3), ..all }, "0(1+2 2)+1", 3),
        (Query { max_nodes: Some(5), ..all }, "0(1(4+1)+1 2 3)", 5),
        (Query { skip_children: 1, ..all }, "0(2 3)", 3),
        (Query { skip_children: 9, ..all }, "0", 1),
        (Query { run_id: Some(id(1)), ..all }, "1(4(6) 5)", 4),
        (Query { run_id: Some(id(1)), skip_children: 1, ..all }, "1(5)", 2),
    ];
    for (query, expected, count) in table {
        assert_eq!(ask(&mut scene, query), (expected.to_owned(), count), "{query:?}");
    }
}

#[test]
fn a_run_is_shown_a_thousand_nodes_at_most_and_the_operator_all() {
    let mut scene = Scene::new();
    scene.try_group(0, members((0..1_500).map(|_| child("a")))).unwrap();
    let query = Query { max_nodes: Some(5_000), ..Query::default() };
    let mut count = |caller| scene.tree.query(scene.at(), caller, Surface::Guest, &query).unwrap().node_count;
    assert_eq!((count(Caller::Run(id(0))), count(Caller::Operator)), (1_000, 1_501));
}

#[test]
fn a_node_tells_what_semantics_promises() {
    let mut scene = family();
    scene.fail(6);
    let query = Query { run_id: Some(id(1)), max_depth: Some(0), ..Query::default() };
    let view = scene.tree.query(scene.at(), Caller::Run(id(0)), Surface::Guest, &query).unwrap();
    let value = serde_json::to_value(&view).unwrap();
    for field in ["root_run_id", "node_count", "tree"] {
        assert!(value.get(field).is_some(), "{field}");
    }
    for field in [
        "run_id",
        "plugin",
        "status",
        "depth",
        "parent_run_id",
        "parent_node_id",
        "spawn_key",
        "group_id",
        "created_at",
        "started_at",
        "finished_at",
        "usage",
        "children",
        "groups",
    ] {
        assert!(value["tree"].get(field).is_some(), "{field}");
    }
    let query = Query { max_depth: Some(0), ..Query::default() };
    let view = scene.tree.query(scene.at(), Caller::Run(id(0)), Surface::Guest, &query).unwrap();
    assert_eq!((view.tree.groups.len(), view.tree.groups[0].members.len()), (1, 3));
    assert_eq!(view.seq, scene.tree.seq());
}

#[test]
fn a_query_changes_nothing_and_a_refused_one_is_in_the_log() {
    let mut scene = family();
    scene.skip();
    ask(&mut scene, Query::default());
    assert_eq!(scene.told(), "");
    let query = Query { run_id: Some(id(99)), ..Query::default() };
    let denial = scene.tree.query(scene.at(), Caller::Run(id(0)), Surface::Guest, &query).unwrap_err();
    scene.take();
    assert_eq!(denial.code, Code::RunNotFound);
    assert_eq!(scene.told(), "0 denied query_tree: run_not_found\n");
    assert!(serde_json::from_str::<Query>(r#"{"depth": 1}"#).is_err());
}

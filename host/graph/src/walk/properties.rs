//! Properties of walks, over graphs with loops that chance makes.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::Status;
use super::scripted::{End, Kernel};
use crate::diagnostic::Diagnostics;
use crate::plan::Plan;
use crate::source::Source;
use crate::{file, link};

/// What each node is, edges that lead on, and for each replan where it leads back.
type Drawn = (Vec<Drawing>, Vec<(usize, usize, u8)>, Vec<usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawing {
    Replan,
    Run,
    Isolated,
    Call,
    Map,
    Group,
    Join,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (2usize..10).prop_flat_map(|nodes| {
        let edges = proptest::collection::vec((0..nodes, 0..nodes, any::<u8>()), 0..20);
        let back = proptest::collection::vec(0..nodes, nodes);
        let kind = prop_oneof![
            3 => Just(Drawing::Replan),
            1 => Just(Drawing::Run),
            1 => Just(Drawing::Isolated),
            1 => Just(Drawing::Call),
            1 => Just(Drawing::Map),
            1 => Just(Drawing::Group),
            2 => Just(Drawing::Join),
        ];
        (proptest::collection::vec(kind, nodes), edges, back)
    })
}

fn text_of((nodes, edges, back): &Drawn) -> String {
    let mut text = "nodes:\n".to_owned();
    let mut all: Vec<(usize, String, usize)> = Vec::new();
    let mut groups: Vec<usize> = Vec::new();
    for (place, drawing) in nodes.iter().enumerate() {
        let kind = match drawing {
            Drawing::Replan => "replan: {max_replans: 2}".to_owned(),
            Drawing::Run => "spawn_run: {target: w}".to_owned(),
            Drawing::Isolated => "spawn_run: {target: w, on_failure: isolated}".to_owned(),
            Drawing::Call => "agent_call: {target: w, on_failure: isolated}".to_owned(),
            Drawing::Map => "map: {target: w, over: '[1, 2, 3]', window: 1}".to_owned(),
            Drawing::Group => "spawn_group: {targets: [{target: w}, {target: w}]}".to_owned(),
            Drawing::Join => match groups.pop() {
                Some(group) => {
                    all.push((group, String::new(), place));
                    format!("join: {{group: n{group}}}")
                }
                None => "spawn_run: {target: w}".to_owned(),
            },
        };
        if matches!(drawing, Drawing::Map | Drawing::Group) {
            groups.push(place);
        }
        text.push_str(&format!("  n{place}: {{{kind}}}\n"));
    }
    for (one, other, handle) in edges.iter().filter(|(one, other, _)| one != other) {
        let (from, to) = (one.min(other), one.max(other));
        let handle = ["", ".replan", ".continue", ".continue"][usize::from(handle % 4)];
        let handle = if nodes[*from] == Drawing::Replan { handle } else { "" };
        all.push((*from, handle.to_owned(), *to));
    }
    let replans = nodes.iter().zip(back).enumerate().filter(|(_, (drawing, _))| **drawing == Drawing::Replan);
    all.extend(replans.filter(|(place, (_, to))| *to < place).map(|(place, (_, to))| (place, ".replan".into(), *to)));
    text.push_str("edges:\n");
    for (from, handle, to) in all {
        text.push_str(&format!("- {{from: n{from}{handle}, to: n{to}}}\n"));
    }
    text
}

/// The plan of a text, also where the compiler would have something against it.
fn plan_of(text: &str) -> Arc<Plan> {
    let source = Source::new("g", format!("spec_version: \"2.0\"\n{text}"));
    let mut found = Diagnostics::default();
    let file = file::read_file(&source, &mut found).expect("a file");
    Arc::new(link::link(file, &source, &mut found))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// However loops lie in and beside each other, a walk comes to its end, and by then
    /// every node has had its turn or is skipped.
    #[test]
    fn every_walk_ends_and_leaves_no_node_waiting(drawn in drawn(), fails in any::<u64>(), order in any::<u64>()) {
        let text = text_of(&drawn);
        let ends = |key: &str| {
            let hash = key.bytes().fold(fails, |hash, byte| hash.rotate_left(7).wrapping_mul(31) ^ u64::from(byte));
            if hash % 3 == 0 { End::Fail } else { End::Ok(json!(key)) }
        };
        let plan = plan_of(&text);
        let (walk, end) = Kernel::new(&ends).in_order(order).walk_to_end(&plan, &json!({}));
        match end {
            Err(error) => prop_assert_eq!(&*error.code, "node_failed", "{}", text),
            Ok(_) => {
                let is_left = |node: &usize| matches!(walk.status(*node), Status::Waiting | Status::Running);
                let left: Vec<usize> = (0..plan.nodes.len()).filter(is_left).collect();
                prop_assert!(left.is_empty(), "{:?} wait in\n{}", left, text);
            }
        }
    }
}

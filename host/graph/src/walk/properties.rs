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

/// Nodes that are replans, edges that lead on, and for each replan where it leads back.
type Drawn = (Vec<bool>, Vec<(usize, usize, u8)>, Vec<usize>);

fn drawn() -> impl Strategy<Value = Drawn> {
    (2usize..10).prop_flat_map(|nodes| {
        let edges = proptest::collection::vec((0..nodes, 0..nodes, any::<u8>()), 0..20);
        let back = proptest::collection::vec(0..nodes, nodes);
        (proptest::collection::vec(any::<bool>(), nodes), edges, back)
    })
}

fn text_of((replans, edges, back): &Drawn) -> String {
    let mut text = "nodes:\n".to_owned();
    for (place, is_replan) in replans.iter().enumerate() {
        let kind = match (is_replan, place % 4) {
            (true, _) => "replan: {max_replans: 2}",
            (false, 3) => "spawn_run: {target: w, on_failure: isolated}",
            (false, _) => "spawn_run: {target: w}",
        };
        text.push_str(&format!("  n{place}: {{{kind}}}\n"));
    }
    text.push_str("edges:\n");
    let mut edge = |from: usize, handle: &str, to: usize| {
        text.push_str(&format!("- {{from: n{from}{handle}, to: n{to}}}\n"));
    };
    for (one, other, handle) in edges.iter().filter(|(one, other, _)| one != other) {
        let (from, to) = (one.min(other), one.max(other));
        let handle = ["", ".replan", ".continue", ".continue"][usize::from(handle % 4)];
        edge(*from, if replans[*from] { handle } else { "" }, *to);
    }
    for (replan, to) in back.iter().enumerate().filter(|(place, to)| replans[*place] && *to < place) {
        edge(replan, ".replan", *to);
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
    fn every_walk_ends_and_leaves_no_node_waiting(drawn in drawn(), fails in any::<u64>()) {
        let text = text_of(&drawn);
        let ends = |key: &str| {
            let hash = key.bytes().fold(fails, |hash, byte| hash.rotate_left(7).wrapping_mul(31) ^ u64::from(byte));
            if hash % 3 == 0 { End::Fail } else { End::Ok(json!(key)) }
        };
        let plan = plan_of(&text);
        let (walk, end) = Kernel::new(&ends).walk_to_end(&plan, &json!({}));
        match end {
            Err(error) => prop_assert_eq!(&*error.code, "node_failed"),
            Ok(_) => {
                let is_left = |node: &usize| matches!(walk.status(*node), Status::Waiting | Status::Running);
                let left: Vec<usize> = (0..plan.nodes.len()).filter(is_left).collect();
                prop_assert!(left.is_empty(), "{:?} wait in\n{}", left, text);
            }
        }
    }
}

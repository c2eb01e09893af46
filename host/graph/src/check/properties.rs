//! Properties of the checks, over graphs that chance makes.

use proptest::prelude::*;

use super::flow::Way;
use super::{Flow, Guards, come_before};
use crate::diagnostic::Diagnostics;
use crate::plan::Plan;
use crate::source::Source;
use crate::{file, link};

/// A graph of runs and replans: which nodes are replans, and edges by their ends.
type Drawn = (Vec<bool>, Vec<(usize, usize, bool)>);

fn drawn() -> impl Strategy<Value = Drawn> {
    (2usize..9).prop_flat_map(|nodes| {
        let edges = proptest::collection::vec((0..nodes, 0..nodes, any::<bool>()), 0..16);
        (proptest::collection::vec(any::<bool>(), nodes), edges)
    })
}

fn text_of((replans, edges): &Drawn) -> String {
    let mut text = "spec_version: \"2.0\"\nnodes:\n".to_owned();
    for (place, is_replan) in replans.iter().enumerate() {
        let kind = if *is_replan { "replan: {}" } else { "spawn_run: {target: w}" };
        text.push_str(&format!("  n{place}: {{{kind}}}\n"));
    }
    text.push_str("edges:\n");
    for (from, to, by_handle) in edges {
        let handle = match (replans[*from], by_handle) {
            (true, true) => ".replan",
            (true, false) => ".continue",
            (false, _) => "",
        };
        text.push_str(&format!("  - {{from: n{from}{handle}, to: n{to}}}\n"));
    }
    text
}

/// The plan of a text, however wrong it is.
fn plan_of(text: &str) -> Plan {
    let source = Source::new("g", text);
    let mut found = Diagnostics::default();
    link::link(file::read_file(&source, &mut found).expect("a file"), &source, &mut found)
}

/// Whether one node leads to another, in the plainest way.
fn leads(plan: &Plan, counts: &dyn Fn(usize) -> bool, from: usize, to: usize) -> bool {
    let mut seen = vec![false; plan.nodes.len()];
    let mut stack = vec![from];
    while let Some(node) = stack.pop() {
        for edge in plan.nodes[node].outgoing.iter().filter(|edge| counts(**edge)) {
            let next = plan.edges[*edge].to;
            if next == to {
                return true;
            }
            if !std::mem::replace(&mut seen[next], true) {
                stack.push(next);
            }
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A cycle is told where there is one without an edge from the handle `replan`,
    /// and nowhere else.
    #[test]
    fn a_cycle_is_told_where_there_is_one(drawn in drawn()) {
        let plan = plan_of(&text_of(&drawn));
        let flow = Flow::of(&plan);
        let is_plain = |edge: usize| plan.edges[edge].handle.is_none_or(|handle| handle != 0);
        let has_cycle = (0..plan.nodes.len()).any(|node| leads(&plan, &is_plain, node, node));
        prop_assert_eq!(!flow.cycles.is_empty(), has_cycle);
        for cycle in &flow.cycles {
            for (edge, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                prop_assert_eq!(plan.edges[*edge].to, plan.edges[*next].from);
                prop_assert!(is_plain(*edge));
            }
        }
        // What is left has an order, and an edge leads back only to a node before.
        for (edge, way) in flow.ways.iter().enumerate() {
            let (from, to) = (plan.edges[edge].from, plan.edges[edge].to);
            match way {
                Way::Forward => prop_assert!(flow.rank[from] < flow.rank[to]),
                Way::Back => prop_assert!(!is_plain(edge)),
                Way::Broken => prop_assert!(has_cycle),
            }
        }
    }

    #[test]
    fn what_comes_before_is_what_leads_to_it(drawn in drawn()) {
        let plan = plan_of(&text_of(&drawn));
        let flow = Flow::of(&plan);
        let nodes = plan.nodes.len();
        let pairs: Vec<_> = (0..nodes * nodes).map(|pair| (pair / nodes, pair % nodes)).collect();
        let is_forward = |edge: usize| flow.ways[edge] == Way::Forward;
        for ((first, second), before) in pairs.iter().zip(come_before(&plan, &flow, &pairs)) {
            prop_assert_eq!(before, leads(&plan, &is_forward, *first, *second), "{} {}", first, second);
        }
    }

    /// Where it is said that a node has certainly run, it has: in every way in which
    /// the replans can answer.
    #[test]
    fn what_is_certain_happens_whatever_the_outcomes_are(drawn in drawn(), outcomes in any::<u16>()) {
        let plan = plan_of(&text_of(&drawn));
        let flow = Flow::of(&plan);
        let guards = Guards::of(&plan, &flow);
        let mut runs = vec![false; plan.nodes.len()];
        for &node in &flow.order {
            let mut incoming = flow.incoming(&plan, node).peekable();
            let starts = incoming.peek().is_none();
            let taken = |edge: usize| {
                let edge = &plan.edges[edge];
                let outcome = usize::from(outcomes >> edge.from & 1 == 1);
                runs[edge.from] && edge.handle.is_none_or(|handle| handle == outcome)
            };
            let runs_now = starts || incoming.any(taken);
            runs[node] = runs_now;
        }
        for first in 0..plan.nodes.len() {
            for second in 0..plan.nodes.len() {
                // An outcome that leads nowhere is an error, after which nothing is certain.
                let is_wired = |node: usize| {
                    let handles = plan.nodes[node].outgoing.iter().filter_map(|edge| plan.edges[*edge].handle);
                    plan.nodes[node].handles.is_empty() || handles.collect::<std::collections::BTreeSet<_>>().len() == 2
                };
                if (0..plan.nodes.len()).all(is_wired) && guards.is_certain(first, second) {
                    prop_assert!(runs[first] || !runs[second], "{first} {second}");
                }
            }
        }
    }
}

//! Cycles: a graph has no others than loops through a `replan`, which are bounded.

use super::{Graph, Way};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{EdgeIx, Kind};

/// The most nodes of a cycle that are named.
const MOST_NAMED: usize = 8;

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    let plan = graph.plan;
    for cycle in &graph.flow.cycles {
        found.push(told(graph, cycle));
    }
    for (place, edge) in plan.edges.iter().enumerate() {
        if graph.flow.ways[place] != Way::Back {
            continue;
        }
        if let Kind::Replan(replan) = &plan.nodes[edge.from].kind
            && replan.max_replans == Some(0)
        {
            let message = format!("this edge is never taken: `max_replans` of `{}` is 0", plan.nodes[edge.from].id);
            let problem = Diagnostic::warning("edge_never_taken", edge.from_span, message);
            let hint = "raise `max_replans`, or take the loop out";
            found.push(problem.hint(hint).related(replan.max_replans_span, "it is given here"));
        }
    }
}

fn told(graph: &Graph<'_>, cycle: &[EdgeIx]) -> Diagnostic {
    let plan = graph.plan;
    // Told from the node that the file has first.
    let first = (0..cycle.len()).min_by_key(|place| plan.edges[cycle[*place]].from).unwrap_or(0);
    let turned = || cycle[first..].iter().chain(&cycle[..first]).map(|edge| &plan.edges[*edge]);
    let mut way: Vec<&str> = turned().map(|edge| graph.id(edge.from)).collect();
    let (start, nodes) = (way[0], way.len());
    if nodes > MOST_NAMED {
        way.truncate(MOST_NAMED - 1);
        way.push("…");
    }
    way.push(start);
    let many = if nodes > MOST_NAMED { format!(", {nodes} nodes") } else { String::new() };
    let closing = turned().next_back().map_or(plan.nodes[0].span, |edge| edge.from_span);
    let message = format!("these nodes wait for each other: `{}`{many}", way.join(" → "));
    let replan = turned().map(|edge| edge.from).find(|node| matches!(plan.nodes[*node].kind, Kind::Replan(_)));
    let hint = match (replan, plan.is_tasks) {
        (_, true) => "take one of these `needs` out".to_owned(),
        (Some(replan), false) => {
            format!("a loop leads back from the handle `{}.replan`, and from no other", graph.id(replan))
        }
        (None, false) => {
            "take one of these edges out, or lead back from the handle `replan` of a `replan` node".to_owned()
        }
    };
    let problem = Diagnostic::error("cycle", closing, message).hint(hint);
    let others = turned().take(nodes - 1).take(MOST_NAMED);
    others.fold(problem, |problem, edge| {
        let what = format!("`{}` comes before `{}`", graph.id(edge.from), graph.id(edge.to));
        problem.related(edge.from_span, what)
    })
}

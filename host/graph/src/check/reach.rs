//! Reach: nodes that never run, and groups and joins that never meet.

use super::{Graph, Way};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{EdgeIx, Kind, Node, NodeIx};

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    unreachable(graph, found);
    joins(graph, found);
    groups(graph, found);
}

fn unreachable(graph: &Graph<'_>, found: &mut Diagnostics) {
    let plan = graph.plan;
    let mut dead = vec![false; plan.nodes.len()];
    for &node in &graph.flow.order {
        let incoming = &plan.nodes[node].incoming;
        if plan.nodes[node].lost.incoming {
            continue;
        }
        // A node that only loops lead to begins one, and an illegal cycle is told as
        // that.
        let is_dead = |edge: &EdgeIx| {
            graph.flow.ways[*edge] == Way::Forward
                && (dead[plan.edges[*edge].from] || !graph.guards.can_be_taken(*edge))
        };
        let leads_in = incoming.iter().filter(|edge| graph.flow.ways[**edge] != Way::Back);
        if !incoming.iter().any(|edge| graph.flow.ways[*edge] == Way::Forward) || !leads_in.clone().all(is_dead) {
            continue;
        }
        dead[node] = true;
        let node = &plan.nodes[node];
        let first = leads_in.clone().next().map(|edge| &plan.edges[*edge]);
        let mut problem = Diagnostic::error(
            "unreachable_node",
            node.span,
            format!("`{}` never runs: no edge to it is taken", node.id),
        );
        if let Some(edge) = first {
            let why = match dead[edge.from] {
                true => format!("`{}` never runs either", plan.nodes[edge.from].id),
                false => "this edge is never taken".to_owned(),
            };
            problem = problem.related(edge.from_span, why);
        }
        found.push(problem.hint("lead an edge to it from a node and a handle that can be reached, or take it out"));
    }
}

/// Every join comes after its group.
fn joins(graph: &Graph<'_>, found: &mut Diagnostics) {
    let plan = graph.plan;
    let pairs: Vec<(NodeIx, NodeIx)> = (0..plan.nodes.len())
        .filter_map(|node| match plan.nodes[node].kind {
            Kind::Join { group: Some(group), .. } if plan.nodes[group].kind.is_group() => Some((group, node)),
            _ => None,
        })
        .collect();
    for ((group, join), comes_before) in pairs.iter().copied().zip(graph.come_before(&pairs)) {
        let node = &plan.nodes[join];
        let span = match node.kind {
            Kind::Join { group_span, .. } => group_span.unwrap_or(node.span),
            _ => node.span,
        };
        if comes_before {
            if !graph.guards.is_certain(group, join) {
                let message = format!("`{}` may run although its group `{}` was skipped", node.id, graph.id(group));
                let problem = Diagnostic::warning("group_may_be_skipped", span, message);
                let hint = "lead to the join only from where the group was spawned; it fails where there is none";
                found.push(problem.hint(hint).related(plan.nodes[group].span, "the group is spawned here"));
            }
        } else if graph.flow.knots[group] != graph.flow.knots[join] && !graph.is_loose[join] {
            let (why, hint) = graph.why_not_before(group, join);
            let message = format!("the join `{}` can never be decided: {why}", node.id);
            let problem = Diagnostic::error("join_never_decided", span, message).hint(hint);
            found.push(problem.related(plan.nodes[group].span, "the group is spawned here"));
        }
    }
}

/// Every group has a join, unless joins are wrong already.
fn groups(graph: &Graph<'_>, found: &mut Diagnostics) {
    if found.has("join_without_group") || found.has("unknown_node") {
        return;
    }
    // One that could not be read may be the join that is missing.
    let is_torn = |node: &Node| matches!(node.kind, Kind::Join { .. }) && node.lost.outgoing;
    if !graph.plan.unread.is_empty() || graph.plan.nodes.iter().any(is_torn) {
        return;
    }
    for node in &graph.plan.nodes {
        if let Kind::SpawnGroup { join, .. } | Kind::Map { join, .. } = &node.kind
            && join.node.is_none()
            && !node.lost.outgoing
        {
            let message = format!("nobody waits for the group of `{}`", node.id);
            let hint = format!("add a `join` node and an edge `{{from: {}, to: …}}`", node.id);
            found.push(Diagnostic::warning("group_never_joined", node.span, message).hint(hint));
        }
    }
}

//! Lineage: a replan and a cancel are about runs that nodes before them spawned.

use super::{Graph, spawns};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{Kind, NodeIx};
use crate::source::Span;

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    let plan = graph.plan;
    let mut named: Vec<(NodeIx, NodeIx, Span)> = Vec::new();
    let mut cancelled: Vec<(NodeIx, NodeIx, Span)> = Vec::new();
    let is_after_spawn = after_spawns(graph);
    for (place, node) in plan.nodes.iter().enumerate() {
        match &node.kind {
            Kind::Replan(replan) => {
                let of = replan.of.iter().filter(|(of, span)| is_spawning(graph, *of, *span, found));
                named.extend(of.map(|(of, span)| (*of, place, *span)));
                if replan.of.is_empty() && !is_after_spawn[place] && !graph.is_loose[place] {
                    let message = format!("`{}` has nothing to look at: no node before it spawns a run", node.id);
                    let hint = "lead an edge to it from a `join`, a `spawn_run`, an `agent_call`, a `map` or a \
                        `spawn_group`";
                    found.push(Diagnostic::error("no_lineage", node.span, message).hint(hint));
                }
            }
            Kind::CancelSubtree { node: Some(of), node_span, .. } if is_spawning(graph, *of, *node_span, found) => {
                cancelled.push((*of, place, *node_span));
            }
            Kind::CancelSubtree { .. }
            | Kind::SpawnRun { .. }
            | Kind::AgentCall { .. }
            | Kind::SpawnGroup { .. }
            | Kind::Map { .. }
            | Kind::Join { .. }
            | Kind::Router(_)
            | Kind::Judge(_)
            | Kind::Output(_) => {}
        }
    }
    replans(graph, &named, found);
    cancels(graph, &cancelled, found);
}

/// Of each node, whether one that spawns comes before it.
fn after_spawns(graph: &Graph<'_>) -> Vec<bool> {
    let plan = graph.plan;
    let mut is_after = vec![false; plan.nodes.len()];
    for &node in &graph.flow.order {
        let mut before = graph.flow.incoming(plan, node).map(|edge| plan.edges[edge].from);
        is_after[node] = before.any(|from| is_after[from] || spawns(&plan.nodes[from].kind));
    }
    is_after
}

fn is_spawning(graph: &Graph<'_>, node: NodeIx, span: Span, found: &mut Diagnostics) -> bool {
    let kind = &graph.plan.nodes[node].kind;
    if !spawns(kind) {
        let message = format!("`{}` is a {} and spawns no run", graph.id(node), kind.name());
        let hint = "name a `spawn_run`, an `agent_call`, a `spawn_group` or a `map`";
        found.push(Diagnostic::error("no_lineage", span, message).hint(hint));
    }
    spawns(kind)
}

/// What a replan looks at has been spawned before it.
fn replans(graph: &Graph<'_>, named: &[(NodeIx, NodeIx, Span)], found: &mut Diagnostics) {
    let pairs: Vec<(NodeIx, NodeIx)> = named.iter().map(|(of, replan, _)| (*of, *replan)).collect();
    for ((of, replan, span), comes_before) in named.iter().zip(graph.come_before(&pairs)) {
        if comes_before || graph.is_loose[*replan] || graph.flow.in_one_loop(*of, *replan) {
            continue;
        }
        let (why, hint) = graph.why_not_before(*of, *replan);
        let message = format!("`{}` cannot look at the runs of `{}`: {why}", graph.id(*replan), graph.id(*of));
        found.push(Diagnostic::error("no_lineage", *span, message).hint(hint));
    }
}

/// What is cancelled has been spawned before, or is beside it.
fn cancels(graph: &Graph<'_>, cancelled: &[(NodeIx, NodeIx, Span)], found: &mut Diagnostics) {
    let pairs: Vec<(NodeIx, NodeIx)> = cancelled.iter().map(|(of, cancel, _)| (*cancel, *of)).collect();
    for ((of, cancel, span), comes_after) in cancelled.iter().zip(graph.come_before(&pairs)) {
        let fork = graph.guards.excluded_by(*of, *cancel);
        if !comes_after && fork.is_none() || graph.flow.in_one_loop(*of, *cancel) {
            continue;
        }
        let (why, hint) = graph.why_not_before(*of, *cancel);
        let message = format!("`{}` has nothing to cancel: {why}", graph.id(*cancel));
        found.push(Diagnostic::error("no_lineage", *span, message).hint(hint));
    }
}

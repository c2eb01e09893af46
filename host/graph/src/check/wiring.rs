//! Wiring: where the handles of nodes lead.

use std::collections::HashMap;

use pleach_kernel::JoinMode;

use super::Graph;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::{EdgeIx, JOIN_HANDLES, Kind, NodeIx, Plan};
use crate::source::{Source, Span};

/// Of each handle of a node, whether it can be its outcome.
pub(super) fn possible_handles(plan: &Plan, node: NodeIx) -> Vec<bool> {
    let node = &plan.nodes[node];
    let mode = mode_of(plan, &node.kind);
    node.handles.iter().map(|handle| mode.is_none_or(|mode| can_end_as(mode, handle))).collect()
}

/// The mode of a join's group.
fn mode_of(plan: &Plan, kind: &Kind) -> Option<JoinMode> {
    let Kind::Join { group: Some(group), .. } = kind else { return None };
    match &plan.nodes[*group].kind {
        Kind::SpawnGroup { join, .. } | Kind::Map { join, .. } => Some(join.policy.mode),
        _ => None,
    }
}

/// Whether a group with this mode can be decided so. All but a best-effort one are
/// decided by the first that counts.
fn can_end_as(mode: JoinMode, handle: &str) -> bool {
    match mode {
        JoinMode::BestEffort | JoinMode::All => true,
        JoinMode::FailFast | JoinMode::Quorum | JoinMode::FirstSuccess => handle != JOIN_HANDLES[1],
    }
}

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    for node in 0..graph.plan.nodes.len() {
        if !graph.plan.nodes[node].handles.is_empty() {
            check_node(graph, node, found);
        }
    }
}

fn check_node(graph: &Graph<'_>, node: NodeIx, found: &mut Diagnostics) {
    let plan = graph.plan;
    let possible = possible_handles(plan, node);
    let node = &plan.nodes[node];
    let mut wired: HashMap<usize, EdgeIx> = HashMap::new();
    let mut plain = Vec::new();
    for &edge in &node.outgoing {
        let Some(handle) = plan.edges[edge].handle else {
            plain.push(edge);
            continue;
        };
        let (name, span) = (&node.handles[handle], handle_span(graph.source, plan.edges[edge].from_span));
        if !possible[handle] {
            let mode = mode_of(plan, &node.kind).map_or("", mode_name);
            let message = format!("`{}` never ends as `{name}`: the mode of its group is `{mode}`", node.id);
            let hint = "take the edge out; only `best_effort` goes on after a failure";
            found.push(Diagnostic::error("handle_impossible", span, message).hint(hint));
        }
        if let Some(first) = wired.insert(handle, edge) {
            let message = format!("the handle `{}.{name}` leads to two nodes", node.id);
            let problem = Diagnostic::error("handle_wired_twice", span, message);
            let hint = "lead it to one node, and lead plain edges from that one to several";
            found.push(problem.hint(hint).related(plan.edges[first].from_span, "it is led from here first"));
        }
    }
    let open = |handle: &usize| possible[*handle] && !wired.contains_key(handle);
    let open: Vec<&str> = (0..possible.len()).filter(open).map(|handle| &*node.handles[handle]).collect();
    for edge in plain.iter().filter(|_| open.is_empty()) {
        let (span, kind) = (plan.edges[*edge].from_span, node.kind.name());
        let message = format!("this edge is never taken: an edge leads from every handle of the {kind} `{}`", node.id);
        found.push(Diagnostic::warning("edge_never_taken", span, message).hint("take it out"));
    }
    // Nobody needs to care how a group ended; then the graph ends as the group did.
    // A join fails the graph by itself, and a replanner's plan is carried out whatever
    // comes after.
    let ends_by_itself = match &node.kind {
        Kind::Join { .. } => true,
        Kind::Replan(replan) => replan.target.is_some(),
        _ => false,
    };
    let may_end_here = ends_by_itself && node.outgoing.is_empty();
    if node.lost.outgoing {
        return;
    }
    if plain.is_empty() && !open.is_empty() && !may_end_here {
        let handles = open.iter().map(|handle| format!("`{}.{handle}`", node.id)).collect::<Vec<_>>().join(", ");
        let leads = if open.len() == 1 { "leads" } else { "lead" };
        let hint = match open.as_slice() {
            [only] => format!("add an edge `{{from: {}.{only}, to: …}}`", node.id),
            _ => format!("add an edge for each, or a plain one for all: `{{from: {}, to: …}}`", node.id),
        };
        found.push(Diagnostic::error("handle_unwired", node.span, format!("{handles} {leads} nowhere")).hint(hint));
    }
}

fn mode_name(mode: JoinMode) -> &'static str {
    match mode {
        JoinMode::BestEffort | JoinMode::All => "best_effort",
        JoinMode::FailFast => "fail_fast",
        JoinMode::Quorum => "quorum",
        JoinMode::FirstSuccess => "first_success",
    }
}

/// The handle in the name that an edge is led from.
fn handle_span(source: &Source, from: Span) -> Span {
    let text = source.slice(from);
    match text.find('.') {
        Some(at) => {
            let handle = text[at + 1..].trim_end_matches(['"', '\'']);
            Span::new(from.start as usize + at + 1, handle.len())
        }
        None => from,
    }
}

//! Skipped: why nodes had no turn.

use std::sync::Arc;

use pleach_kernel::RunStatus;

use crate::draw::links::{in_order, links};
use crate::draw::{Happened, NodeStatus};
use crate::plan::{NodeIx, Plan};

/// Why each node was skipped; none for one that was not.
pub(super) fn why(plan: &Plan, happened: &Happened) -> Vec<Option<Arc<str>>> {
    let mut why: Vec<Option<Arc<str>>> = vec![None; plan.nodes.len()];
    // In order, so that what comes after a skipped node has the first cause of it.
    for (node, _) in in_order(plan.nodes.len(), &links(plan)) {
        if happened.nodes[node].status == NodeStatus::Skipped {
            why[node] = Some(cause(plan, happened, node, &why));
        }
    }
    why
}

/// A failure before it, if there is one; else that the graph went another way.
fn cause(plan: &Plan, happened: &Happened, node: NodeIx, why: &[Option<Arc<str>>]) -> Arc<str> {
    let before = || plan.nodes[node].incoming.iter().map(|edge| plan.edges[*edge].from);
    let said = |node: NodeIx, what: &str| Some(format!("`{}` {what}", plan.nodes[node].id).into());
    let failed = before().find_map(|node| match happened.nodes[node].status {
        NodeStatus::Failed => said(node, "failed"),
        NodeStatus::TimedOut => said(node, "timed out"),
        NodeStatus::Cancelled => said(node, "was cancelled"),
        NodeStatus::Skipped | NodeStatus::Waiting | NodeStatus::Running | NodeStatus::Completed => None,
    });
    if let Some(failed) = failed {
        return failed;
    }
    if let Some(inherited) = before().find_map(|node| why[node].clone()) {
        return inherited;
    }
    let edges = || plan.nodes[node].incoming.iter().map(|edge| &plan.edges[*edge]);
    let other_way = edges().filter(|edge| !happened.may_be_taken(plan, edge)).find_map(|edge| {
        let handle = happened.nodes[edge.from].handle?;
        said(edge.from, &format!("went on to `{}`", plan.nodes[edge.from].handles[handle]))
    });
    // What a graph that was ended would have come to, nobody knows.
    let is_whole = happened.status == RunStatus::Completed;
    let is_conditional = edges().any(|edge| edge.when.is_some() && happened.may_be_taken(plan, edge));
    other_way.filter(|_| !edges().any(|edge| happened.may_be_taken(plan, edge))).unwrap_or_else(|| {
        if is_whole && is_conditional { "no condition that leads to it held" } else { "the graph had ended" }.into()
    })
}

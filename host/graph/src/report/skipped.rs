//! Skipped: why nodes had no turn.

use std::sync::Arc;

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
    let other_way = before().find_map(|node| {
        let handle = happened.nodes[node].handle?;
        said(node, &format!("went on to `{}`", plan.nodes[node].handles[handle]))
    });
    let all_done = before().all(|node| happened.nodes[node].status == NodeStatus::Completed);
    let has_condition = plan.nodes[node].incoming.iter().any(|edge| plan.edges[*edge].when.is_some());
    other_way.unwrap_or_else(|| {
        if all_done && has_condition { "no condition that leads to it held" } else { "the graph had ended" }.into()
    })
}

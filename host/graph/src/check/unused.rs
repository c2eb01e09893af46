//! Unused: work whose result nobody looks at.

use super::{Graph, sites};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::Kind;

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    let plan = graph.plan;
    // An expression that could not be read may look at any node.
    if found.has("expression") || !plan.nodes.iter().any(|node| matches!(node.kind, Kind::Output(_))) {
        return;
    }
    let mut is_read = vec![false; plan.nodes.len()];
    sites::each(plan, |site| {
        for look in site.expression.looks() {
            if let [root, id, ..] = look.path.as_slice()
                && root == "nodes"
                && let Some(node) = plan.find(id)
            {
                is_read[node] = true;
            }
        }
    });
    for (place, node) in plan.nodes.iter().enumerate() {
        let gives = matches!(node.kind, Kind::SpawnRun { wait: true, .. } | Kind::AgentCall { .. } | Kind::Join { .. });
        if gives && !is_read[place] && node.outgoing.is_empty() && !node.lost.outgoing {
            let message = format!("nobody looks at the output of `{}`, and nothing comes after it", node.id);
            let hint = format!("use `nodes.{}.output` in an output, lead an edge from it, or take it out", node.id);
            found.push(Diagnostic::warning("unused_output", node.span, message).hint(hint));
        }
    }
}

//! Checks: what is wrong with a graph as a whole. What concerns one node by itself
//! was told when it was linked.

mod against;
mod ancestors;
mod cycles;
mod flow;
mod guard;
mod lineage;
mod outputs;
mod reach;
mod references;
mod results;
mod sites;
mod unused;
mod wiring;

pub(crate) use against::check_against;
pub(crate) use flow::{Flow, REPLAN, Way};
pub(crate) use guard::Guards;

use ancestors::come_before;

use crate::diagnostic::Diagnostics;
use crate::plan::{Kind, NodeIx, Plan};
use crate::source::Source;

/// What every family of checks looks at.
struct Graph<'a> {
    plan: &'a Plan,
    source: &'a Source,
    flow: Flow,
    guards: Guards<'a>,
    /// Of each node, whether an edge on the way to it was lost: what comes before it
    /// is not known.
    is_loose: Vec<bool>,
}

impl Graph<'_> {
    fn id(&self, node: NodeIx) -> &str {
        &self.plan.nodes[node].id
    }

    fn come_before(&self, pairs: &[(NodeIx, NodeIx)]) -> Vec<bool> {
        come_before(self.plan, &self.flow, pairs)
    }

    /// Where one node stands to another that it does not come before, and what to do
    /// about it.
    fn why_not_before(&self, node: NodeIx, other: NodeIx) -> (String, String) {
        let (name, of) = (self.id(node), self.id(other));
        if node == other {
            return ("it is the node itself".to_owned(), "look at a node before it".to_owned());
        }
        if self.come_before(&[(other, node)]) == [true] {
            let hint = format!("lead the edges so that `{name}` comes first");
            return (format!("`{name}` comes after `{of}`"), hint);
        }
        if let Some(fork) = self.guards.excluded_by(node, other) {
            let why = format!("`{name}` and `{of}` are on different branches of `{}`", self.id(fork));
            return (why, "look at a node that is on the way to this one".to_owned());
        }
        let hint = match self.plan.is_tasks {
            true => format!("add `{name}` to the `needs` of `{of}`"),
            false => format!("add an edge: `{{from: {name}, to: {of}}}`"),
        };
        (format!("`{name}` runs beside `{of}`, and may be done before it or after it"), hint)
    }
}

/// Tells all that is wrong with the graph as a whole.
pub(crate) fn check(plan: &Plan, source: &Source, found: &mut Diagnostics) {
    let flow = Flow::of(plan);
    let guards = Guards::of(plan, &flow);
    let mut is_loose: Vec<bool> = plan.nodes.iter().map(|node| node.lost.incoming).collect();
    for &node in &flow.order {
        is_loose[node] |= flow.incoming(plan, node).any(|edge| is_loose[plan.edges[edge].from]);
    }
    let graph = Graph { plan, source, flow, guards, is_loose };
    wiring::check(&graph, found);
    cycles::check(&graph, found);
    reach::check(&graph, found);
    lineage::check(&graph, found);
    references::check(&graph, found);
    results::check(&graph, found);
    unused::check(&graph, found);
}

/// Whether a node spawns runs that can be replanned or cancelled.
fn spawns(kind: &Kind) -> bool {
    match kind {
        Kind::SpawnRun { .. } | Kind::AgentCall { .. } | Kind::SpawnGroup { .. } | Kind::Map { .. } => true,
        Kind::Join { .. }
        | Kind::Router(_)
        | Kind::Judge(_)
        | Kind::Replan(_)
        | Kind::CancelSubtree { .. }
        | Kind::Output(_) => false,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

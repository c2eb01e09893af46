//! The critical path: what the end of a run waited for, node by node.

use std::cmp::Reverse;

use pleach_kernel::Timestamp;

use super::happened::{Happened, NodeStatus};
use super::links::{Link, in_order, links};
use crate::plan::{Kind, NodeIx, Plan};

/// The chain of nodes that ended last, each begun when the one before it let it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalPath {
    /// From the first to the last.
    pub nodes: Vec<NodeIx>,
    /// From the start of the first to the end of the last.
    pub ms: u64,
}

impl Happened {
    /// None where no node has ended by itself yet.
    pub fn critical_path(&self, plan: &Plan) -> Option<CriticalPath> {
        self.critical_among(plan, &links(plan))
    }

    /// Walks back from what ended last, each time to what ended last before it. What
    /// closes a loop is left aside: the times of a node in a loop hold all its rounds.
    pub(super) fn critical_among(&self, plan: &Plan, links: &[Link]) -> Option<CriticalPath> {
        let order = in_order(plan.nodes.len(), links);
        // What was cancelled held nothing up. Of several that ended at one instant, the
        // last in order: an output rather than what it waited for.
        let held = order.iter().enumerate().filter(|(_, (node, _))| self.nodes[*node].status != NodeStatus::Cancelled);
        let ended = held.filter_map(|(place, (node, _))| Some((self.span(*node)?.1, place, *node)));
        let (end, _, last) = ended.max()?;
        let mut above: Vec<Vec<&Link>> = vec![Vec::new(); plan.nodes.len()];
        for link in links.iter().filter(|link| !link.back && self.led_on(plan, link)) {
            above[link.to].push(link);
        }
        let mut nodes = vec![last];
        let mut at = last;
        while let Some(before) = self.latest(&above[at], at) {
            nodes.push(before);
            at = before;
        }
        nodes.reverse();
        let (start, _) = self.span(at)?;
        Some(CriticalPath { nodes, ms: end.since_ms(start) })
    }

    /// What `node` waited for longest. What ended only after `node` began, as a run may
    /// that is not waited for, held it up until then and no longer, so what ended in
    /// time goes before it.
    fn latest(&self, above: &[&Link], node: NodeIx) -> Option<NodeIx> {
        let (began, _) = self.span(node)?;
        let before = above.iter().filter_map(|link| Some((self.span(link.from)?.1, link.from)));
        before.max_by_key(|(end, from)| ((*end).min(began), Reverse(*end), Reverse(*from))).map(|(_, from)| from)
    }

    fn span(&self, node: NodeIx) -> Option<(Timestamp, Timestamp)> {
        let node = &self.nodes[node];
        let end = node.finished_at.filter(|_| node.status.is_done())?;
        Some((node.started_at.unwrap_or(end).min(end), end))
    }

    fn has_failed(&self, node: NodeIx) -> bool {
        matches!(self.nodes[node].status, NodeStatus::Failed | NodeStatus::TimedOut)
    }

    /// Whether the run went along a link.
    pub(super) fn led_on(&self, plan: &Plan, link: &Link) -> bool {
        match link.edges.as_slice() {
            [] => self.is_over(plan, link.from),
            // A replan comes after what has failed, too.
            _ if matches!(plan.nodes[link.to].kind, Kind::Replan(_)) && self.has_failed(link.from) => true,
            edges => edges.iter().any(|edge| self.is_taken(plan, &plan.edges[*edge])),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::happened::NodeHappened;
    use super::super::scene::plan;
    use super::*;
    use pleach_kernel::RunStatus;

    /// A graph whose nodes each begin the moment that all before them have ended.
    fn scheduled(durations: &[u64], pairs: &[(usize, usize)]) -> (Plan, Happened) {
        let nodes: Vec<String> =
            (0..durations.len()).map(|ix| format!("  n{ix}: {{spawn_run: {{target: w}}}}")).collect();
        let edges: Vec<String> = pairs.iter().map(|(from, to)| format!("  - {{from: n{from}, to: n{to}}}")).collect();
        let edges = if edges.is_empty() { String::new() } else { format!("edges:\n{}\n", edges.join("\n")) };
        let plan = plan(&format!("spec_version: '2.0'\nnodes:\n{}\n{edges}", nodes.join("\n")));
        let mut nodes = vec![NodeHappened::default(); durations.len()];
        for (node, ms) in durations.iter().enumerate() {
            let before = pairs.iter().filter(|(_, to)| *to == node).filter_map(|(from, _)| nodes[*from].finished_at);
            let start = before.max().unwrap_or(Timestamp(1_000));
            let (started_at, finished_at) = (Some(start), Some(start.plus_ms(*ms)));
            nodes[node] =
                NodeHappened { status: NodeStatus::Completed, started_at, finished_at, runs: 1, ..Default::default() };
        }
        (plan, Happened { status: RunStatus::Completed, started_at: None, finished_at: None, nodes })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Where nobody waits for anything but nodes, the path takes as long as all, and
        /// all of that is spent in its nodes.
        #[test]
        fn the_durations_along_the_path_add_up_to_the_whole(
            durations in prop::collection::vec(0u64..50, 1..12),
            picks in prop::collection::btree_set((0usize..12, 0usize..12), 0..24),
        ) {
            let many = durations.len();
            let pairs: Vec<(usize, usize)> = picks.into_iter().filter(|(from, to)| from < to && *to < many).collect();
            let (plan, happened) = scheduled(&durations, &pairs);
            let path = happened.critical_path(&plan).expect("nodes have ended");
            let last = happened.nodes.iter().filter_map(|node| node.finished_at).max().expect("one");
            prop_assert_eq!(path.ms, last.since_ms(Timestamp(1_000)));
            prop_assert_eq!(path.nodes.iter().map(|node| durations[*node]).sum::<u64>(), path.ms);
            prop_assert!(path.nodes.windows(2).all(|pair| pairs.contains(&(pair[0], pair[1]))));
        }
    }
}

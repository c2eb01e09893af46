//! Links: who follows whom. Edges between the same two nodes are one link, a join
//! follows its group also where no edge says so, and what closes a loop is marked,
//! so that the rest has an order.

use std::collections::HashMap;

use crate::plan::{EdgeIx, Kind, NodeIx, Plan};

/// All that leads from one node to another.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub from: NodeIx,
    pub to: NodeIx,
    /// Empty between a group and a join that only names it.
    pub edges: Vec<EdgeIx>,
    /// Whether it closes a loop.
    pub back: bool,
}

/// The links of a plan, in the order of its edges.
pub(crate) fn links(plan: &Plan) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::with_capacity(plan.edges.len());
    let mut known: HashMap<(NodeIx, NodeIx), usize> = HashMap::with_capacity(plan.edges.len());
    let joins = plan.nodes.iter().enumerate().filter_map(|(to, node)| Some((group_of(&node.kind)?, to, None)));
    for (from, to, edge) in plan.edges.iter().enumerate().map(|(ix, edge)| (edge.from, edge.to, Some(ix))).chain(joins)
    {
        let link = *known.entry((from, to)).or_insert_with(|| {
            links.push(Link { from, to, edges: Vec::new(), back: false });
            links.len() - 1
        });
        links[link].edges.extend(edge);
    }
    mark_loops(plan.nodes.len(), &mut links);
    links
}

/// The group that a join waits for.
pub(super) fn group_of(kind: &Kind) -> Option<NodeIx> {
    match kind {
        Kind::Join { group, .. } => *group,
        Kind::SpawnRun { .. }
        | Kind::AgentCall { .. }
        | Kind::SpawnGroup { .. }
        | Kind::Map { .. }
        | Kind::Router(_)
        | Kind::Judge(_)
        | Kind::Replan(_)
        | Kind::CancelSubtree { .. }
        | Kind::Output(_) => None,
    }
}

/// Walks down from where the graph begins; a link to a node that is still being
/// walked through leads back. The stack is a list, so that no graph is too deep.
fn mark_loops(nodes: usize, links: &mut [Link]) {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    let mut is_first = vec![true; nodes];
    for (ix, link) in links.iter().enumerate() {
        below[link.from].push(ix);
        is_first[link.to] = false;
    }
    let (mut entered, mut left) = (vec![false; nodes], vec![false; nodes]);
    let first = (0..nodes).filter(|node| is_first[*node]);
    // A graph that is nothing but a loop begins with its first node.
    for start in first.chain(0..nodes) {
        if entered[start] {
            continue;
        }
        entered[start] = true;
        let mut path = vec![(start, 0)];
        while let Some((node, next)) = path.last_mut() {
            let Some(link) = below[*node].get(*next) else {
                left[*node] = true;
                path.pop();
                continue;
            };
            *next += 1;
            let to = links[*link].to;
            links[*link].back = entered[to] && !left[to];
            if !entered[to] {
                entered[to] = true;
                path.push((to, 0));
            }
        }
    }
}

/// The layer of each node, from 0: the length of the longest way to it, loops left
/// aside.
pub(super) fn layers(nodes: usize, links: &[Link]) -> Vec<usize> {
    let mut layers = vec![0; nodes];
    for node in in_order(nodes, links) {
        for link in node.1 {
            let to = links[link].to;
            layers[to] = layers[to].max(layers[node.0] + 1);
        }
    }
    layers
}

/// Every node after all that it follows, with the links that lead on from it.
pub(crate) fn in_order(nodes: usize, links: &[Link]) -> Vec<(NodeIx, Vec<usize>)> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    let mut waits_for = vec![0usize; nodes];
    for (ix, link) in links.iter().enumerate().filter(|(_, link)| !link.back) {
        below[link.from].push(ix);
        waits_for[link.to] += 1;
    }
    let mut order: Vec<(NodeIx, Vec<usize>)> = Vec::with_capacity(nodes);
    let mut ready: std::collections::VecDeque<NodeIx> = (0..nodes).filter(|node| waits_for[*node] == 0).collect();
    while let Some(node) = ready.pop_front() {
        let links_on = std::mem::take(&mut below[node]);
        for link in &links_on {
            let to = links[*link].to;
            waits_for[to] -= 1;
            if waits_for[to] == 0 {
                ready.push_back(to);
            }
        }
        order.push((node, links_on));
    }
    debug_assert_eq!(order.len(), nodes, "without what leads back there is no loop");
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(NodeIx, NodeIx)], backs: &[(NodeIx, NodeIx)], expected: &[usize]) {
        let link = |(from, to): &(NodeIx, NodeIx)| Link { from: *from, to: *to, edges: Vec::new(), back: false };
        let mut links: Vec<Link> = pairs.iter().map(link).collect();
        mark_loops(expected.len(), &mut links);
        let found: Vec<_> = links.iter().filter(|link| link.back).map(|link| (link.from, link.to)).collect();
        assert_eq!((found.as_slice(), layers(expected.len(), &links).as_slice()), (backs, expected));
    }

    #[test]
    fn a_node_lies_below_all_that_it_follows() {
        check(&[(0, 1), (0, 3), (1, 2), (2, 3)], &[], &[0, 1, 2, 3]);
        check(&[], &[], &[0, 0]);
    }

    #[test]
    fn what_closes_a_loop_gives_no_layer() {
        check(&[(0, 1), (1, 2), (2, 1), (2, 3)], &[(2, 1)], &[0, 1, 2, 3]);
        check(&[(0, 1), (1, 0)], &[(1, 0)], &[0, 1]);
        check(&[(2, 1), (1, 0), (0, 1)], &[(0, 1)], &[2, 1, 0]);
    }
}

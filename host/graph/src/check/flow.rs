//! Flow: in which order the nodes of a graph can run, which edges lead back, and
//! which make a cycle that cannot be.
//!
//! Everything here takes time in proportion to the graph and no stack: a graph has
//! up to 100,000 nodes, in one chain if its author likes.

use super::ancestors::come_before;
use crate::plan::{EdgeIx, Kind, NodeIx, Plan};

/// The place of `replan` among the handles of a replan.
pub(crate) const REPLAN: usize = 0;

/// So many edges are decided on one by one, which takes as long as the graph is
/// large; the others lead back.
const MOST_SETTLED: usize = 256;

/// What an edge is to the order of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    /// From the handle `replan` to a node before it.
    Back,
    /// Closes a cycle that is no loop; nothing is checked along it.
    Broken,
}

/// The order of a graph.
pub(crate) struct Flow {
    pub ways: Vec<Way>,
    /// Every node, after all that lead to it by forward edges.
    pub order: Vec<NodeIx>,
    /// The place of each node in that order.
    pub rank: Vec<usize>,
    /// Nodes with the same number lead to each other, by whichever edges.
    pub knots: Vec<usize>,
    /// The nodes of each illegal cycle, in the order of its edges.
    pub cycles: Vec<Vec<EdgeIx>>,
}

impl Flow {
    pub fn of(plan: &Plan) -> Self {
        let is_replan = |edge: EdgeIx| {
            let edge = &plan.edges[edge];
            matches!(plan.nodes[edge.from].kind, Kind::Replan(_)) && edge.handle == Some(REPLAN)
        };
        let mut ways = vec![Way::Forward; plan.edges.len()];
        let replans: Vec<EdgeIx> = (0..plan.edges.len()).filter(|edge| is_replan(*edge)).collect();
        replans.iter().for_each(|edge| ways[*edge] = Way::Back);
        let order = sorted(plan, &mut ways);
        let cycles = match ways.contains(&Way::Broken) {
            true => cycles(plan, &ways),
            false => Vec::new(),
        };
        let knots = knots(plan, |_| true);
        let rank = ranks(&order);
        let mut flow = Self { ways, order, rank, knots, cycles };
        let inner = |edge: &EdgeIx| flow.knots[plan.edges[*edge].from] == flow.knots[plan.edges[*edge].to];
        let (inner, outer): (Vec<EdgeIx>, Vec<EdgeIx>) = replans.into_iter().partition(inner);
        let pairs: Vec<(NodeIx, NodeIx)> =
            inner.iter().map(|edge| (plan.edges[*edge].to, plan.edges[*edge].from)).collect();
        let leads_back = come_before(plan, &flow, &pairs);
        let open = inner.iter().zip(leads_back).filter(|(_, back)| !back).map(|(edge, _)| *edge).collect::<Vec<_>>();
        outer.iter().for_each(|edge| flow.ways[*edge] = Way::Forward);
        flow.settle(plan, &open);
        if !outer.is_empty() || !open.is_empty() {
            flow.order = sorted(plan, &mut flow.ways);
            flow.rank = ranks(&flow.order);
        }
        flow
    }

    /// Decides on edges from a replan that lead back only by way of other replans:
    /// one after the other, so that the first of them leads on.
    fn settle(&mut self, plan: &Plan, open: &[EdgeIx]) {
        let mut seen = Seen::new(plan.nodes.len());
        for &edge in open.iter().take(MOST_SETTLED) {
            let (from, to) = (plan.edges[edge].from, plan.edges[edge].to);
            let within =
                |edge: EdgeIx| self.ways[edge] == Way::Forward && self.knots[plan.edges[edge].to] == self.knots[from];
            if !seen.leads(plan, to, from, within) {
                self.ways[edge] = Way::Forward;
            }
        }
    }

    /// The forward edges that lead to a node.
    pub fn incoming<'a>(&'a self, plan: &'a Plan, node: NodeIx) -> impl Iterator<Item = EdgeIx> + 'a {
        plan.nodes[node].incoming.iter().copied().filter(|edge| self.ways[*edge] == Way::Forward)
    }

    /// Whether two nodes are in one loop.
    pub fn in_one_loop(&self, one: NodeIx, other: NodeIx) -> bool {
        one != other && self.knots[one] == self.knots[other]
    }
}

/// The place of each node in an order.
fn ranks(order: &[NodeIx]) -> Vec<usize> {
    let mut rank = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, node)| rank[*node] = place);
    rank
}

/// The nodes in an order of forward edges. An edge that closes a cycle becomes a
/// broken one.
fn sorted(plan: &Plan, ways: &mut [Way]) -> Vec<NodeIx> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; plan.nodes.len()];
    let mut order = Vec::with_capacity(plan.nodes.len());
    let mut stack: Vec<(NodeIx, usize)> = Vec::new();
    for start in 0..plan.nodes.len() {
        if states[start] != State::New {
            continue;
        }
        states[start] = State::Open;
        stack.push((start, 0));
        while let Some((node, next)) = stack.last_mut() {
            let Some(&edge) = plan.nodes[*node].outgoing.get(*next) else {
                states[*node] = State::Done;
                order.push(*node);
                stack.pop();
                continue;
            };
            *next += 1;
            if ways[edge] != Way::Forward {
                continue;
            }
            let to = plan.edges[edge].to;
            match states[to] {
                State::New => {
                    states[to] = State::Open;
                    stack.push((to, 0));
                }
                State::Open => ways[edge] = Way::Broken,
                State::Done => {}
            }
        }
    }
    order.reverse();
    order
}

/// The strongly connected components of the graph, by a number for each node
/// (Tarjan's algorithm, with a stack of its own).
fn knots(plan: &Plan, counts: impl Fn(EdgeIx) -> bool) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let nodes = plan.nodes.len();
    let (mut index, mut low, mut knot) = (vec![NONE; nodes], vec![0; nodes], vec![NONE; nodes]);
    let (mut counter, mut knots) = (0, 0);
    let mut open: Vec<NodeIx> = Vec::new();
    let mut stack: Vec<(NodeIx, usize)> = Vec::new();
    for start in 0..nodes {
        if index[start] != NONE {
            continue;
        }
        stack.push((start, 0));
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            if *next == 0 {
                (index[node], low[node]) = (counter, counter);
                counter += 1;
                open.push(node);
            }
            let edge = plan.nodes[node].outgoing.get(*next).copied();
            *next += 1;
            match edge {
                Some(edge) if counts(edge) => {
                    let to = plan.edges[edge].to;
                    if index[to] == NONE {
                        stack.push((to, 0));
                    } else if knot[to] == NONE {
                        low[node] = low[node].min(index[to]);
                    }
                }
                Some(_) => {}
                None => {
                    stack.pop();
                    if let Some((parent, _)) = stack.last() {
                        low[*parent] = low[*parent].min(low[node]);
                    }
                    if low[node] == index[node] {
                        while let Some(member) = open.pop() {
                            knot[member] = knots;
                            if member == node {
                                break;
                            }
                        }
                        knots += 1;
                    }
                }
            }
        }
    }
    knot
}

/// One cycle, as short as any, of each knot that is not tied by a replan.
fn cycles(plan: &Plan, ways: &[Way]) -> Vec<Vec<EdgeIx>> {
    let counts = |edge: EdgeIx| ways[edge] != Way::Back;
    let knots = knots(plan, counts);
    let mut told = vec![false; plan.nodes.len()];
    let mut all = Vec::new();
    for (edge, way) in ways.iter().enumerate() {
        let from = plan.edges[edge].from;
        if *way != Way::Broken || told[knots[from]] {
            continue;
        }
        told[knots[from]] = true;
        let within = |edge: EdgeIx| counts(edge) && knots[plan.edges[edge].to] == knots[from];
        if let Some(mut way) = shortest(plan, plan.edges[edge].to, from, within) {
            way.push(edge);
            all.push(way);
        }
    }
    all
}

/// The shortest way from one node to another, by its edges.
fn shortest(plan: &Plan, from: NodeIx, to: NodeIx, counts: impl Fn(EdgeIx) -> bool) -> Option<Vec<EdgeIx>> {
    let mut came_by: Vec<Option<EdgeIx>> = vec![None; plan.nodes.len()];
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(&node) = reached.get(next) {
        next += 1;
        if node == to {
            let mut way = Vec::new();
            let mut at = to;
            while at != from {
                let edge = came_by[at]?;
                way.push(edge);
                at = plan.edges[edge].from;
            }
            way.reverse();
            return Some(way);
        }
        for &edge in plan.nodes[node].outgoing.iter().filter(|edge| counts(**edge)) {
            let to = plan.edges[edge].to;
            if to != from && came_by[to].is_none() {
                came_by[to] = Some(edge);
                reached.push(to);
            }
        }
    }
    None
}

/// Which nodes a search has seen, for many searches.
struct Seen {
    by: Vec<u32>,
    search: u32,
}

impl Seen {
    fn new(nodes: usize) -> Self {
        Self { by: vec![0; nodes], search: 0 }
    }

    /// Whether one node leads to another.
    fn leads(&mut self, plan: &Plan, from: NodeIx, to: NodeIx, counts: impl Fn(EdgeIx) -> bool) -> bool {
        self.search += 1;
        let mut stack = vec![from];
        while let Some(node) = stack.pop() {
            if node == to {
                return true;
            }
            for &edge in plan.nodes[node].outgoing.iter().filter(|edge| counts(**edge)) {
                let to = plan.edges[edge].to;
                if self.by[to] != self.search {
                    self.by[to] = self.search;
                    stack.push(to);
                }
            }
        }
        false
    }
}

//! Loops: the ways back that replans may take, and what is run again on them.

use std::sync::Arc;

use super::{Status, Walk, Way};

pub(super) use crate::check::REPLAN;
use crate::check::{Flow, Way as Lead};
use crate::plan::{Edge, EdgeIx, Kind, NodeIx, Plan};

/// The loops of a plan.
#[derive(Debug)]
pub(crate) struct Loops {
    all: Vec<Loop>,
    /// Whether an edge leads back.
    back: Vec<bool>,
    /// For each node, the loops that it is in, innermost and outermost alike.
    of: Vec<Vec<usize>>,
    /// Whether a replan looks at what a node spawns.
    covered: Vec<bool>,
    /// For each replan, every node that comes before it.
    before: Vec<(NodeIx, Vec<bool>)>,
}

/// One way back, and all that lies on it.
#[derive(Debug)]
struct Loop {
    replan: NodeIx,
    first: NodeIx,
    /// Every node between the two, and they themselves.
    nodes: Vec<NodeIx>,
}

impl Plan {
    pub(crate) fn loops(&self) -> &Arc<Loops> {
        self.loops.get_or_init(|| Arc::new(Loops::of(self)))
    }
}

impl Loop {
    fn has(&self, node: NodeIx) -> bool {
        self.nodes.binary_search(&node).is_ok()
    }
}

impl Loops {
    fn of(plan: &Plan) -> Self {
        let count = plan.nodes.len();
        // As the checker sees it: what leads back there leads back here.
        let flow = Flow::of(plan);
        let mut loops = Self {
            all: Vec::new(),
            back: vec![false; plan.edges.len()],
            of: vec![Vec::new(); count],
            covered: vec![false; count],
            before: Vec::new(),
        };
        for (replan, node) in plan.nodes.iter().enumerate() {
            let Kind::Replan(said) = &node.kind else { continue };
            let before = reach(plan, &flow, replan, Direction::Back);
            let named = |node: NodeIx| said.of.iter().any(|(of, _)| *of == node);
            for other in (0..count).filter(|other| named(*other) || said.of.is_empty() && before[*other]) {
                loops.covered[other] = true;
            }
            for edge in node.outgoing.iter().filter(|edge| flow.ways[**edge] == Lead::Back) {
                let first = plan.edges[*edge].to;
                let after = reach(plan, &flow, first, Direction::On);
                let on_way = |node: &NodeIx| (after[*node] || *node == first) && (before[*node] || *node == replan);
                let nodes: Vec<NodeIx> = (0..count).filter(on_way).collect();
                for node in &nodes {
                    loops.of[*node].push(loops.all.len());
                }
                loops.back[*edge] = true;
                loops.all.push(Loop { replan, first, nodes });
            }
            if said.of.is_empty() {
                loops.before.push((replan, before));
            }
        }
        loops
    }

    /// Every node that is run again when a replan leads back; none where it does not.
    pub(crate) fn nodes_of(&self, replan: NodeIx) -> impl Iterator<Item = NodeIx> + '_ {
        let loops = self.all.iter().filter(move |way_back| way_back.replan == replan);
        loops.flat_map(|way_back| way_back.nodes.iter().copied())
    }

    pub(crate) fn is_back(&self, edge: EdgeIx) -> bool {
        self.back[edge]
    }

    /// Whether a node comes before a replan.
    pub(super) fn is_before(&self, node: NodeIx, replan: NodeIx) -> bool {
        self.before.iter().any(|(other, before)| *other == replan && before[node])
    }

    pub(super) fn is_covered(&self, node: NodeIx) -> bool {
        self.covered[node]
    }

    /// Whether an edge leads out of a loop that may come by again. What the replan
    /// itself leads to is its answer, and is not put off; nor is a way that goes on
    /// within a loop beside this one, whose replan would wait for it.
    pub(super) fn holds_back(&self, edge: EdgeIx, states: &[super::State], plan: &Plan) -> bool {
        let edge = &plan.edges[edge];
        self.of[edge.from].iter().any(|number| {
            let way_back = &self.all[*number];
            let is_open = matches!(states[way_back.replan].status, Status::Waiting | Status::Running);
            is_open && edge.from != way_back.replan && !way_back.has(edge.to) && !self.goes_on_beside(way_back, edge)
        })
    }

    fn goes_on_beside(&self, way_back: &Loop, edge: &Edge) -> bool {
        let mut both = self.of[edge.from].iter().map(|number| &self.all[*number]).filter(|other| other.has(edge.to));
        both.any(|other| !other.has(way_back.replan))
    }
}

#[derive(Clone, Copy)]
enum Direction {
    On,
    Back,
}

/// Every node that can be reached over edges that do not lead back.
fn reach(plan: &Plan, flow: &Flow, from: NodeIx, direction: Direction) -> Vec<bool> {
    let mut reached = vec![false; plan.nodes.len()];
    let mut left = vec![from];
    while let Some(node) = left.pop() {
        let edges = match direction {
            Direction::On => &plan.nodes[node].outgoing,
            Direction::Back => &plan.nodes[node].incoming,
        };
        for edge in edges.iter().copied().filter(|edge| flow.ways[*edge] == Lead::Forward) {
            let next = match direction {
                Direction::On => plan.edges[edge].to,
                Direction::Back => plan.edges[edge].from,
            };
            if !std::mem::replace(&mut reached[next], true) {
                left.push(next);
            }
        }
    }
    reached
}

impl Walk {
    /// Follows a replan's way back, if it has one and that is what it decided.
    pub(super) fn go_back(&mut self, replan: NodeIx, handle: Option<usize>) -> bool {
        if handle != Some(REPLAN) {
            return false;
        }
        let (plan, loops) = (self.plan.clone(), self.loops.clone());
        let mut went = false;
        for way_back in loops.all.iter().filter(|way_back| way_back.replan == replan) {
            self.run_again(&plan, way_back);
            went = true;
        }
        if went {
            // Ways on from the same handle, which do not lead back.
            for edge in plan.nodes[replan].outgoing.iter().copied() {
                if plan.edges[edge].handle == handle {
                    self.settle(edge, Way::Taken);
                }
            }
        }
        went
    }

    fn run_again(&mut self, plan: &Arc<Plan>, way_back: &Loop) {
        let within = |node: &NodeIx| way_back.has(*node);
        for node in &way_back.nodes {
            let mut open = 0;
            for edge in plan.nodes[*node].incoming.iter().copied().filter(|edge| !self.loops.is_back(*edge)) {
                if within(&plan.edges[edge].from) && *node != way_back.first {
                    self.ways[edge] = Way::Open;
                }
                // What comes from outside may be on its way still: of another loop's round.
                open += u32::from(self.ways[edge] == Way::Open);
            }
            for edge in &plan.nodes[*node].outgoing {
                self.held.remove(edge);
            }
            // Another replan may have sent it on its way already: it begins once.
            self.ready.retain(|other| other != node);
            self.finish(*node, Status::Waiting);
            self.give_up_group(*node);
            // It waits for no group any more; a join outside the loop waits for the next one
            // of a node within.
            if let Kind::Join { group: Some(of), .. } = plan.nodes[*node].kind {
                self.states[of].awaited_by = None;
            }
            let state = &mut self.states[*node];
            (state.status, state.open) = (Status::Waiting, open);
            (state.group, state.runs, state.failed_itself) = (None, Vec::new(), false);
        }
        // Else what another replan has run again leads to it.
        if self.states[way_back.first].open == 0 {
            self.ready.push_back(way_back.first);
        }
    }

    /// A replan has come to its end, or was skipped: what was held back for its
    /// loops is settled.
    pub(super) fn close_loop(&mut self, node: NodeIx) {
        let (plan, loops) = (self.plan.clone(), self.loops.clone());
        if !matches!(plan.nodes[node].kind, Kind::Replan(_)) {
            return;
        }
        for way_back in loops.all.iter().filter(|way_back| way_back.replan == node) {
            for edge in way_back.nodes.iter().flat_map(|inner| &plan.nodes[*inner].outgoing).copied() {
                if let Some(way) = self.held.remove(&edge) {
                    self.settle(edge, way);
                }
            }
        }
    }

    /// Nothing is under way, and edges are held back: loops wait for each other, as two do
    /// of which each has something that comes after it and before the other's replan.
    /// What comes after them does not wait for their last rounds then.
    pub(super) fn release_all(&mut self) {
        for (edge, way) in std::mem::take(&mut self.held) {
            self.settle_now(edge, way);
        }
    }
}

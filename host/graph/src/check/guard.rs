//! Guards: under which condition each node runs, so that it can be told whether
//! one has certainly run when another does.
//!
//! A guard is a place in a tree of conditions: below each stands what also has to
//! hold (`this handle of that node`, `the condition of that edge`), and a node that
//! several ways lead to runs where any of them is taken. Ways that together leave
//! nothing out are one: after `pass` and `fail` have come together again, the
//! guard is what it was before the judge.

use std::collections::{BTreeSet, HashMap};

use super::flow::Flow;
use super::wiring::possible_handles;
use crate::plan::{EdgeIx, NodeIx, Plan};

/// A guard, by its place among all.
type GuardIx = usize;

/// What has to hold besides what stands above it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Condition {
    /// Nothing: the graph runs.
    Always,
    /// A node had this handle as its outcome; none: one that no edge is led from.
    Outcome(NodeIx, Option<usize>),
    /// The `when` of an edge.
    When(EdgeIx),
    /// One of several guards, in their order.
    Any(Vec<GuardIx>),
}

struct Guard {
    above: GuardIx,
    condition: Condition,
    depth: usize,
    /// A guard far above, so that one at any depth is found in few steps.
    jump: GuardIx,
    /// The nearest at or above it that is one of several.
    nearest_any: Option<GuardIx>,
}

/// The guards of all nodes.
pub(crate) struct Guards<'a> {
    plan: &'a Plan,
    of: Vec<GuardIx>,
    all: Vec<Guard>,
    known: HashMap<(GuardIx, Condition), GuardIx>,
    outcomes: Vec<Outcomes>,
}

const ALWAYS: GuardIx = 0;

/// Where more ways than that come together, they are not held against each other.
const MOST_WAYS: usize = 64;

/// Steps for one question about two nodes.
const STEPS: usize = 2_000;

/// Steps for holding the ways to one node against each other.
const STEPS_OF_A_NODE: usize = 500;

/// How many steps are left for a question, and what is answered when none are.
struct Steps {
    left: usize,
    beyond: bool,
}

/// The outcomes of a node that edges are led from.
struct Outcomes {
    /// How many ways lead from it; together they leave nothing out. An outcome that
    /// leads nowhere is told elsewhere.
    ways: usize,
    possible: Vec<bool>,
    /// Whether a plain edge is taken at any of them.
    has_plain: bool,
}

impl Outcomes {
    fn of(plan: &Plan, node: NodeIx) -> Self {
        let possible = possible_handles(plan, node);
        let mut is_named = vec![false; possible.len()];
        let mut has_plain = false;
        for edge in &plan.nodes[node].outgoing {
            match plan.edges[*edge].handle {
                Some(handle) => is_named[handle] = true,
                None => has_plain = true,
            }
        }
        let count = |named| possible.iter().zip(&is_named).filter(|(possible, is)| **possible && **is == named).count();
        has_plain &= count(false) > 0;
        Self { ways: count(true) + usize::from(has_plain), possible, has_plain }
    }

    fn has(&self, handle: Option<usize>) -> bool {
        handle.map_or(self.has_plain, |handle| self.possible[handle])
    }
}

impl<'a> Guards<'a> {
    pub fn of(plan: &'a Plan, flow: &Flow) -> Self {
        let root = Guard { above: ALWAYS, condition: Condition::Always, depth: 0, jump: ALWAYS, nearest_any: None };
        let outcomes = (0..plan.nodes.len()).map(|node| Outcomes::of(plan, node)).collect();
        let of = vec![ALWAYS; plan.nodes.len()];
        let mut guards = Self { plan, of, all: vec![root], known: HashMap::new(), outcomes };
        for &node in &flow.order {
            let mut ways: Vec<GuardIx> = flow.incoming(plan, node).map(|edge| guards.of_edge(edge)).collect();
            if !ways.is_empty() {
                ways.sort_unstable();
                ways.dedup();
                guards.of[node] = guards.any(ways);
            }
        }
        guards
    }

    /// Whether a node runs whatever happens, short of a failure.
    pub fn is_always(&self, node: NodeIx) -> bool {
        self.of[node] == ALWAYS
    }

    /// Whether `first` has certainly run where `second` does.
    pub fn is_certain(&self, first: NodeIx, second: NodeIx) -> bool {
        // What takes too long to find out is not claimed to be missing.
        let mut steps = Steps { left: STEPS, beyond: true };
        self.implies(self.of[second], self.of[first], &mut steps)
    }

    /// The node of which the two need different outcomes, where there is one: they
    /// never both run.
    pub fn excluded_by(&self, first: NodeIx, second: NodeIx) -> Option<NodeIx> {
        let (first, second) = (self.of[first], self.of[second]);
        let common = self.common(first, second);
        let below = self.all[common].depth + 1;
        if self.all[first].depth < below || self.all[second].depth < below {
            return None;
        }
        let condition = |guard: GuardIx| &self.all[self.at_depth(guard, below)].condition;
        match (condition(first), condition(second)) {
            (Condition::Outcome(one, _), Condition::Outcome(other, _)) if one == other => Some(*one),
            _ => None,
        }
    }

    /// Whether an edge is led from an outcome that its node can have.
    pub fn can_be_taken(&self, edge: EdgeIx) -> bool {
        let edge = &self.plan.edges[edge];
        self.plan.nodes[edge.from].handles.is_empty() || self.outcomes[edge.from].has(edge.handle)
    }

    fn of_edge(&mut self, edge: EdgeIx) -> GuardIx {
        let plan = self.plan;
        let edge_plan = &plan.edges[edge];
        let mut guard = self.of[edge_plan.from];
        if !plan.nodes[edge_plan.from].handles.is_empty() {
            guard = self.below(guard, Condition::Outcome(edge_plan.from, edge_plan.handle));
        }
        if edge_plan.when.is_some() {
            guard = self.below(guard, Condition::When(edge));
        }
        guard
    }

    fn below(&mut self, above: GuardIx, condition: Condition) -> GuardIx {
        if let Some(known) = self.known.get(&(above, condition.clone())) {
            return *known;
        }
        let place = self.all.len();
        let (parent, far) = (&self.all[above], &self.all[self.all[above].jump]);
        // Jumps twice as far where the two jumps above were as long as each other.
        let jump = match parent.depth - far.depth == far.depth - self.all[far.jump].depth {
            true => far.jump,
            false => above,
        };
        let nearest_any = if matches!(condition, Condition::Any(_)) { Some(place) } else { parent.nearest_any };
        self.all.push(Guard { above, condition: condition.clone(), depth: parent.depth + 1, jump, nearest_any });
        self.known.insert((above, condition), place);
        place
    }

    /// One of several ways.
    fn any(&mut self, ways: Vec<GuardIx>) -> GuardIx {
        let mut ways = self.merge(ways);
        if (2..=MOST_WAYS).contains(&ways.len()) {
            let mut steps = Steps { left: STEPS_OF_A_NODE, beyond: false };
            let mut place = 0;
            while place < ways.len() {
                let way = ways[place];
                let is_covered = ways.iter().any(|other| *other != way && self.implies(way, *other, &mut steps));
                if is_covered {
                    ways.remove(place);
                } else {
                    place += 1;
                }
            }
        }
        match ways.as_slice() {
            [] => ALWAYS,
            [only] => *only,
            [first, rest @ ..] => {
                let above = rest.iter().fold(*first, |common, way| self.common(common, *way));
                self.below(above, Condition::Any(ways))
            }
        }
    }

    /// Puts the outcomes of one node in place of what stands above them, where they
    /// leave none out.
    fn merge(&self, ways: Vec<GuardIx>) -> Vec<GuardIx> {
        let mut gathered: HashMap<(GuardIx, NodeIx), Vec<GuardIx>> = HashMap::new();
        let mut kept: BTreeSet<GuardIx> = ways.iter().copied().collect();
        let mut new = ways;
        while let Some(way) = new.pop() {
            let Guard { above, condition: Condition::Outcome(node, handle), .. } = &self.all[way] else { continue };
            let outcomes = &self.outcomes[*node];
            if !outcomes.has(*handle) {
                continue;
            }
            let members = gathered.entry((*above, *node)).or_default();
            members.push(way);
            if members.len() == outcomes.ways {
                for member in members.iter() {
                    kept.remove(member);
                }
                if kept.insert(*above) {
                    new.push(*above);
                }
            }
        }
        kept.into_iter().collect()
    }

    fn implies(&self, guard: GuardIx, wanted: GuardIx, steps: &mut Steps) -> bool {
        let Some(left) = steps.left.checked_sub(1) else { return steps.beyond };
        steps.left = left;
        if self.is_above(wanted, guard) {
            return true;
        }
        if let Condition::Any(ways) = &self.all[wanted].condition
            && ways.iter().any(|way| self.implies(guard, *way, steps))
        {
            return true;
        }
        let mut any = self.all[guard].nearest_any;
        while let Some(place) = any {
            let Some(left) = steps.left.checked_sub(1) else { return steps.beyond };
            steps.left = left;
            if let Condition::Any(ways) = &self.all[place].condition
                && ways.iter().all(|way| self.implies(*way, wanted, steps))
            {
                return true;
            }
            any = self.all[self.all[place].above].nearest_any;
        }
        false
    }

    fn is_above(&self, above: GuardIx, guard: GuardIx) -> bool {
        let depth = self.all[above].depth;
        depth <= self.all[guard].depth && self.at_depth(guard, depth) == above
    }

    /// The guard at a depth, at or above one.
    fn at_depth(&self, mut guard: GuardIx, depth: usize) -> GuardIx {
        while self.all[guard].depth > depth {
            let jump = self.all[guard].jump;
            guard = if self.all[jump].depth >= depth { jump } else { self.all[guard].above };
        }
        guard
    }

    /// The deepest guard at or above both.
    fn common(&self, one: GuardIx, other: GuardIx) -> GuardIx {
        let depth = self.all[one].depth.min(self.all[other].depth);
        let (mut one, mut other) = (self.at_depth(one, depth), self.at_depth(other, depth));
        while one != other {
            let (a, b) = (&self.all[one], &self.all[other]);
            (one, other) = if a.jump == b.jump { (a.above, b.above) } else { (a.jump, b.jump) };
        }
        one
    }
}

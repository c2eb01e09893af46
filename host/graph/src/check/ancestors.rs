//! Ancestors: whether one node comes before another.
//!
//! Asked of many pairs at once: one walk over the graph answers for 256 of the
//! nodes that are asked about, so that neither time nor memory grows with the
//! square of the graph.

use std::collections::HashMap;

use super::flow::Flow;
use crate::plan::{NodeIx, Plan};

/// Words of a mask; each holds 64 of the nodes that are asked about.
const WORDS: usize = 4;

/// For each pair, whether forward edges lead from the first node to the second.
pub(crate) fn come_before(plan: &Plan, flow: &Flow, pairs: &[(NodeIx, NodeIx)]) -> Vec<bool> {
    let mut answers = vec![false; pairs.len()];
    let mut open: Vec<usize> = Vec::new();
    for (place, (first, second)) in pairs.iter().enumerate() {
        if flow.rank[*first] >= flow.rank[*second] {
            continue;
        }
        // Most nodes look at the one right before them.
        match flow.incoming(plan, *second).take(8).any(|edge| plan.edges[edge].from == *first) {
            true => answers[place] = true,
            false => open.push(place),
        }
    }
    open.sort_by_key(|place| flow.rank[pairs[*place].0]);
    let mut rest = open.as_slice();
    while !rest.is_empty() {
        let mut bits: HashMap<NodeIx, usize> = HashMap::new();
        let mut taken = 0;
        for place in rest {
            let bit = bits.len();
            if bits.len() == WORDS * 64 && !bits.contains_key(&pairs[*place].0) {
                break;
            }
            bits.entry(pairs[*place].0).or_insert(bit);
            taken += 1;
        }
        let (now, later) = rest.split_at(taken);
        let masks = masks(plan, flow, &bits);
        for place in now {
            let (first, second) = pairs[*place];
            let bit = bits[&first];
            answers[*place] = masks[second][bit / 64] & (1 << (bit % 64)) != 0;
        }
        rest = later;
    }
    answers
}

/// Of each node, which of those that have a bit come before it.
fn masks(plan: &Plan, flow: &Flow, bits: &HashMap<NodeIx, usize>) -> Vec<[u64; WORDS]> {
    let mut masks = vec![[0; WORDS]; plan.nodes.len()];
    let first = bits.keys().map(|node| flow.rank[*node]).min().unwrap_or(0);
    for &node in &flow.order[first..] {
        let mut mask = [0; WORDS];
        for edge in flow.incoming(plan, node) {
            let before = plan.edges[edge].from;
            mask.iter_mut().zip(masks[before]).for_each(|(word, more)| *word |= more);
            if let Some(bit) = bits.get(&before) {
                mask[bit / 64] |= 1 << (bit % 64);
            }
        }
        masks[node] = mask;
    }
    masks
}

//! Outputs: what nodes give that the graph itself makes, field by field. What agents
//! and plugins give is theirs.

use crate::plan::{Kind, NodeIx, Plan};
use crate::types::Type;

type Fields = &'static [(&'static str, Type)];

const DETACHED: Fields = &[("run_id", Type::Text)];
const GROUP: Fields = &[("group_id", Type::Text), ("run_ids", Type::List)];
const JOIN: Fields = &[
    ("status", Type::Text),
    ("values", Type::List),
    ("outputs", Type::List),
    ("success_count", Type::Int),
    ("failure_count", Type::Int),
    ("cancelled_count", Type::Int),
    ("running_count", Type::Int),
    ("complete", Type::Bool),
    ("reason", Type::Text),
    ("mode", Type::Text),
    ("group_id", Type::Text),
    ("decided_at_seq", Type::Int),
];
const ROUTER: Fields = &[("route", Type::Text), ("rationale", Type::Text)];
const JUDGE: Fields = &[("outcome", Type::Text), ("score", Type::Any), ("rationale", Type::Text)];
const REPLAN: Fields = &[
    ("action", Type::Text),
    ("failed", Type::Int),
    ("completed", Type::Int),
    ("replans_used", Type::Int),
    ("max_replans", Type::Int),
    ("reason", Type::Any),
    ("plan", Type::Any),
    ("outputs", Type::List),
    ("values", Type::List),
];
const CANCEL: Fields = &[("cancelled_count", Type::Int)];

/// The fields of a node's output; none where nobody knows them before it runs.
pub(super) fn of(kind: &Kind) -> Option<Fields> {
    match kind {
        Kind::SpawnRun { wait: false, .. } => Some(DETACHED),
        Kind::SpawnGroup { .. } | Kind::Map { .. } => Some(GROUP),
        Kind::Join { .. } => Some(JOIN),
        Kind::Router(router) => router.plugin.is_none().then_some(ROUTER),
        Kind::Judge(judge) => judge.plugin.is_none().then_some(JUDGE),
        Kind::Replan(_) => Some(REPLAN),
        Kind::CancelSubtree { .. } => Some(CANCEL),
        Kind::SpawnRun { wait: true, .. } | Kind::AgentCall { .. } | Kind::Output(_) => None,
    }
}

/// The type of an output of a node or of a field of one, and how many parts of the path
/// lead there.
pub(super) fn type_of(plan: &Plan, path: &[String]) -> Option<(Type, usize)> {
    if let [nodes, _, error, rest @ ..] = path
        && nodes == "nodes"
        && error == "error"
    {
        return Some(if rest.is_empty() { (Type::Map, 3) } else { (Type::Text, 4) });
    }
    let (node, rest) = looked_at(plan, path)?;
    let fields = of(&plan.nodes[node].kind)?;
    let Some(field) = rest.first() else { return Some((Type::Map, 3)) };
    let (_, kind) = fields.iter().find(|(name, _)| name == field)?;
    Some((*kind, 4))
}

/// The node whose output a path leads to, and what of it.
pub(super) fn looked_at<'p>(plan: &Plan, path: &'p [String]) -> Option<(NodeIx, &'p [String])> {
    match path {
        [nodes, id, output, rest @ ..] if nodes == "nodes" && output == "output" => Some((plan.find(id)?, rest)),
        _ => None,
    }
}

//! References: what expressions look at is there when they are computed.

use super::sites::{self, OF_MAP, OF_REPLAN, Owner, Site};
use super::{Graph, outputs};
use crate::diagnostic::{Diagnostic, Diagnostics, most_alike};
use crate::plan::{Kind, NodeIx};
use crate::source::Span;
use crate::types::{self, Look};

/// What is known of a node.
const NODE_FIELDS: [&str; 3] = ["status", "output", "error"];

/// What is known of a failure.
const ERROR_FIELDS: [&str; 2] = ["code", "message"];

/// What is known of the graph's run.
const RUN_FIELDS: [&str; 5] = ["run_id", "tenant", "trace_id", "depth", "seed"];

/// For so many unknown nodes it is looked for what was meant: that takes as long as
/// the graph is large.
const MOST_GUESSES: usize = 20;

/// A look at a node, which is checked once all are known.
struct Pending {
    node: NodeIx,
    /// The node that computes the expression, or the one that its edge leads from.
    by: NodeIx,
    is_edge: bool,
    span: Span,
    /// Whether it is certain that there is something to look at, once the node is
    /// settled.
    is_guarded: bool,
}

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    let mut pending = Vec::new();
    let mut guesses = 0;
    sites::each(graph.plan, |site| {
        for look in site.expression.looks() {
            let span = site.place(graph.source, look.at);
            match look.path[0].as_str() {
                "nodes" => match graph.plan.find(&look.path[1]) {
                    Some(node) => {
                        field(&look.path[1..], &NODE_FIELDS, "a node", span, found);
                        if look.path.get(2).is_some_and(|field| field == "error") {
                            field(&look.path[2..], &ERROR_FIELDS, "an error", span, found);
                        }
                        output(graph, look, span, found);
                        pending.push(look_at(graph, &site, look, node, span));
                    }
                    None if graph.plan.unread.contains(&look.path[1]) => {}
                    None => {
                        guesses += 1;
                        let problem = unknown_node(graph, &look.path[1], span, guesses <= MOST_GUESSES);
                        found.push(match with_dashes(graph, site.expression.text(), look) {
                            Some(id) => problem.hint(format!("an id with `-` goes in brackets: `nodes[\"{id}\"]`")),
                            None => problem,
                        });
                    }
                },
                "run" => field(&look.path, &RUN_FIELDS, "the run", span, found),
                "input" => {}
                name if site.locals.contains(&name) || types::NAMES.contains(&name) => {}
                name => found.push(unknown_name(graph, &site, name, span)),
            }
        }
    });
    let pairs: Vec<(NodeIx, NodeIx)> = pending.iter().map(|one: &Pending| (one.node, one.by)).collect();
    for (one, comes_before) in pending.iter().zip(graph.come_before(&pairs)) {
        if let Some(problem) = order(graph, one, comes_before) {
            found.push(problem);
        }
    }
}

fn look_at(graph: &Graph<'_>, site: &Site<'_>, look: &Look, node: NodeIx, span: Span) -> Pending {
    let (by, is_edge) = match site.owner {
        Owner::Node(by) => (by, false),
        Owner::Edge(edge) => (graph.plan.edges[edge].from, true),
    };
    // Whoever has asked for the status, or whether there is an output, knows: of this
    // node, or of one on another branch, in whose place this one has run.
    let asks = |other: &Look| {
        let [root, id, ..] = other.path.as_slice() else { return false };
        let is_question = other.has || other.path.get(2).is_some_and(|field| field == "status");
        let other = graph.plan.find(id).filter(|_| root == "nodes" && is_question);
        other.is_some_and(|other| other == node || graph.guards.excluded_by(other, node).is_some())
    };
    let looks_inside = look.path.get(2).is_some_and(|field| field == "output");
    let is_guarded = !looks_inside || site.expression.looks().iter().any(asks);
    Pending { node, by, is_edge, span, is_guarded }
}

/// Whether a node has run when an expression looks at it.
fn order(graph: &Graph<'_>, one: &Pending, comes_before: bool) -> Option<Diagnostic> {
    let Pending { node, by, is_edge, span, is_guarded } = *one;
    let (name, of) = (graph.id(node), graph.id(by));
    if is_edge && node == by || comes_before && (is_guarded || graph.guards.is_certain(node, by)) {
        return None;
    }
    let related = |problem: Diagnostic| problem.related(graph.plan.nodes[node].span, format!("`{name}` is here"));
    if comes_before {
        let message = format!("`{name}` may have been skipped when `{of}` runs, and then has no output");
        let hint = format!("ask first: `has(nodes.{name}.output) ? nodes.{name}.output : null`");
        return Some(related(Diagnostic::warning("may_not_have_run", span, message).hint(hint)));
    }
    if graph.flow.knots[node] == graph.flow.knots[by] && (node != by || is_in_loop(graph, node)) {
        if is_guarded {
            return None;
        }
        let message = format!("`{name}` has not run when `{of}` runs for the first time: it comes later in the loop");
        let hint = format!("ask first: `has(nodes.{name}.output) ? nodes.{name}.output : null`");
        return Some(related(Diagnostic::warning("may_not_have_run", span, message).hint(hint)));
    }
    if graph.is_loose[by] && node != by {
        return None;
    }
    let (why, hint) = graph.why_not_before(node, by);
    let message = format!("`{name}` cannot have run when `{of}` does: {why}");
    Some(related(Diagnostic::error("node_cannot_have_run", span, message).hint(hint)))
}

/// Whether a node is run again by a replan.
fn is_in_loop(graph: &Graph<'_>, node: NodeIx) -> bool {
    let edges = |list: &[usize], is_out: bool| {
        list.iter().any(|edge| {
            let edge = &graph.plan.edges[*edge];
            let other = if is_out { edge.to } else { edge.from };
            graph.flow.in_one_loop(node, other)
        })
    };
    edges(&graph.plan.nodes[node].outgoing, true) && edges(&graph.plan.nodes[node].incoming, false)
}

fn field(path: &[String], known: &[&str], what: &str, span: Span, found: &mut Diagnostics) {
    let Some(name) = path.get(1).filter(|name| !known.contains(&name.as_str())) else { return };
    let hint = match most_alike(name, known.iter().copied()) {
        Some(other) => format!("did you mean `{other}`?"),
        None if what == "a node" => {
            format!("what the node gave is below its output: `nodes.{}.output.{name}`", path[0])
        }
        None => format!("it has `{}`", known.join("`, `")),
    };
    let message = format!("{what} has no field `{name}`");
    found.push(Diagnostic::error("unknown_field", span, message).hint(hint));
}

/// What a node gives that the graph itself makes has certain fields.
fn output(graph: &Graph<'_>, look: &Look, span: Span, found: &mut Diagnostics) {
    let Some((node, [name, ..])) = outputs::looked_at(graph.plan, &look.path) else { return };
    let kind = &graph.plan.nodes[node].kind;
    let Some(fields) = outputs::of(kind) else { return };
    let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
    if known.contains(&name.as_str()) {
        return;
    }
    let message = format!("`{}` is a {}, and its output has no field `{name}`", graph.id(node), kind.name());
    let problem = Diagnostic::error("unknown_field", span, message);
    found.push(problem.hint(match kind {
        Kind::SpawnGroup { .. } | Kind::Map { .. } => {
            "what its members gave is in the output of the `join` that waits for them, as `values`".to_owned()
        }
        _ => match most_alike(name, known.iter().copied()) {
            Some(other) => format!("did you mean `{other}`?"),
            None => format!("it has `{}`", known.join("`, `")),
        },
    }));
}

fn unknown_node(graph: &Graph<'_>, name: &str, span: Span, guess: bool) -> Diagnostic {
    let problem = Diagnostic::error("unknown_node", span, format!("there is no node `{name}`"));
    let other = guess.then(|| most_alike(name, graph.plan.nodes.iter().map(|node| &*node.id))).flatten();
    match other {
        Some(other) => problem.hint(format!("did you mean `{other}`?")),
        None => problem.hint("name a node of this graph"),
    }
}

/// The node that was meant by what CEL reads as a subtraction.
fn with_dashes<'g>(graph: &'g Graph<'_>, text: &str, look: &Look) -> Option<&'g str> {
    let end = look.at.0 + look.at.1;
    let from = text.get(end.checked_sub(look.path[1].len())?..)?;
    let ids = graph.plan.nodes.iter().map(|node| &*node.id);
    ids.filter(|id| id.contains('-') && from.starts_with(*id)).max_by_key(|id| id.len())
}

fn unknown_name(graph: &Graph<'_>, site: &Site<'_>, name: &str, span: Span) -> Diagnostic {
    if OF_MAP.contains(&name) {
        let problem = Diagnostic::error("unknown_name", span, format!("`{name}` is known only in the runs of a `map`"));
        return problem.hint("it can be used in the `input` of the `map`, and not in its `over`");
    }
    if OF_REPLAN.contains(&name) {
        let message = format!("`{name}` is known only in the `when` of a `replan`");
        return Diagnostic::error("unknown_name", span, message).hint("count the outputs of a join");
    }
    let problem = Diagnostic::error("unknown_name", span, format!("there is no `{name}` here"));
    if graph.plan.find(name).is_some() {
        return problem.hint(format!("what the node gave is `nodes.{name}.output`"));
    }
    if matches!(name, "True" | "False" | "None" | "nil" | "undefined") {
        return problem.hint("CEL writes `true`, `false` and `null`");
    }
    let known = ["input", "nodes", "run"].into_iter().chain(site.locals.iter().copied());
    match most_alike(name, known) {
        Some(other) => problem.hint(format!("did you mean `{other}`?")),
        None => problem.hint(format!("text goes in quotes: `\"{name}\"`; data is in `input`, `nodes` and `run`")),
    }
}

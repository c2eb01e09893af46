//! Results: what expressions do with what the graph itself makes, and what they come to:
//! conditions are booleans, scores are numbers, and a map goes over a list.

use super::sites::{self, Wants};
use super::{Graph, outputs};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::plan::Kind;
use crate::types::Type;

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    constant(graph, found);
    let known = |path: &[String]| outputs::type_of(graph.plan, path);
    sites::each(graph.plan, |site| {
        let mut kind = site.expression.kind();
        if site.expression.looks().iter().any(|look| known(&look.path).is_some()) {
            let reading = site.expression.read_with(&known);
            kind = reading.kind;
            for doubt in reading.doubts.into_iter().filter(|doubt| !site.expression.doubts().contains(doubt)) {
                let span = doubt.at.map_or(site.span, |at| site.place(graph.source, at));
                let mut problem = Diagnostic::error("type_error", span, doubt.message);
                problem.hint = doubt.hint;
                found.push(problem);
            }
        }
        let (fits, message, hint) = match site.wants {
            Wants::Anything => return,
            Wants::Truth => (kind.can_be(Type::Bool), "a condition is a boolean", "compare it: `… == …`, `… > …`"),
            Wants::Number => (kind.can_be_number(), "a score is a number", "give a number, such as `1.0`"),
            Wants::List => (kind.can_be(Type::List), "a `map` goes over a list", "give a list, such as `input.items`"),
        };
        if !fits {
            let problem = Diagnostic::error("type_error", site.span, format!("{message}, not {}", kind.name()));
            found.push(problem.hint(hint));
        }
    });
}

/// What the graph gives is known before it runs where its only output is written out.
fn constant(graph: &Graph<'_>, found: &mut Diagnostics) {
    let mut outputs = graph.plan.nodes.iter().filter_map(|node| match &node.kind {
        Kind::Output(output) if output.error.is_none() => Some((node, output)),
        _ => None,
    });
    if let (Some((node, output)), None, Some(schema)) =
        (outputs.next(), outputs.next(), &graph.plan.settings.output_schema)
        && let Some(value) = output.value.as_plain()
        && let Err(why) = schema.check(value)
    {
        let message = format!("what `{}` gives does not fit the graph's `output_schema`: {why}", node.id);
        found.push(Diagnostic::error("output_schema", node.span, message).hint("change one of them"));
    }
}

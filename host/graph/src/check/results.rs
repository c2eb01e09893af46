//! Results: conditions are booleans, scores are numbers, and a map goes over a list.

use super::sites::{self, Wants};
use super::{Graph, outputs};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::types::Type;

pub(super) fn check(graph: &Graph<'_>, found: &mut Diagnostics) {
    sites::each(graph.plan, |site| {
        let known = site.expression.path().and_then(|path| outputs::type_of(graph.plan, path));
        let kind = known.unwrap_or(site.expression.kind());
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

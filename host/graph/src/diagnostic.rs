//! Diagnostics: what is wrong with a graph, where, and how to mend it.

use std::fmt;

use serde::Serialize;

use crate::source::{Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The graph cannot be run.
    Error,
    /// It can, and may do something else than was meant.
    Warning,
}

/// One problem of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, lower snake case: `unknown_node`, `handle_unwired`, …
    pub code: &'static str,
    /// What is wrong, in one sentence without its place.
    pub message: String,
    pub span: Span,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that have to do with it, and what they are.
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), span, hint: None, related: Vec::new() }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn related(mut self, span: Span, what: impl Into<String>) -> Self {
        self.related.push((span, what.into()));
        self
    }
}

/// Problems, in the order they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
}

/// So many errors are kept, and so many warnings; a file with more is wrong from
/// the ground up.
const MOST: usize = 1_000;

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let kept = match diagnostic.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *kept += 1;
        if *kept <= MOST {
            self.all.push(diagnostic);
        }
    }

    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether there is a problem of this kind.
    pub(crate) fn has(&self, code: &str) -> bool {
        self.all.iter().any(|diagnostic| diagnostic.code == code)
    }

    /// In the order of the file, errors before warnings at one place, each once.
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.all
            .sort_by(|a, b| (a.span, a.severity, a.code, &a.message).cmp(&(b.span, b.severity, b.code, &b.message)));
        self.all.dedup();
        self.all
    }
}

/// A problem as one line: `file:line:column: error[code]: message`.
pub struct OneLine<'a>(pub &'a Source, pub &'a Diagnostic);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(source, diagnostic) = self;
        let at = source.position(diagnostic.span);
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let (name, Diagnostic { code, message, .. }) = (source.name(), diagnostic);
        write!(f, "{name}:{}:{}: {severity}[{code}]: {message}", at.line, at.column)
    }
}

/// The most alike of several names, where one is alike enough to be what was
/// meant.
pub(crate) fn most_alike<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let len = wrong.chars().count();
    // Something of it has to be left.
    let most = (len.max(3) / 3).min(len.saturating_sub(1));
    names
        .into_iter()
        .filter(|name| name.len().abs_diff(wrong.len()) <= 4)
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(far, _)| *far <= most)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_told_from_another_word() {
        let names = ["target", "timeout_ms", "input"];
        assert_eq!(most_alike("tagret", names), Some("target"));
        assert_eq!(most_alike("timeout_sm", names), Some("timeout_ms"));
        assert_eq!(most_alike("inputs", names), Some("input"));
        assert_eq!(most_alike("retry", names), None);
        assert_eq!(most_alike("", names), None);
    }

    #[test]
    fn problems_come_in_the_order_of_the_file_and_once() {
        let mut all = Diagnostics::default();
        let at = |start| Span { start, len: 1 };
        all.push(Diagnostic::warning("cycle", at(5), "later"));
        all.push(Diagnostic::error("syntax", at(1), "first"));
        all.push(Diagnostic::error("syntax", at(1), "first"));
        assert!(all.has_errors());
        let codes: Vec<_> = all.sorted().into_iter().map(|one| one.code).collect();
        assert_eq!(codes, ["syntax", "cycle"]);
    }
}

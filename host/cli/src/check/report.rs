//! Reports: the problems of a file as JSON. Stable: tools depend on it.

use pleach_engine::graph::Compiled;
use pleach_engine::graph::diagnostic::{Diagnostic, Severity};
use pleach_engine::graph::source::{Source, Span};
use serde::Serialize;

/// More of a file is not repeated.
const MAX_TEXT: usize = 1_000;

#[derive(Serialize)]
pub(super) struct Report {
    file: String,
    /// Whether there is no error.
    pub ok: bool,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    severity: Severity,
    code: &'static str,
    message: String,
    file: String,
    #[serde(flatten)]
    place: Place,
    hint: Option<String>,
    related: Vec<Related>,
}

#[derive(Serialize)]
struct Related {
    message: String,
    #[serde(flatten)]
    place: Place,
}

/// Lines and columns from 1, the columns in characters; offset and length in bytes.
#[derive(Serialize)]
struct Place {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    offset: u32,
    length: u32,
    text: String,
}

impl Report {
    pub fn of(compiled: &Compiled) -> Self {
        let source = &compiled.source;
        let problems: Vec<Problem> = compiled.problems.iter().map(|problem| Problem::of(source, problem)).collect();
        let ok = problems.iter().all(|problem| problem.severity != Severity::Error);
        Self { file: source.name().to_owned(), ok, problems }
    }

    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }
}

impl Problem {
    fn of(source: &Source, problem: &Diagnostic) -> Self {
        let Diagnostic { severity, code, message, span, hint, related } = problem;
        let related =
            related.iter().map(|(span, what)| Related { message: what.clone(), place: Place::of(source, *span) });
        Self {
            severity: *severity,
            code,
            message: message.clone(),
            file: source.name().to_owned(),
            place: Place::of(source, *span),
            hint: hint.clone(),
            related: related.collect(),
        }
    }
}

impl Place {
    fn of(source: &Source, span: Span) -> Self {
        let (from, to) = (source.position(span), source.position(Span { start: span.start + span.len, len: 0 }));
        let text = source.slice(span);
        let cut = text.floor_char_boundary(MAX_TEXT);
        Self {
            line: from.line,
            column: from.column,
            end_line: to.line,
            end_column: to.column,
            offset: span.start,
            length: span.len,
            text: text[..cut].to_owned(),
        }
    }
}

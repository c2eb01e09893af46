//! Pictures of problems, as compilers draw them: what is wrong, the line with the
//! part that is meant underlined, and how to mend it.
//!
//! Drawn with `annotate-snippets`, which is what rustc's own look comes from. It is
//! given the lines that matter and no more: with the whole of a large file, each
//! picture would take time in proportion to it.

use std::io::IsTerminal as _;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use pleach_engine::graph::diagnostic::{Diagnostic, Severity};
use pleach_engine::graph::source::{Source, Span};

use crate::text;

/// The longest line that is given to the renderer as a whole, in bytes; it shows
/// what fits a terminal.
const LONGEST_LINE: usize = 4 << 10;

/// What is shown before and after the part that is meant, in a longer line.
const AROUND: usize = 60;

/// The longest part that is shown of a longer line.
const LONGEST_SHOWN: usize = 200;

/// Other places of one problem that are shown.
const MOST_RELATED: usize = 4;

pub(super) struct Picture {
    renderer: Renderer,
}

impl Picture {
    /// In colour on a terminal, unless `NO_COLOR` is set.
    pub fn for_stdout() -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let renderer = match std::io::stdout().is_terminal() && !is_unwanted {
            true => Renderer::styled(),
            false => Renderer::plain(),
        };
        Self { renderer }
    }

    /// Without colour.
    pub fn plain() -> Self {
        Self { renderer: Renderer::plain() }
    }

    pub fn draw(&self, source: &Source, problem: &Diagnostic) -> String {
        let (level, kind) = match problem.severity {
            Severity::Error => (Level::ERROR, AnnotationKind::Primary),
            Severity::Warning => (Level::WARNING, AnnotationKind::Primary),
        };
        let title = level.primary_title(text::block(&problem.message)).id(problem.code);
        let mut group = title.elements(place(source, problem.span, kind, None));
        for (span, what) in problem.related.iter().take(MOST_RELATED) {
            group = group.elements(place(source, *span, AnnotationKind::Context, Some(what)));
        }
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.message(text::block(hint)));
        }
        self.renderer.render(&[group])
    }
}

/// Where it is, and the line there; nothing of a file that could not be read.
fn place<'a>(source: &'a Source, span: Span, kind: AnnotationKind, what: Option<&'a String>) -> Vec<Element<'a>> {
    if source.text().is_empty() {
        return Vec::new();
    }
    let at = source.position(span);
    let (shown, part) = window(source.text(), span);
    let mut annotation = kind.span(part);
    if let Some(what) = what {
        annotation = annotation.label(text::line(what));
    }
    let snippet = Snippet::source(shown.text).line_start(at.line).annotation(annotation);
    let name = text::line(source.name());
    match shown.is_cut {
        false => vec![snippet.path(name).into()],
        // What is shown does not know its column.
        true => vec![Origin::path(name).line(at.line).char_column(at.column).into(), snippet.into()],
    }
}

/// A line, or the part of it that is shown.
struct Shown<'a> {
    text: &'a str,
    is_cut: bool,
}

/// The line in which a part begins, as far as it is shown, and the part in it.
fn window(text: &str, span: Span) -> (Shown<'_>, Range<usize>) {
    let start = (span.start as usize).min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = (start + span.len as usize).min(line_end);
    let (mut from, mut to) = (line_start, line_end);
    let is_cut = to - from > LONGEST_LINE;
    if is_cut {
        from = text.floor_char_boundary(start.saturating_sub(AROUND).max(from));
        to = text.floor_char_boundary((start + AROUND).max(end.min(start + LONGEST_SHOWN)).min(to));
    }
    let end = end.clamp(start, to);
    (Shown { text: &text[from..to], is_cut }, start - from..end - from)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn draw(text: &str, problem: &Diagnostic) -> String {
        Picture { renderer: Renderer::plain() }.draw(&Source::new("g.yaml", text), problem)
    }

    fn span(text: &str, part: &str) -> Span {
        Span { start: text.find(part).expect("it is there") as u32, len: part.len() as u32 }
    }

    #[test]
    fn a_problem_is_drawn_with_its_line_and_the_others() {
        let text = "a: 1\nöö: wröng # x\nb: 2\n";
        let problem = Diagnostic::error("wrong_type", span(text, "wröng"), "expected a number")
            .hint("write 1")
            .related(span(text, "b"), "as here");
        expect![[r#"
            error[wrong_type]: expected a number
             --> g.yaml:2:5
              |
            2 | öö: wröng # x
              |     ^^^^^
              |
             ::: g.yaml:3:1
              |
            3 | b: 2
              | - as here
              |
              = help: write 1"#]]
        .assert_eq(&draw(text, &problem));
        expect![[r#"
            warning[at_top]: nothing is here
             --> g.yaml:1:1
              |
            1 | a: 1
              | ^"#]]
        .assert_eq(&draw(text, &Diagnostic::warning("at_top", Span::default(), "nothing is here")));
    }

    #[test]
    fn of_a_long_line_only_the_part_that_matters_is_shown() {
        let text = format!("{{\"a\": \"{}\", \"b\": wrong, \"c\": \"{}\"}}", "ö".repeat(100_000), "x".repeat(100_000));
        let drawn = draw(&text, &Diagnostic::error("wrong_type", span(&text, "wrong"), "expected a number"));
        assert!(drawn.len() < 1_000 && drawn.contains("g.yaml:1:100016") && drawn.contains("^^^^^"), "{drawn}");
    }

    #[test]
    fn what_a_file_says_cannot_reach_the_terminal() {
        let text = "a: \u{1b}[31mred\n";
        let drawn = draw(text, &Diagnostic::error("x", span(text, "red"), "there is no `\u{1b}[0m`"));
        assert!(!drawn.contains('\u{1b}'), "{drawn:?}");
    }
}

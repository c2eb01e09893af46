//! What a merge leaves behind where it could not decide.
//!
//! A lone row of equal signs underlines headings, and a lone row of arrows
//! quotes mail, so a conflict is told by its opening marker and by the order of
//! the ones that follow.

use crate::finding::{Findings, Severity};
use crate::input::Settings;
use crate::lexer::Class;
use crate::source::Source;

pub const ID: &str = "conflict-marker";

pub fn check(source: &Source, _: &Settings, findings: &mut Findings) {
    let mut opened: Option<usize> = None;
    let mut divided = false;
    let mut fenced = false;
    for (number, line) in source.lines() {
        if source.language.is_markdown() && line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        if is_marker(line, '<') {
            if let Some(first) = opened {
                alone(source, first, findings);
            }
            (opened, divided) = (Some(number), false);
        } else if opened.is_some() && line == "=======" {
            divided = true;
        } else if is_marker(line, '>') {
            match opened.take() {
                Some(first) if divided => {
                    let message = "a merge was not resolved here: take one side or join both, and delete the markers";
                    findings.over((first, number), ID, severity(source, first), message);
                }
                Some(first) => alone(source, first, findings),
                None => {}
            }
        }
    }
    if let Some(first) = opened {
        alone(source, first, findings);
    }
}

fn alone(source: &Source, line: usize, findings: &mut Findings) {
    // Prose may show one marker; code does not compile with it.
    if source.language.is_code() {
        findings.at(line, ID, severity(source, line), "a marker of a merge was left behind: delete it");
    }
}

/// Within a string it may be meant.
fn severity(source: &Source, line: usize) -> Severity {
    let (start, _) = source.span(line);
    if source.classes[start] == Class::Text { Severity::Info } else { Severity::Error }
}

fn is_marker(line: &str, sign: char) -> bool {
    let rest = line.trim_start_matches(sign);
    line.len() - rest.len() == 7 && (rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::found;

    /// `<`, `=` and `>` at the start of a line stand for markers, which this
    /// file must not have itself.
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let marked = |line: &str| match line.chars().next() {
            Some(sign @ ('<' | '>')) => format!("{}{}", sign.to_string().repeat(7), &line[1..]),
            Some('=') => "=".repeat(7),
            _ => line.to_owned(),
        };
        let text: Vec<String> = text.split('\n').map(marked).collect();
        let found = found(check, path, &text.join("\n"));
        let found: Vec<_> = found.iter().map(|f| f.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn a_conflict_is_one_finding() {
        check_text("a.rs", "x\n< HEAD\na\n=\nb\n> branch\ny", &["2 Error"]);
        check_text("a.md", "< HEAD\na\n=\nb\n>\n< HEAD\n=\n> c", &["1 Error", "6 Error"]);
    }

    #[test]
    fn a_marker_alone_counts_in_code_only() {
        check_text("a.rs", "< HEAD\nx", &["1 Error"]);
        check_text("a.md", "< HEAD\nx", &[]);
        check_text("a.rs", "> mail", &[]);
        check_text("a.md", "Heading\n=\n", &[]);
    }

    #[test]
    fn an_example_in_prose_or_in_a_string_is_meant() {
        check_text("a.md", "```\n< HEAD\na\n=\nb\n> c\n```\n", &[]);
        check_text("a.py", "x = '''\n< HEAD\na\n=\nb\n> c\n'''\n", &["2 Info"]);
    }
}

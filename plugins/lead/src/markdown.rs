//! The report as Markdown, for people.
//!
//! What it shows came out of the reviewed tree, so none of it may turn into a
//! link, an image or HTML: every character with a meaning is escaped.

use std::fmt::Write as _;

use crate::finding::{Finding, Severity};
use crate::plain;
use crate::report::Report;
use crate::verdict::Outcome;

/// The most shards that are listed as not reviewed.
const MAX_UNFINISHED: usize = 50;

/// The report with the first `listed` of its findings.
pub fn render(report: &Report, listed: usize) -> String {
    let mut out = String::from("# Code review\n\n");
    put(&mut out, format_args!("{}\n", text(&report.came_to())));
    if let Some(verdict) = &report.verdict {
        let word = match verdict.outcome {
            Outcome::Pass => "passed",
            Outcome::Fail => "failed",
        };
        let score = verdict.score.map(|score| format!(", score {score:.2}")).unwrap_or_default();
        put(&mut out, format_args!("**Verdict: {word}**{score}. {}\n", text(&plain::line(&verdict.rationale, 2_000))));
    }
    counts(&mut out, report);
    for severity in Severity::ALL {
        findings(&mut out, severity, &report.findings[..listed]);
    }
    match report.left_out(listed) {
        0 => {}
        rest => put(&mut out, format_args!("{} more findings, of the least severity, are not listed here.\n", rest)),
    }
    not_reviewed(&mut out, report);
    out
}

fn counts(out: &mut String, report: &Report) {
    if report.counts.by_rule.is_empty() {
        return;
    }
    put(out, format_args!("| rule | findings |\n|---|---:|"));
    let mut rules: Vec<(&String, &u64)> = report.counts.by_rule.iter().collect();
    rules.sort_by_key(|(rule, count)| (std::cmp::Reverse(**count), *rule));
    for (rule, count) in rules {
        put(out, format_args!("| {} | {count} |", code(rule)));
    }
    out.push('\n');
}

fn findings(out: &mut String, severity: Severity, all: &[Finding]) {
    let those: Vec<&Finding> = all.iter().filter(|finding| finding.severity == severity).collect();
    if those.is_empty() {
        return;
    }
    let heading = match severity {
        Severity::Critical => "Critical",
        Severity::Error => "Errors",
        Severity::Warning => "Warnings",
        Severity::Info => "Notes",
    };
    put(out, format_args!("## {heading}\n\n| place | rule | message |\n|---|---|---|"));
    for finding in those {
        let message = text(&plain::line(&finding.message, 500));
        put(out, format_args!("| {} | {} | {message} |", code(&finding.place()), code(&finding.rule)));
    }
    out.push('\n');
}

fn not_reviewed(out: &mut String, report: &Report) {
    if report.unfinished().next().is_none() && report.not_reviewed.is_empty() && report.notes.is_empty() {
        return;
    }
    out.push_str("## Not reviewed, and other notes\n\n");
    for shard in report.unfinished().take(MAX_UNFINISHED) {
        let why = match &shard.error {
            Some(error) => format!("{} ({})", text(&plain::line(&error.message, 300)), code(&error.code)),
            None => "it did not end".to_owned(),
        };
        let files = plain::count(shard.files as u64, "file");
        put(out, format_args!("* Shard {} ({files} from {}): {why}", shard.shard, code(&shard.first)));
    }
    for (reason, left_out) in report.not_reviewed.by_reason() {
        let shown: Vec<String> = left_out.paths.iter().take(5).map(|path| code(path)).collect();
        let more = if left_out.count > shown.len() as u64 { ", …" } else { "" };
        put(
            out,
            format_args!("* {}: {} ({}{more})", text(&plain::line(reason, 100)), left_out.count, shown.join(", ")),
        );
    }
    for note in &report.notes {
        put(out, format_args!("* {}", text(&plain::line(note, 500))));
    }
}

fn put(out: &mut String, line: std::fmt::Arguments) {
    // Writing to a string does not fail.
    writeln!(out, "{line}").unwrap_or_default();
}

/// Text in which nothing is markup but pairs of backticks, which are how a
/// reviewer quotes.
fn text(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // An even number of parts has a backtick without its fellow, and between two
    // that touch there is nothing to quote.
    let quotes = parts.len() % 2 == 1 && parts.iter().skip(1).step_by(2).all(|part| !part.trim().is_empty());
    if !quotes {
        return escaped(text);
    }
    let parts = parts.iter().enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { code(part) } else { escaped(part) }).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_[]<>|~&#".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    // What looks like an address is made a link even without any markup.
    out.replace("://", "\\://").replace("www.", "www\\.")
}

/// A code span that fits into a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", plain::line(text, 300).replace('`', "'").replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn findings_are_grouped_by_severity_and_the_rest_is_told() {
        let markdown = render(&fixture::report(), 2);
        assert!(markdown.contains("**Verdict: failed**, score 0.50. too much\n"), "{markdown}");
        assert!(markdown.contains("## Critical\n\n| place | rule | message |\n|---|---|---|\n| `repo/src/a b.rs:3` |"));
        assert!(markdown.contains("## Errors") && !markdown.contains("## Warnings") && !markdown.contains("## Notes"));
        assert!(markdown.contains("2 more findings, of the least severity"));
        assert!(markdown.contains("| `todo` | 2 |\n"));
        assert!(markdown.contains("* Shard 1 (5 files from `repo/src/`): it hit the wall (`trap`)"));
        assert!(markdown.contains("* binary: 3 (`repo/x.png`, …)") && markdown.contains("* A note."));
    }

    #[test]
    fn nothing_from_the_tree_is_markup() {
        let markdown = render(&fixture::report(), 3);
        assert!(markdown.contains("| a key: `AKIA…` \\| \\<b\\> |"), "{markdown}");
        assert_eq!(text("![x](http://y) &lt; www.z"), "!\\[x\\](http\\://y) \\&lt; www\\.z");
        assert_eq!((text("a `b"), text("``a``")), ("a \\`b".to_owned(), "\\`\\`a\\`\\`".to_owned()));
        assert_eq!(text("a `<b>|` c"), "a `<b>\\|` c");
        assert_eq!(code("a|b`c\nd"), "`a\\|b'c d`");
    }
}

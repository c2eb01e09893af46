//! The report as a plain table, for a terminal: the worst findings only.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::finding::Finding;
use crate::plain;
use crate::report::Report;

/// The most rows; whoever wants more reads the Markdown.
const MAX_ROWS: usize = 30;

/// The most rows of one rule: one that finds a lot must not hide the others.
const MAX_ROWS_A_RULE: usize = 8;

/// Widths that a column does not exceed, in characters.
const PLACE_WIDTH: usize = 48;
const RULE_WIDTH: usize = 24;
const MESSAGE_WIDTH: usize = 72;

const HEADER: [&str; 4] = ["SEVERITY", "PLACE", "RULE", "MESSAGE"];

pub fn render(report: &Report) -> String {
    let mut out = String::new();
    if report.findings.is_empty() {
        out.push_str("No findings.\n");
    } else {
        let rows: Vec<[String; 4]> = shown(&report.findings).into_iter().map(row).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(HEADER[column].len())
        };
        let widths = [width(0), width(1), width(2)];
        put(&mut out, &HEADER.map(str::to_owned), widths);
        rows.iter().for_each(|row| put(&mut out, row, widths));
        match report.left_out(rows.len()) {
            0 => {}
            rest => writeln!(out, "… and {rest} more: see report.md and report.sarif").unwrap_or_default(),
        }
    }
    for shard in report.unfinished().take(MAX_ROWS) {
        let why = shard.error.as_ref().map_or("", |error| error.message.as_str());
        writeln!(
            out,
            "shard {} (from {}) was not reviewed: {}",
            shard.shard,
            plain::line(&shard.first, 100),
            plain::line(why, 160)
        )
        .unwrap_or_default();
    }
    out
}

/// The findings to show, the worst first.
fn shown(findings: &[Finding]) -> Vec<&Finding> {
    let mut of_rule: BTreeMap<&str, usize> = BTreeMap::new();
    let mut shown = Vec::new();
    for finding in findings {
        let rows = of_rule.entry(&finding.rule).or_default();
        *rows += 1;
        if *rows <= MAX_ROWS_A_RULE && shown.len() < MAX_ROWS {
            shown.push(finding);
        }
    }
    shown
}

fn row(finding: &Finding) -> [String; 4] {
    [
        finding.severity.as_str().to_owned(),
        plain::tail(&plain::line(&finding.place(), 1_024), PLACE_WIDTH),
        plain::head(&plain::line(&finding.rule, 256), RULE_WIDTH),
        plain::head(&plain::line(&finding.message, 1_024), MESSAGE_WIDTH),
    ]
}

fn put(out: &mut String, [severity, place, rule, message]: &[String; 4], [a, b, c]: [usize; 3]) {
    writeln!(out, "{severity:a$}  {place:b$}  {rule:c$}  {message}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn columns_line_up_and_the_rest_is_told() {
        assert_eq!(
            render(&fixture::report()),
            "\
SEVERITY  PLACE              RULE               MESSAGE
critical  repo/src/a b.rs:3  leaked-credential  a key: `AKIA…` | <b>
error     repo/src/c.rs      conflict-marker    left over
info      repo/src/c.rs:9    todo               later
… and 1 more: see report.md and report.sarif
shard 1 (from repo/src/) was not reviewed: it hit the wall
"
        );
    }

    #[test]
    fn a_clean_tree_has_no_table() {
        let mut report = fixture::report();
        report.findings.clear();
        report.shards.clear();
        assert_eq!(render(&report), "No findings.\n");
    }

    #[test]
    fn one_rule_does_not_hide_the_others() {
        let mut report = fixture::report();
        let flood = (0..100).map(|line| Finding { line: Some(line), ..report.findings[0].clone() });
        report.findings = flood.chain(report.findings.clone()).collect();
        report.counts.total = 104;
        let table = render(&report);
        assert_eq!(table.matches("leaked-credential").count(), MAX_ROWS_A_RULE);
        assert!(table.contains("conflict-marker") && table.contains("… and 94 more"), "{table}");
    }

    #[test]
    fn long_texts_do_not_widen_the_table() {
        let mut report = fixture::report();
        for finding in &mut report.findings {
            (finding.file, finding.message, finding.rule) = ("d/".repeat(300), "m ".repeat(300), "r".repeat(300));
        }
        let longest = render(&report).lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 8 + PLACE_WIDTH + RULE_WIDTH + MESSAGE_WIDTH + 6, "{longest}");
    }
}

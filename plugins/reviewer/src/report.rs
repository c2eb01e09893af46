//! What comes out: findings, bounded in number so that a bad tree cannot drown
//! the rest or burst the output, and counts that stay true all the same.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Settings;
use crate::finding::{Finding, Severity};

/// The most findings in one output. With messages as short as they are, this
/// many stay under the size limit of an answer.
const MAX_FINDINGS: usize = 2_000;

/// The most skipped files that are named.
const MAX_SKIPPED: usize = 200;

/// Bytes of a message, and of a path in the list of skipped files.
const MAX_TEXT_BYTES: usize = 240;

/// What the agent returns.
#[derive(Debug, Serialize)]
pub struct Output {
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<u32>,
    /// The worst first, then by file and line.
    pub findings: Vec<Finding>,
    /// Findings that are counted and not listed, by rule.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub findings_left_out: BTreeMap<&'static str, usize>,
    /// Of all findings, listed or not.
    pub counts_by_rule: BTreeMap<&'static str, usize>,
    pub counts_by_severity: BTreeMap<&'static str, usize>,
    files_read: usize,
    bytes_read: u64,
    lines_read: u64,
    pub skipped: Vec<Skipped>,
    skipped_count: usize,
}

/// A file that was not reviewed.
#[derive(Debug, Serialize)]
pub struct Skipped {
    path: String,
    reason: String,
}

/// An output in the making.
pub struct Report {
    output: Output,
    max_per_rule: usize,
    /// Findings of each rule in the file that is being reviewed, or in each file
    /// for rules that look at all of them at the end.
    listed: BTreeMap<(String, &'static str), usize>,
}

impl Report {
    pub fn new(shard: Option<u32>, settings: &Settings) -> Self {
        Self {
            output: Output {
                shard,
                findings: Vec::new(),
                findings_left_out: BTreeMap::new(),
                counts_by_rule: BTreeMap::new(),
                counts_by_severity: BTreeMap::new(),
                files_read: 0,
                bytes_read: 0,
                lines_read: 0,
                skipped: Vec::new(),
                skipped_count: 0,
            },
            max_per_rule: settings.max_findings_per_rule,
            listed: BTreeMap::new(),
        }
    }

    /// Count a file that was read.
    pub fn read(&mut self, bytes: &[u8]) {
        self.output.files_read += 1;
        self.output.bytes_read += bytes.len() as u64;
        self.output.lines_read += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }

    /// Note a file that was not reviewed.
    pub fn skip(&mut self, path: &str, reason: &str) {
        self.output.skipped_count += 1;
        if self.output.skipped.len() < MAX_SKIPPED {
            self.output.skipped.push(Skipped { path: cut(path), reason: reason.to_owned() });
        }
    }

    /// Report a finding; count it where there are enough of its kind.
    pub fn add(&mut self, mut finding: Finding) {
        *self.output.counts_by_rule.entry(finding.rule).or_default() += 1;
        *self.output.counts_by_severity.entry(name(finding.severity)).or_default() += 1;
        let listed = self.listed.entry((finding.file.clone(), finding.rule)).or_default();
        if *listed >= self.max_per_rule {
            *self.output.findings_left_out.entry(finding.rule).or_default() += 1;
            return;
        }
        *listed += 1;
        finding.message = cut(&finding.message);
        self.output.findings.push(finding);
    }

    /// The end of it: ranked, and cut to what fits.
    pub fn output(self) -> Output {
        let mut output = self.output;
        output.findings.sort_by(|a, b| {
            let place = |finding: &Finding| (finding.file.clone(), finding.line, finding.rule);
            b.severity.cmp(&a.severity).then_with(|| place(a).cmp(&place(b)))
        });
        while output.findings.len() > MAX_FINDINGS {
            if let Some(finding) = output.findings.pop() {
                *output.findings_left_out.entry(finding.rule).or_default() += 1;
            }
        }
        output
    }
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(file: &str, line: usize, severity: Severity) -> Finding {
        Finding { file: file.to_owned(), line, rule: "r", severity, message: "m".repeat(500) }
    }

    #[test]
    fn one_file_cannot_drown_another_and_the_counts_stay_true() {
        let mut report = Report::new(None, &Settings::default());
        for line in 0..50 {
            report.add(finding("a", line, Severity::Info));
        }
        report.add(finding("b", 1, Severity::Error));
        let output = report.output();
        assert_eq!(output.findings.len(), 11);
        assert_eq!(output.findings[0].file, "b");
        assert_eq!(output.counts_by_rule["r"], 51);
        assert_eq!(output.findings_left_out["r"], 40);
    }

    #[test]
    fn the_worst_are_kept_and_the_whole_stays_under_a_megabyte() {
        let mut report = Report::new(None, &Settings::default());
        for file in 0..4_000 {
            let severity = if file == 3_999 { Severity::Critical } else { Severity::Info };
            report.add(finding(&format!("{}/{file}", "d".repeat(100)), 1, severity));
            report.skip(&"p".repeat(4_000), "too_large");
        }
        let output = report.output();
        assert_eq!(output.findings.len(), MAX_FINDINGS);
        assert_eq!(output.findings[0].severity, Severity::Critical);
        assert_eq!(output.findings_left_out["r"], 2_000);
        assert_eq!((output.skipped.len(), output.skipped_count), (MAX_SKIPPED, 4_000));
        assert!(serde_json::to_string(&output).unwrap().len() < 1 << 20);
    }
}

//! What reviewers found, merged: each finding once, the worst first, and counts
//! that stay true where not all are listed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most findings that are held while shards are merged.
const MAX_HELD: usize = 10_000;

/// The most rules that are counted apart.
const MAX_RULES: usize = 200;

/// The longest message or path that is held, in bytes: a reviewer may be
/// anybody's.
const MAX_TEXT_BYTES: usize = 1_024;

/// How much a finding matters, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Critical, Self::Error, Self::Warning, Self::Info];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that is wrong in one place. The order of its fields is the order of
/// rank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    pub file: String,
    /// From 1; none or 0 where it is about the file as a whole.
    #[serde(default)]
    pub line: Option<u32>,
    pub rule: String,
    pub message: String,
    /// Where it is about more than one line, the last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_line: Option<u32>,
}

impl Finding {
    pub fn line(&self) -> Option<u32> {
        self.line.filter(|line| *line > 0)
    }

    /// `file:line`, or the file alone.
    pub fn place(&self) -> String {
        match self.line() {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }
}

/// What a reviewer answers, as far as a lead reads it. An answer without a list
/// of findings is no review.
#[derive(Debug, Deserialize)]
pub struct Reviewed {
    pub findings: Vec<Finding>,
    /// Of all that was found, listed or not.
    #[serde(default)]
    pub counts_by_rule: BTreeMap<String, u64>,
    #[serde(default)]
    pub counts_by_severity: BTreeMap<String, u64>,
    #[serde(default)]
    pub files_read: u64,
    #[serde(default)]
    pub bytes_read: u64,
    #[serde(default)]
    pub lines_read: u64,
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    #[serde(default)]
    pub skipped_count: u64,
}

/// A file that a reviewer did not review.
#[derive(Debug, Deserialize)]
pub struct Skipped {
    pub path: String,
    #[serde(default)]
    pub reason: String,
}

/// How many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub total: u64,
    pub by_severity: BTreeMap<&'static str, u64>,
    pub by_rule: BTreeMap<String, u64>,
}

impl Counts {
    pub fn of(&self, severity: Severity) -> u64 {
        self.by_severity.get(severity.as_str()).copied().unwrap_or(0)
    }
}

/// Findings of many shards.
#[derive(Debug, Default)]
pub struct Findings {
    held: Vec<Finding>,
    by_severity: BTreeMap<Severity, u64>,
    by_rule: BTreeMap<String, u64>,
}

impl Findings {
    /// Takes in what one shard has found, and returns how much that was.
    pub fn merge(
        &mut self,
        findings: Vec<Finding>,
        by_severity: &BTreeMap<String, u64>,
        by_rule: &BTreeMap<String, u64>,
    ) -> u64 {
        let before: u64 = self.by_severity.values().sum();
        let findings: Vec<Finding> = findings.into_iter().map(shortened).collect();
        let listed = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
        let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
        for finding in &findings {
            *rules.entry(&finding.rule).or_default() += 1;
        }
        // A reviewer that lists less than it has found says how much that was;
        // one that says less than it lists is not believed.
        for severity in Severity::ALL {
            let said = by_severity.get(severity.as_str()).copied().unwrap_or(0);
            *self.by_severity.entry(severity).or_default() += said.max(listed(severity));
        }
        for (rule, said) in by_rule {
            let seen = rules.entry(rule).or_default();
            *seen = (*seen).max(*said);
        }
        for (rule, count) in rules {
            let full = self.by_rule.len() >= MAX_RULES && !self.by_rule.contains_key(rule);
            let rule = if full { "other rules" } else { rule };
            *self.by_rule.entry(cut(rule.to_owned())).or_default() += count;
        }
        let found = self.by_severity.values().sum::<u64>() - before;
        self.held.extend(findings);
        self.settle();
        found
    }

    /// Sorts, drops what is there twice, and keeps the worst.
    fn settle(&mut self) {
        self.held.sort();
        let mut kept: Vec<Finding> = Vec::with_capacity(self.held.len());
        for finding in self.held.drain(..) {
            if kept.last() == Some(&finding) {
                // Twice the same place and words: two reviewers saw one thing.
                take_one(self.by_severity.get_mut(&finding.severity));
                take_one(self.by_rule.get_mut(&finding.rule));
            } else {
                kept.push(finding);
            }
        }
        kept.truncate(MAX_HELD);
        self.held = kept;
    }

    /// The findings, the worst first.
    pub fn into_ranked(self) -> Vec<Finding> {
        self.held
    }

    /// Every severity is named; of the rules, those that found something.
    pub fn counts(&self) -> Counts {
        let count = |severity: Severity| self.by_severity.get(&severity).copied().unwrap_or(0);
        Counts {
            total: self.by_severity.values().sum(),
            by_severity: Severity::ALL.map(|severity| (severity.as_str(), count(severity))).into(),
            by_rule: self
                .by_rule
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(rule, count)| (rule.clone(), *count))
                .collect(),
        }
    }
}

fn take_one(count: Option<&mut u64>) {
    if let Some(count) = count {
        *count = count.saturating_sub(1);
    }
}

fn shortened(mut finding: Finding) -> Finding {
    for text in [&mut finding.message, &mut finding.file, &mut finding.rule] {
        *text = cut(std::mem::take(text));
    }
    finding
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, file: &str, line: u32) -> Finding {
        Finding { severity, file: file.into(), line: Some(line), rule: "r".into(), message: "m".into(), end_line: None }
    }

    fn merged(shards: Vec<Vec<Finding>>) -> Findings {
        let mut findings = Findings::default();
        for shard in shards {
            findings.merge(shard, &BTreeMap::new(), &BTreeMap::new());
        }
        findings
    }

    #[test]
    fn the_worst_come_first_and_then_files_and_lines_in_order() {
        let findings = merged(vec![
            vec![finding(Severity::Info, "a", 1), finding(Severity::Error, "b", 10)],
            vec![finding(Severity::Critical, "z", 1), finding(Severity::Error, "b", 9)],
        ]);
        let places: Vec<String> = findings.held.iter().map(Finding::place).collect();
        assert_eq!(places, ["z:1", "b:9", "b:10", "a:1"]);
    }

    #[test]
    fn what_two_shards_found_counts_once() {
        let one = || finding(Severity::Error, "a", 1);
        let findings = merged(vec![vec![one(), finding(Severity::Error, "a", 2)], vec![one()]]);
        assert_eq!(findings.held.len(), 2);
        let counts = findings.counts();
        assert_eq!((counts.total, counts.of(Severity::Error), counts.by_rule["r"]), (2, 2, 2));
    }

    #[test]
    fn what_a_reviewer_counted_and_did_not_list_is_counted() {
        let mut findings = Findings::default();
        let said = BTreeMap::from([("info".to_owned(), 50), ("odd".to_owned(), 7)]);
        let rules = BTreeMap::from([("r".to_owned(), 40), ("s".to_owned(), 10)]);
        findings.merge(vec![finding(Severity::Info, "a", 1), finding(Severity::Error, "a", 1)], &said, &rules);
        let counts = findings.counts();
        assert_eq!((counts.of(Severity::Info), counts.of(Severity::Error), counts.total), (50, 1, 51));
        assert_eq!((counts.by_rule["r"], counts.by_rule["s"]), (40, 10));
    }

    #[test]
    fn every_severity_is_counted_even_where_there_is_none() {
        assert_eq!(Findings::default().counts().by_severity.len(), 4);
    }

    #[test]
    fn more_than_can_be_held_keeps_the_worst_and_the_counts() {
        let flood = (0..MAX_HELD as u32 + 500).map(|line| finding(Severity::Info, "a", line));
        let findings = merged(vec![flood.collect(), vec![finding(Severity::Critical, "z", 1)]]);
        assert_eq!(findings.held.len(), MAX_HELD);
        assert_eq!(findings.held[0].severity, Severity::Critical);
        assert_eq!(findings.counts().of(Severity::Info), MAX_HELD as u64 + 500);
    }

    #[test]
    fn a_finding_without_a_line_is_about_the_file() {
        let read: Finding =
            serde_json::from_str(r#"{"file":"a","rule":"r","severity":"warning","message":"m","extra":1}"#).unwrap();
        assert_eq!(read.place(), "a");
        assert_eq!(Finding { line: Some(0), ..read }.place(), "a");
    }

    #[test]
    fn a_long_message_is_cut_between_letters() {
        let mut long = finding(Severity::Info, "a", 1);
        long.message = "ä".repeat(2_000);
        assert_eq!(merged(vec![vec![long]]).held[0].message.len(), MAX_TEXT_BYTES + "…".len());
    }
}

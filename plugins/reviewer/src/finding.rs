//! Findings, and collecting them so that one file or one rule cannot drown the
//! others. What is worth a finding is up to the rules.

use std::collections::BTreeMap;

use serde::Serialize;

/// The longest message, in characters.
const MESSAGE_CHARS: usize = 300;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a change.
    Warning,
    /// Wrong as it stands.
    Error,
    /// Harm is being done: act now.
    Critical,
}

impl Severity {
    /// As it is written in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// One thing to point at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Where it is about more than one line, the last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_line: Option<usize>,
    pub rule: &'static str,
    pub severity: Severity,
    pub message: String,
}

/// The findings of a review so far.
#[derive(Debug)]
pub struct Findings {
    per_rule: usize,
    found: Vec<Finding>,
    tally: Tally,
    /// Of the file that is being reviewed.
    here: Counts,
    file: String,
}

impl Findings {
    /// None yet, and at most `per_rule` for each rule and file.
    pub fn at_most(per_rule: usize) -> Self {
        Self { per_rule, found: Vec::new(), tally: Tally::default(), here: Counts::new(), file: String::new() }
    }

    /// What is reported from here on is about this file.
    pub fn of_file(&mut self, path: &str) {
        self.here.clear();
        self.file = path.to_owned();
    }

    /// Point at one line.
    pub fn at(&mut self, line: usize, rule: &'static str, severity: Severity, message: impl Into<String>) {
        self.add(line, None, rule, severity, message.into());
    }

    /// Point at lines, the last included.
    pub fn over(&mut self, lines: (usize, usize), rule: &'static str, severity: Severity, message: impl Into<String>) {
        let (first, last) = lines;
        self.add(first, (last > first).then_some(last), rule, severity, message.into());
    }

    /// Whether a rule has pointed at this line of the file at hand.
    pub fn has(&self, rule: &str, line: usize) -> bool {
        let mut of_file = self.found.iter().rev().take_while(|finding| finding.file == self.file);
        of_file.any(|finding| finding.rule == rule && finding.line == line)
    }

    /// The findings that were kept, and the numbers of all.
    pub fn into_parts(self) -> (Vec<Finding>, Tally) {
        (self.found, self.tally)
    }

    fn add(&mut self, line: usize, end_line: Option<usize>, rule: &'static str, severity: Severity, message: String) {
        *self.tally.by_rule.entry(rule).or_default() += 1;
        *self.tally.by_severity.entry(severity.name()).or_default() += 1;
        let here = self.here.entry(rule).or_default();
        *here += 1;
        if *here > self.per_rule {
            *self.tally.dropped.entry(rule).or_default() += 1;
            return;
        }
        let message = match message.char_indices().nth(MESSAGE_CHARS) {
            Some((end, _)) => format!("{}…", &message[..end]),
            None => message,
        };
        self.found.push(Finding { file: self.file.clone(), line, end_line, rule, severity, message });
    }
}

/// A number for each name that has one.
pub type Counts = BTreeMap<&'static str, usize>;

/// How much was found.
#[derive(Debug, Default, PartialEq)]
pub struct Tally {
    /// All findings, dropped or not.
    pub by_rule: Counts,
    pub by_severity: Counts,
    /// Those that were dropped, by rule.
    pub dropped: Counts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_of_a_file_is_counted_and_dropped() {
        let mut findings = Findings::at_most(2);
        for file in ["a", "b"] {
            findings.of_file(file);
            for line in 1..=3 {
                findings.at(line, "unfinished", Severity::Info, "m");
            }
            findings.at(1, "long-line", Severity::Info, "m");
        }
        let (found, tally) = findings.into_parts();
        assert_eq!(found.len(), 6);
        assert_eq!(tally.by_rule, Counts::from([("unfinished", 6), ("long-line", 2)]));
        assert_eq!(tally.by_severity, Counts::from([("info", 8)]));
        assert_eq!(tally.dropped, Counts::from([("unfinished", 2)]));
    }

    #[test]
    fn a_line_is_looked_for_only_in_the_file_at_hand() {
        let mut findings = Findings::at_most(9);
        findings.of_file("a");
        findings.at(1, "unfinished", Severity::Info, "m");
        assert!(findings.has("unfinished", 1));
        findings.of_file("b");
        assert!(!findings.has("unfinished", 1));
    }

    #[test]
    fn a_message_without_end_is_cut() {
        let mut findings = Findings::at_most(1);
        findings.of_file("a");
        findings.at(1, "long-line", Severity::Info, "é".repeat(5_000));
        let (found, _) = findings.into_parts();
        assert_eq!(found[0].message.chars().count(), MESSAGE_CHARS + 1);
    }
}

//! A review: files go in one by one, the report comes out at the end. It calls
//! nothing of the host, so that it can be run on any machine.

use std::cmp::Reverse;

use pleach_sdk::json;
use serde::Serialize;

use crate::content::{self, Content};
use crate::duplicate::{self, Duplicates};
use crate::finding::{Counts, Finding, Findings, Severity};
use crate::input::Settings;
use crate::language;
use crate::rules::{self, Licences, RULES};
use crate::source::Source;

/// What the findings may take of the output; the rest is for what surrounds
/// them, and for whoever passes them on.
const FINDINGS_BYTES: usize = json::MAX_BYTES * 3 / 4;

/// How many skipped files are listed, and how long their names may be in all.
const SKIPPED_LISTED: usize = 500;
const SKIPPED_BYTES: usize = json::MAX_BYTES / 8;

/// What becomes of a review.
#[derive(Debug, Serialize)]
pub struct Report {
    /// For people.
    pub summary: String,
    /// As the input had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<u64>,
    /// By file and line.
    pub findings: Vec<Finding>,
    /// All that was found, listed or not.
    pub counts_by_rule: Counts,
    pub counts_by_severity: Counts,
    /// What was found and is not listed, because there was too much of it.
    pub dropped_by_rule: Counts,
    pub files_read: usize,
    pub bytes_read: u64,
    pub lines_read: usize,
    /// Lines of code that were too many to be looked for elsewhere; all other
    /// rules have seen them.
    pub lines_not_compared: usize,
    pub skipped: Vec<Skipped>,
    /// All that was skipped, listed or not.
    pub skipped_count: usize,
}

/// A file or folder that was not reviewed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Skipped {
    pub path: String,
    /// Stable: `binary`, `too_large`, `excluded`, `link`, `special`,
    /// `limit`, or the code of the host call that failed.
    pub reason: String,
}

/// A review that is going on.
pub struct Review {
    pub settings: Settings,
    findings: Findings,
    licences: Licences,
    duplicates: Duplicates,
    files_read: usize,
    bytes_read: u64,
    lines_read: usize,
    skipped: Vec<Skipped>,
    skipped_bytes: usize,
    skipped_count: usize,
}

impl Review {
    pub fn new(settings: Settings) -> Self {
        Self {
            findings: Findings::at_most(settings.max_findings_per_rule),
            settings,
            licences: Licences::default(),
            duplicates: Duplicates::default(),
            files_read: 0,
            bytes_read: 0,
            lines_read: 0,
            skipped: Vec::new(),
            skipped_bytes: 0,
            skipped_count: 0,
        }
    }

    /// Review a file: the whole of it.
    pub fn file(&mut self, path: &str, bytes: Vec<u8>) {
        self.bytes_read += bytes.len() as u64;
        let content = content::of(bytes, language::of(path).is_known());
        let (text, invalid_at, junk_bytes) = match content {
            Content::Binary => return self.skip(path, "binary"),
            Content::Text { text, invalid_at } => (text, invalid_at, 0),
            Content::TextThenJunk { text, junk_bytes } => (text, None, junk_bytes),
        };
        let source = Source::new(path, &text);
        self.files_read += 1;
        self.lines_read += source.line_count();
        self.findings.of_file(path);
        let settings = &self.settings;
        for rule in RULES.iter().filter(|rule| settings.has(rule.id)) {
            (rule.check)(&source, settings, &mut self.findings);
        }
        if junk_bytes > 0 && settings.has("binary-junk") {
            rules::report_junk(&source, junk_bytes, &mut self.findings);
        }
        if let Some(invalid_at) = invalid_at.filter(|_| settings.has("encoding")) {
            rules::report_encoding(&source, invalid_at, &mut self.findings);
        }
        if settings.has("licence-header") {
            self.licences.look_at(&source, settings);
        }
        if settings.has(duplicate::ID) {
            self.duplicates.look_at(&source);
        }
    }

    /// Leave a file or a folder out.
    pub fn skip(&mut self, path: &str, reason: &str) {
        self.skipped_count += 1;
        self.skipped_bytes += path.len();
        if self.skipped.len() < SKIPPED_LISTED && self.skipped_bytes < SKIPPED_BYTES {
            self.skipped.push(Skipped { path: path.to_owned(), reason: reason.to_owned() });
        }
    }

    /// How many files were reviewed so far.
    pub fn files_read(&self) -> usize {
        self.files_read
    }

    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// What was found in all of it.
    pub fn finish(mut self) -> Report {
        self.licences.finish(&self.settings, &mut self.findings);
        let lines_not_compared = self.duplicates.not_compared();
        self.duplicates.finish(&self.settings, &mut self.findings);
        let (mut findings, mut tally) = self.findings.into_parts();
        findings.sort_by_key(|finding| Reverse(finding.severity));
        let kept = fitting(&findings, self.settings.max_findings);
        for finding in findings.drain(kept..) {
            *tally.dropped.entry(finding.rule).or_default() += 1;
        }
        findings.sort_by(|a, b| (&a.file, a.line, a.rule).cmp(&(&b.file, b.line, b.rule)));
        let all: usize = tally.by_rule.values().sum();
        let grave = [Severity::Critical, Severity::Error].map(Severity::name);
        let grave = grave.iter().filter_map(|name| Some(format!("{} {name}", tally.by_severity.get(name)?)));
        let grave: Vec<_> = grave.collect();
        let grave = if grave.is_empty() { String::new() } else { format!(" ({})", grave.join(", ")) };
        Report {
            shard: self.settings.shard,
            summary: format!(
                "{}{grave} in {} of {}",
                counted(all, "finding"),
                counted(self.files_read, "file"),
                counted(self.lines_read, "line"),
            ),
            findings,
            counts_by_rule: tally.by_rule,
            counts_by_severity: tally.by_severity,
            dropped_by_rule: tally.dropped,
            files_read: self.files_read,
            bytes_read: self.bytes_read,
            lines_read: self.lines_read,
            lines_not_compared,
            skipped: self.skipped,
            skipped_count: self.skipped_count,
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How many of the findings, from the first on, fit into the output.
fn fitting(findings: &[Finding], most: usize) -> usize {
    let mut bytes = 0;
    let fits = |finding: &&Finding| {
        bytes += json::text("a finding", finding).map_or(usize::MAX / 2, |text| text.len() + 1);
        bytes <= FINDINGS_BYTES
    };
    findings.iter().take(most).take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn review(files: &[(&str, &[u8])], settings: Settings) -> Report {
        let mut review = Review::new(settings);
        for (path, bytes) in files {
            review.file(path, bytes.to_vec());
        }
        review.finish()
    }

    #[test]
    fn a_report_has_findings_by_place_and_counts() {
        let note = format!("// {}: x\n", concat!("FIX", "ME"));
        let files: [(&str, &[u8]); 3] =
            [("r/b.rs", note.as_bytes()), ("r/a.rs", b"let a\xe2\x80\x8bb; \n"), ("r/c.bin", b"\0\0\0")];
        let report = review(&files, Settings::usual());
        let found: Vec<_> = report.findings.iter().map(|f| (f.file.as_str(), f.rule)).collect();
        assert_eq!(found, [("r/a.rs", "suspicious-unicode"), ("r/a.rs", "trailing-space"), ("r/b.rs", "unfinished")]);
        assert_eq!(report.skipped, [Skipped { path: "r/c.bin".into(), reason: "binary".into() }]);
        assert_eq!((report.files_read, report.bytes_read, report.lines_read), (2, 15 + note.len() as u64, 2));
        assert_eq!(report.counts_by_severity, Counts::from([("error", 1), ("info", 1), ("warning", 1)]));
        assert_eq!(report.summary, "3 findings (1 error) in 2 files of 2 lines");
    }

    #[test]
    fn text_that_is_none_is_pointed_at_where_it_begins() {
        let mut junk = b"fn main() {}\n".repeat(10);
        junk.extend([0; 9]);
        let files: [(&str, &[u8]); 2] = [("r/a.rs", &junk), ("r/b.rs", b"// a\n// caf\xe9\n")];
        let report = review(&files, Settings::usual());
        let found: Vec<_> = report.findings.iter().map(|f| (f.file.as_str(), f.line, f.rule)).collect();
        assert_eq!(found, [("r/a.rs", 10, "binary-junk"), ("r/b.rs", 2, "encoding")]);
        assert!(report.findings[0].message.contains("after 130 bytes of text come 9 bytes"));
    }

    #[test]
    fn this_package_passes_its_own_review() {
        fn add(folder: &Path, review: &mut Review) {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    add(&path, review);
                } else {
                    review.file(path.to_str().unwrap(), fs::read(&path).unwrap());
                }
            }
        }
        let mut review = Review::new(Settings::usual());
        add(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut review);
        let report = review.finish();
        assert!(report.files_read > 20, "{}", report.summary);
        assert_eq!(report.findings, []);
    }

    #[test]
    fn the_gravest_are_kept_where_there_are_too_many() {
        let notes = format!("// {}\n", concat!("TO", "DO")).repeat(10);
        let text = format!("{notes}let a\u{200b}b;\n");
        let report = review(&[("a.rs", text.as_bytes())], Settings { max_findings: 3, ..Settings::usual() });
        assert_eq!(report.findings.len(), 3);
        assert_eq!(report.findings[2].rule, "suspicious-unicode");
        assert_eq!(report.dropped_by_rule, Counts::from([("unfinished", 8)]));
        assert_eq!(report.counts_by_rule["unfinished"], 10);
    }

    #[test]
    fn the_output_fits_into_a_payload_whatever_was_found() {
        let text = format!("// {} {}\n", concat!("TO", "DO"), "\u{1}\"".repeat(30)).repeat(3);
        let settings = Settings { max_findings: usize::MAX, ..Settings::usual() };
        let mut review = Review::new(settings);
        for number in 0..3_000 {
            let path = format!("repo/{}/{number}.rs", "deep\"er/".repeat(40));
            review.file(&path, text.replace('\u{1}', "'").into_bytes());
            review.skip(&path, "link");
        }
        let report = review.finish();
        let text = json::text("the report", &report).unwrap();
        assert!(text.len() > FINDINGS_BYTES / 2, "{}", text.len());
        assert_eq!(report.skipped_count, 3_000);
        let listed = report.findings.len() + report.dropped_by_rule.values().sum::<usize>();
        assert_eq!(listed, report.counts_by_rule.values().sum::<usize>());
    }

    #[test]
    fn only_the_rules_that_apply_are_asked() {
        let settings = Settings { rules: vec!["trailing-space"], ..Settings::usual() };
        let report = review(&[("a.rs", "let a\u{200b}b; \n".as_bytes())], settings);
        assert_eq!(report.counts_by_rule, Counts::from([("trailing-space", 1)]));
    }
}

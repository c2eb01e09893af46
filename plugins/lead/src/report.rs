//! The report: the numbers, the sentence, and the whole as the run's output,
//! held to the size that an output may have. How it looks as Markdown, as SARIF
//! and as a table is in the modules of those names.

use std::collections::BTreeSet;

use pleach_sdk::RunStatus;
use serde::Serialize;
use serde_json::{Value, json};

use crate::finding::{Counts, Finding, Severity};
use crate::left_out::LeftOut;
use crate::plain;
use crate::review::{Review, ShardOutcome};
use crate::tree::{OVER_LIMIT, Tree};
use crate::verdict::{Outcome, Verdict};
use crate::{markdown, sarif, table};

/// The longest output, in bytes: under what the contract allows, so that it is
/// this module that chooses what to leave out and not the host that refuses.
const MAX_OUTPUT_BYTES: usize = 1_000_000;

/// What a review came to.
#[derive(Clone, Debug)]
pub struct Report {
    pub root: String,
    /// The worst first.
    pub findings: Vec<Finding>,
    pub counts: Counts,
    pub files: Files,
    pub shards: Vec<ShardOutcome>,
    /// What was not reviewed, by reason.
    pub not_reviewed: LeftOut,
    pub notes: Vec<String>,
    pub verdict: Option<Verdict>,
}

/// How much there was, and how much of it was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Files {
    pub listed: u64,
    pub bytes_listed: u64,
    pub read: u64,
    pub bytes_read: u64,
    pub lines_read: u64,
}

/// How the shards stand.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShardCounts {
    pub total: usize,
    pub completed: usize,
    /// All that were not reviewed to the end, for whatever reason.
    pub unfinished: usize,
    pub retried: usize,
}

impl Report {
    pub fn new(root: String, tree: &Tree, review: Review) -> Self {
        let mut not_reviewed = tree.left_out().clone();
        not_reviewed.merge(review.skipped);
        Self {
            root,
            counts: review.findings.counts(),
            findings: review.findings.into_ranked(),
            files: Files {
                listed: tree.files().len() as u64,
                bytes_listed: tree.bytes(),
                read: review.files_read,
                bytes_read: review.bytes_read,
                lines_read: review.lines_read,
            },
            shards: review.shards,
            not_reviewed,
            notes: review.notes,
            verdict: None,
        }
    }

    /// The share of the files read that have neither a critical finding nor an
    /// error; 0 where none was read.
    pub fn score(&self) -> f64 {
        if self.files.read == 0 {
            return 0.0;
        }
        let bad = |finding: &&Finding| matches!(finding.severity, Severity::Critical | Severity::Error);
        let files: BTreeSet<&str> = self.findings.iter().filter(bad).map(|finding| finding.file.as_str()).collect();
        (1.0 - files.len() as f64 / self.files.read as f64).max(0.0)
    }

    pub fn shard_counts(&self) -> ShardCounts {
        let completed = self.shards.iter().filter(|shard| shard.status == RunStatus::Completed).count();
        ShardCounts {
            total: self.shards.len(),
            completed,
            unfinished: self.shards.len() - completed,
            retried: self.shards.iter().filter(|shard| shard.retries > 0).count(),
        }
    }

    /// Shards that nobody reviewed to the end.
    pub fn unfinished(&self) -> impl Iterator<Item = &ShardOutcome> {
        self.shards.iter().filter(|shard| shard.status != RunStatus::Completed)
    }

    /// What the review came to, in a few sentences.
    pub fn summary(&self) -> String {
        let mut summary = self.came_to();
        if let Some(verdict) = &self.verdict {
            let word = match verdict.outcome {
                Outcome::Pass => "Passed",
                Outcome::Fail => "Failed",
            };
            summary.push_str(&format!(" {word} by `{}`: {}.", verdict.judge, plain::line(&verdict.rationale, 600)));
        }
        summary
    }

    /// The summary without the verdict.
    pub fn came_to(&self) -> String {
        let by_severity: Vec<String> =
            Severity::ALL.map(|severity| format!("{} {}", self.counts.of(severity), severity.as_str())).into();
        let mut summary = format!(
            "Reviewed {} ({}) of `{}` in {}: {} ({}).",
            plain::count(self.files.read, "file"),
            plain::bytes(self.files.bytes_read),
            plain::line(&self.root, 200),
            plain::count(self.shards.len() as u64, "shard"),
            plain::count(self.counts.total, "finding"),
            by_severity.join(", ")
        );
        match self.shard_counts().unfinished {
            0 => {}
            1 => summary.push_str(" 1 shard was not reviewed to the end."),
            several => summary.push_str(&format!(" {several} shards were not reviewed to the end.")),
        }
        if self.not_reviewed.by_reason().contains_key(OVER_LIMIT) {
            summary.push_str(" There were more files than `max_files` allows, and the rest was left out.");
        }
        summary
    }

    /// The run's output, with as many of the findings, at most `max_findings`,
    /// as it has room for.
    pub fn output(&self, max_findings: usize) -> Value {
        let mut listed = self.findings.len().min(max_findings);
        loop {
            let output = self.output_with(listed);
            let bytes = output.to_string().len();
            if listed == 0 || bytes <= MAX_OUTPUT_BYTES {
                return output;
            }
            // What fits by proportion, and clearly less than last time.
            listed = (listed * MAX_OUTPUT_BYTES / bytes).min(listed * 3 / 4);
        }
    }

    fn output_with(&self, listed: usize) -> Value {
        let findings = &self.findings[..listed];
        let artifact = |name: &str, media_type: &str, content: String| json!({"name": name, "media_type": media_type, "content": content});
        json!({
            "summary": self.summary(),
            "root": self.root,
            "score": self.score(),
            "counts": self.counts,
            "findings": findings,
            "findings_left_out": self.left_out(listed),
            "files": self.files,
            "shard_counts": self.shard_counts(),
            "shards": self.shards,
            "not_reviewed": self.not_reviewed,
            "notes": self.notes,
            "verdict": self.verdict,
            "artifacts": [
                artifact("report.md", "text/markdown", markdown::render(self, listed)),
                artifact("report.sarif", "application/sarif+json", sarif::render(self, listed)),
                artifact("report.txt", "text/plain", table::render(self)),
            ],
        })
    }

    /// How many findings there are besides the first `listed`.
    pub fn left_out(&self, listed: usize) -> u64 {
        self.counts.total.saturating_sub(listed as u64)
    }
}

#[cfg(test)]
pub mod fixture {
    //! A report to try the renderings on.

    use super::*;
    use crate::review::Why;

    pub fn finding(severity: Severity, place: (&str, u32), rule: &str, message: &str) -> Finding {
        Finding {
            severity,
            file: place.0.into(),
            line: Some(place.1),
            rule: rule.into(),
            message: message.into(),
            end_line: None,
        }
    }

    pub fn report() -> Report {
        let shard = |number: usize, status, error| ShardOutcome {
            shard: number,
            run_id: format!("run-{number}"),
            status,
            files: 5,
            bytes: 2_048,
            findings: 2,
            retries: number as u32,
            first: "repo/src/".into(),
            error,
        };
        let why = Why { code: "trap".into(), message: "it hit the wall".into() };
        let findings = vec![
            finding(Severity::Critical, ("repo/src/a b.rs", 3), "leaked-credential", "a key: `AKIA…` | <b>"),
            finding(Severity::Error, ("repo/src/c.rs", 0), "conflict-marker", "left over"),
            finding(Severity::Info, ("repo/src/c.rs", 9), "todo", "later"),
        ];
        let mut not_reviewed = LeftOut::default();
        not_reviewed.note("binary", "repo/x.png");
        not_reviewed.count("binary", 2);
        Report {
            root: "repo".into(),
            counts: Counts {
                total: 4,
                by_severity: [("critical", 1), ("error", 1), ("warning", 0), ("info", 2)].into(),
                by_rule: [("conflict-marker".into(), 1), ("leaked-credential".into(), 1), ("todo".into(), 2)].into(),
            },
            findings,
            files: Files { listed: 12, bytes_listed: 5_000, read: 10, bytes_read: 4_096, lines_read: 99 },
            shards: vec![shard(0, RunStatus::Completed, None), shard(1, RunStatus::Failed, Some(why))],
            not_reviewed,
            notes: vec!["A note.".into()],
            verdict: Some(Verdict {
                judge: "threshold-judge".into(),
                run_id: "run-9".into(),
                outcome: Outcome::Fail,
                score: Some(0.5),
                rationale: "too much".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_it_came_to() {
        assert_eq!(
            fixture::report().summary(),
            "Reviewed 10 files (4.0 KiB) of `repo` in 2 shards: 4 findings (1 critical, 1 error, 0 warning, 2 info). \
             1 shard was not reviewed to the end. Failed by `threshold-judge`: too much."
        );
    }

    #[test]
    fn the_summary_says_where_files_were_left_out_for_their_number() {
        let mut report = fixture::report();
        report.not_reviewed.note(OVER_LIMIT, "repo/more/");
        assert!(report.summary().contains(" There were more files than `max_files` allows,"));
    }

    #[test]
    fn the_score_is_the_share_of_files_without_grave_findings() {
        let mut report = fixture::report();
        assert_eq!(report.score(), 0.8);
        report.findings.clear();
        assert_eq!(report.score(), 1.0);
        report.files.read = 0;
        assert_eq!(report.score(), 0.0);
    }

    #[test]
    fn the_output_lists_the_worst_and_says_how_many_are_left_out() {
        let output = fixture::report().output(2);
        assert_eq!(output["findings"].as_array().unwrap().len(), 2);
        assert_eq!(output["findings_left_out"], 2);
        assert_eq!(output["verdict"]["outcome"], "fail");
        let names: Vec<&str> =
            output["artifacts"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["report.md", "report.sarif", "report.txt"]);
    }

    #[test]
    fn an_output_always_fits() {
        let mut report = fixture::report();
        let long = || "\"\\".repeat(500);
        report.findings = vec![fixture::finding(Severity::Error, (&long(), 1), &long(), &long()); 2_000];
        report.shards = vec![report.shards[1].clone(); 1_000];
        let output = report.output(2_000);
        let size = output.to_string().len();
        assert!(size <= MAX_OUTPUT_BYTES && size > MAX_OUTPUT_BYTES / 3, "{size}");
        assert!(!output["findings"].as_array().unwrap().is_empty());
    }
}

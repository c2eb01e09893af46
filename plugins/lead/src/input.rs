//! What the lead is asked, and what holds where nothing is said.

use pleach_sdk::Error;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The most shards that one run has.
const MAX_SHARDS: usize = 1_000;

/// The most files that one run reviews. Their paths and scopes travel in one
/// call, which has a limit on its size.
const MAX_FILES: usize = 50_000;

/// The most findings that can be asked for; an output has room for about half.
const MAX_FINDINGS: usize = 5_000;

/// The review to make.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The folder to review: a root that the run may read, or a folder below
    /// one. May be left out where there is one root only.
    pub root: Option<String>,
    /// How many reviewers to have; by default 20, and more for large trees.
    pub shards: Option<usize>,
    /// Files after these are left out, and the report says so.
    #[serde(default = "default_max_files")]
    pub max_files: usize,
    /// What to leave out: a name (`fixtures`), an ending (`*.min.js`) or a path
    /// below the root (`docs/old`).
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether to leave out what is hardly ever somebody's own text, too: see
    /// `exclude::USUAL`.
    #[serde(default = "yes")]
    pub exclude_usual: bool,
    /// The agent that reviews a shard.
    #[serde(default = "default_reviewer")]
    pub reviewer: String,
    /// Settings that every reviewer is given, besides its `paths`, and an empty
    /// `exclude` where there is none among them.
    #[serde(default)]
    pub review: Map<String, Value>,
    /// How long the reviewers have, all together; by default what the policy
    /// says.
    pub timeout_ms: Option<u64>,
    /// Who plans what to do about shards that failed; null for nobody.
    #[serde(default = "default_replanner")]
    pub replanner: Option<String>,
    /// Settings for it.
    #[serde(default = "empty")]
    pub replan: Value,
    /// Who judges the report; null for nobody.
    #[serde(default = "default_judge")]
    pub judge: Option<String>,
    /// What it judges by.
    #[serde(default = "default_criteria")]
    pub criteria: Value,
    /// The most findings that the report lists; the worst are kept.
    #[serde(default = "default_max_findings")]
    pub max_findings: usize,
}

impl Input {
    /// Holds the numbers to what one run can do.
    pub fn check(&self) -> Result<(), Error> {
        for (name, value, least, most) in [
            ("shards", self.shards.unwrap_or(1), 1, MAX_SHARDS),
            ("max_files", self.max_files, 1, MAX_FILES),
            ("max_findings", self.max_findings, 0, MAX_FINDINGS),
        ] {
            if !(least..=most).contains(&value) {
                let message = format!("`{name}` is {value}, and can be from {least} to {most}");
                return Err(Error::new("invalid_input", message));
            }
        }
        if self.review.contains_key("paths") {
            let message = "`review` cannot set `paths`, which each reviewer is given by its lead";
            return Err(Error::new("invalid_input", message));
        }
        Ok(())
    }
}

fn yes() -> bool {
    true
}

fn empty() -> Value {
    json!({})
}

fn default_max_files() -> usize {
    20_000
}

fn default_max_findings() -> usize {
    500
}

fn default_reviewer() -> String {
    "reviewer".to_owned()
}

fn default_replanner() -> Option<String> {
    Some("retry-replanner".to_owned())
}

fn default_judge() -> Option<String> {
    Some("threshold-judge".to_owned())
}

/// A review that is not whole must not pass unseen.
fn default_criteria() -> Value {
    json!({
        "max_findings": {"critical": 0},
        "checks": [{"metric": "/shards/unfinished", "max": 0}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: Value) -> Result<Input, String> {
        let input: Input = serde_json::from_value(input).map_err(|error| error.to_string())?;
        input.check().map_err(|error| error.message)?;
        Ok(input)
    }

    #[test]
    fn an_empty_input_reviews_judges_and_replans() {
        let input = read(json!({})).unwrap();
        assert_eq!(input.reviewer, "reviewer");
        assert_eq!(input.judge.as_deref(), Some("threshold-judge"));
        assert_eq!(input.replanner.as_deref(), Some("retry-replanner"));
        assert!(input.exclude_usual && input.root.is_none());
    }

    #[test]
    fn null_is_nobody() {
        let input = read(json!({"judge": null, "replanner": null})).unwrap();
        assert!(input.judge.is_none() && input.replanner.is_none());
    }

    #[test]
    fn numbers_and_settings_that_cannot_be_are_refused() {
        assert!(read(json!({"shards": 0})).unwrap_err().contains("from 1 to 1000"));
        assert!(read(json!({"shards": 1_001})).is_err() && read(json!({"max_files": 0})).is_err());
        assert!(read(json!({"max_findings": 5_001})).is_err() && read(json!({"max_findings": 0})).is_ok());
        assert!(read(json!({"review": {"paths": []}})).unwrap_err().contains("`paths`"));
        assert!(read(json!({"shard": 3})).unwrap_err().contains("unknown field"));
    }
}

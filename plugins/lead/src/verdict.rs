//! Asking the judge: what it is shown, and what its answer means.

use pleach_sdk::{CallError, Error, Spawn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::report::Report;

/// The most findings that a judge is shown.
const MAX_SHOWN: usize = 200;

/// What the judge said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub judge: String,
    pub run_id: String,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    pub rationale: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Fail,
}

/// What a judge answers.
#[derive(Deserialize)]
struct Answer {
    outcome: Outcome,
    score: Option<f64>,
    #[serde(default)]
    rationale: String,
}

/// Has `judge` look at the report. A judge that was refused, or that failed, has
/// given no verdict, and that is an error: silence must not pass.
pub fn ask(judge: &str, criteria: &Value, report: &Report) -> Result<Verdict, Error> {
    let doing = format!("asking the judge `{judge}`");
    let case = json!({"subject": subject(report), "criteria": criteria});
    let called = Spawn::of(judge)
        .input(&case)?
        .key("judge")
        .call()
        .map_err(|error: CallError| Error::from(error).while_doing(&doing))?;
    let answer: Answer = called.completed().map_err(|error| error.while_doing(&doing))?;
    Ok(Verdict {
        judge: judge.to_owned(),
        run_id: called.run_id,
        outcome: answer.outcome,
        score: answer.score,
        rationale: answer.rationale,
    })
}

/// What is judged: the numbers, and the worst of the findings.
pub fn subject(report: &Report) -> Value {
    let shown = report.findings.iter().take(MAX_SHOWN).collect::<Vec<_>>();
    json!({
        "root": report.root,
        "score": report.score(),
        "counts": report.counts,
        "files": report.files,
        "shards": report.shard_counts(),
        "not_reviewed": report.not_reviewed,
        "findings": shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_judge_finds_what_the_criteria_point_at() {
        let subject = subject(&fixture::report());
        assert_eq!(subject["counts"]["by_severity"]["critical"], 1);
        assert_eq!(subject["shards"]["unfinished"], 1);
        assert_eq!(subject["score"], 0.8);
        assert_eq!(subject["not_reviewed"]["binary"]["count"], 3);
        assert_eq!(subject["findings"][0]["severity"], "critical");
    }

    #[test]
    fn a_judge_is_shown_the_worst_and_not_everything() {
        let mut report = fixture::report();
        report.findings = vec![report.findings[0].clone(); 5_000];
        assert_eq!(subject(&report)["findings"].as_array().unwrap().len(), MAX_SHOWN);
    }
}

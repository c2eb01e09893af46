//! Judges: `{"subject": any, "criteria"?: any}` in,
//! `{"outcome": "pass" | "fail", "score"?: 0 to 1, "rationale": text}` out.

use pleach_kernel::{Payload, Role};
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;
use wasmtime::Store;

use super::{Answer, empty_object, invalid_output, output_of, parse, plugin_error};
use crate::bindings::judge::{JudgeError, JudgePre, JudgeRequest, Outcome, Verdict};
use crate::guest::Guest;
use crate::stage;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    subject: Payload,
    #[serde(default)]
    criteria: Option<Payload>,
}

const EXPECTED: &str = r#"{"subject": any JSON, "criteria": any JSON, {} where left out}"#;

#[derive(Serialize)]
struct Output {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    rationale: String,
}

pub(super) async fn call(pre: &JudgePre<Guest>, store: &mut Store<Guest>, input: &Payload) -> wasmtime::Result<Answer> {
    let Input { subject, criteria } = match parse(Role::Judge, EXPECTED, input) {
        Ok(input) => input,
        Err(error) => return Ok(Err(error)),
    };
    let judge = pre.instantiate_async(&mut *store).instrument(stage::instantiate()).await?;
    let request = JudgeRequest {
        subject: subject.as_str().to_owned(),
        criteria: criteria.unwrap_or_else(empty_object).as_str().to_owned(),
        seed: store.data().calls.seed(),
    };
    Ok(match judge.call_judge(store, &request).instrument(stage::call()).await? {
        Ok(verdict) => answer(verdict),
        Err(JudgeError { code, message, retryable, details }) => Err(plugin_error(code, message, retryable, details)),
    })
}

fn answer(verdict: Verdict) -> Answer {
    if verdict.score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
        return Err(invalid_output("a judge's score is from 0 to 1"));
    }
    let outcome = match verdict.outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
    };
    output_of(&Output { outcome, score: verdict.score, rationale: verdict.rationale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_written_in_snake_case_and_its_score_is_checked() {
        let verdict = |score| Verdict { outcome: Outcome::Pass, score, rationale: "fine".into() };
        let text = |score| answer(verdict(score)).unwrap().as_str().to_owned();
        assert_eq!(text(Some(0.5)), r#"{"outcome":"pass","score":0.5,"rationale":"fine"}"#);
        assert_eq!(text(None), r#"{"outcome":"pass","rationale":"fine"}"#);
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert_eq!(&*answer(verdict(Some(bad))).unwrap_err().code, "invalid_output");
        }
    }

    #[test]
    fn criteria_may_be_left_out_and_nothing_else_added() {
        let read = |text: &str| parse::<Input>(Role::Judge, EXPECTED, &Payload::parse(text.into()).unwrap());
        assert_eq!(read(r#"{"subject": null}"#).map(|input| input.subject).unwrap(), Payload::null());
        assert!(read(r#"{"subject": [1], "criteria": null}"#).is_ok());
        for bad in ["{}", "[]", r#"{"subject": 1, "criterias": {}}"#] {
            assert_eq!(&*read(bad).err().unwrap().code, "invalid_input", "{bad}");
        }
    }
}

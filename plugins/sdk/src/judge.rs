//! From an exported `judge` to a function over a [`Case`].

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::bindings::judge::{JudgeError, JudgeRequest};

pub use crate::bindings::judge::{Outcome, Verdict};

/// What a judge is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What is judged.
    pub subject: Value,
    /// By what; `{}` where nothing was given.
    pub criteria: Value,
    /// The same in every replay.
    pub seed: u64,
}

impl Case {
    /// The criteria as a type of yours. Others fail with `invalid_criteria`.
    pub fn criteria<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(&self.criteria)
            .map_err(|error| Error::new("invalid_criteria", format!("cannot read the criteria: {error}")))
    }
}

impl Verdict {
    /// It is good enough.
    pub fn pass(score: Option<f64>, rationale: impl Into<String>) -> Self {
        Self { outcome: Outcome::Pass, score, rationale: rationale.into() }
    }

    /// It is not.
    pub fn fail(score: Option<f64>, rationale: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, score, rationale: rationale.into() }
    }
}

/// Make a `fn(Case) -> Result<Verdict, Error>` the plugin's judge.
#[macro_export]
macro_rules! judge {
    ($judge:path) => {
        const _: () = {
            struct Plugin;
            impl $crate::bindings::judge::Guest for Plugin {
                fn judge(
                    request: $crate::bindings::judge::JudgeRequest,
                ) -> ::std::result::Result<$crate::bindings::judge::Verdict, $crate::bindings::judge::JudgeError>
                {
                    $crate::judge::answer(request, $judge)
                }
            }
            $crate::bindings::judge::export_judge!(
                Plugin with_types_in $crate::bindings::judge
            );
        };
    };
}

/// What `judge!` expands to.
#[doc(hidden)]
pub fn answer(request: JudgeRequest, judge: fn(Case) -> Result<Verdict, Error>) -> Result<Verdict, JudgeError> {
    crate::panic::report_to_log();
    let case = || {
        Ok(Case {
            subject: crate::json::parse("the subject", &request.subject)?,
            criteria: crate::json::parse("the criteria", &request.criteria)?,
            seed: request.seed,
        })
    };
    case().and_then(judge).map_err(|error| JudgeError {
        details: error.details_text(),
        code: error.code,
        message: error.message,
        retryable: error.retryable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(subject: &str, criteria: &str) -> Result<Verdict, JudgeError> {
        let request = JudgeRequest { subject: subject.into(), criteria: criteria.into(), seed: 7 };
        answer(request, |case| {
            let least: u64 = case.criteria()?;
            let score = case.subject["score"].as_u64().unwrap_or_default();
            Ok(if score >= least { Verdict::pass(None, "enough") } else { Verdict::fail(Some(0.0), "too little") })
        })
    }

    #[test]
    fn the_function_sees_values_and_the_contract_a_verdict() {
        assert_eq!(judged("{\"score\": 3}", "3").unwrap().outcome, Outcome::Pass);
        assert_eq!(judged("{\"score\": 2}", "3").unwrap().outcome, Outcome::Fail);
    }

    #[test]
    fn criteria_of_another_shape_are_an_error_and_not_a_verdict() {
        assert_eq!(judged("{}", "\"many\"").unwrap_err().code, "invalid_criteria");
        assert_eq!(judged("{", "3").unwrap_err().code, "invalid_json");
    }
}

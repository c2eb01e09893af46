//! Stands in for an agent that is not written yet, or not at hand: it waits, fails
//! as often as it is told to, and then gives the answer that it was given.
//!
//! So a graph can be tried out, with its retries and its failures, before any of
//! its agents exists.

use pleach_sdk::{Error, clock, context};
use serde::Deserialize;
use serde_json::Value;

pleach_sdk::agent!(run);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    /// How long each try takes.
    #[serde(default)]
    wait_ms: u64,
    /// How it fails, if it does.
    #[serde(default)]
    fail: Option<Failing>,
    /// What it gives back; null unless given.
    #[serde(default)]
    answer: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failing {
    #[serde(default = "code")]
    code: String,
    #[serde(default = "message")]
    message: String,
    /// The tries that fail; all of them unless given.
    #[serde(default)]
    tries: Option<u32>,
}

fn code() -> String {
    "told_to_fail".to_owned()
}

fn message() -> String {
    "it was told to fail".to_owned()
}

fn run(input: Input) -> Result<Value, Error> {
    if input.wait_ms > 0 {
        clock::sleep_ms(input.wait_ms)?;
    }
    answer(input, context::attempt())
}

/// What comes of a try, once it has waited.
fn answer(input: Input, attempt: u32) -> Result<Value, Error> {
    match input.fail {
        // Another try may help only where one will succeed.
        Some(Failing { code, message, tries: Some(tries) }) if attempt <= tries => {
            Err(Error::retryable(code, format!("{message} (try {attempt})")))
        }
        Some(Failing { code, message, tries: None }) => Err(Error::new(code, message)),
        Some(Failing { tries: Some(_), .. }) | None => Ok(input.answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(input: Value, attempt: u32) -> Result<Value, (String, bool)> {
        let input = serde_json::from_value(input).expect("an input");
        answer(input, attempt).map_err(|error| (error.code, error.retryable))
    }

    #[test]
    fn it_fails_as_often_as_it_is_told_to_and_then_answers() {
        let input = serde_json::json!({"fail": {"code": "busy", "tries": 2}, "answer": 7});
        assert_eq!(tried(input.clone(), 1), Err(("busy".to_owned(), true)));
        assert_eq!(tried(input.clone(), 2), Err(("busy".to_owned(), true)));
        assert_eq!(tried(input, 3), Ok(7.into()));
    }

    #[test]
    fn without_a_number_of_tries_it_never_answers() {
        let input = serde_json::json!({"fail": {}, "answer": 7});
        assert_eq!(tried(input.clone(), 1), Err(("told_to_fail".to_owned(), false)));
        assert_eq!(tried(input, 9), Err(("told_to_fail".to_owned(), false)));
    }

    #[test]
    fn an_input_with_nothing_in_it_is_answered_with_null() {
        assert_eq!(tried(serde_json::json!({}), 1), Ok(Value::Null));
    }
}

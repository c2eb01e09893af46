//! Returns text that is not JSON, is too long, is nested too deep, or errors that
//! make no more sense. Speaks the contract without the SDK's checks.

use pleach_sdk::bindings::agent::{AgentError, Guest};
use pleach_sdk::json;
use serde::Deserialize;

struct Garbage;

pleach_sdk::bindings::agent::export_agent!(Garbage with_types_in pleach_sdk::bindings::agent);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Empty,
    NotJson,
    Truncated,
    TwoDocuments,
    /// One byte over what a call may carry.
    Oversized,
    /// As much JSON as fits, all of it brackets.
    Deep,
    /// An error whose details are not JSON.
    ErrorDetails,
    /// An error whose details are one byte too long.
    ErrorOversized,
    /// An error without a code, and with a message of a megabyte.
    ErrorShapeless,
}

#[derive(Deserialize)]
struct Input {
    kind: Kind,
}

impl Guest for Garbage {
    fn run(input: String) -> Result<String, AgentError> {
        let Ok(Input { kind }) = serde_json::from_str(&input) else {
            return Err(error("invalid_input", "name a `kind`", None));
        };
        let quoted = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        match kind {
            Kind::Empty => Ok(String::new()),
            Kind::NotJson => Ok("this is not JSON".to_owned()),
            Kind::Truncated => Ok("{\"key\": [1, 2".to_owned()),
            Kind::TwoDocuments => Ok("{} {}".to_owned()),
            Kind::Oversized => Ok(quoted(json::MAX_BYTES + 1)),
            Kind::Deep => Ok("[".repeat(json::MAX_BYTES / 2) + &"]".repeat(json::MAX_BYTES / 2)),
            Kind::ErrorDetails => Err(error("garbage", "its details are not JSON", Some("{".to_owned()))),
            Kind::ErrorOversized => {
                Err(error("garbage", "its details are too long", Some(quoted(json::MAX_BYTES + 1))))
            }
            Kind::ErrorShapeless => Err(error("", &"x".repeat(json::MAX_BYTES), None)),
        }
    }
}

fn error(code: &str, message: &str, details: Option<String>) -> AgentError {
    AgentError { code: code.to_owned(), message: message.to_owned(), retryable: false, details }
}

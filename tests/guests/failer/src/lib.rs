//! Fails with the code, message and details that its input names.

use pleach_sdk::Error;
use serde::Deserialize;
use serde_json::Value;

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    code: Option<String>,
    message: Option<String>,
    #[serde(default)]
    retryable: bool,
    details: Option<Value>,
}

fn run(input: Input) -> Result<(), Error> {
    Err(Error {
        code: input.code.unwrap_or_else(|| "told_to_fail".to_owned()),
        message: input.message.unwrap_or_else(|| "it was told to fail".to_owned()),
        retryable: input.retryable,
        details: input.details,
    })
}

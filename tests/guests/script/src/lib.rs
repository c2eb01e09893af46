//! Makes the host calls that its input lists, in order, and returns the answers:
//! `{op, ok}` or `{op, error}` for each step, where an error is the contract's
//! `{denied}` or `{failed}`. For tests that want a plain list of calls and not a
//! guest of their own.
//!
//! A string `"$2.group_id"` in a step is replaced by that part of the answer to
//! step 2 (from 0; `"$2.members.0.run_id"` and so on). A mistake in the script
//! itself fails the run with `bad_script`.

mod step;

use pleach_sdk::{CallError, Error};
use serde::Serialize;
use serde_json::{Value, json};

use step::Next;

pleach_sdk::agent!(run);

fn run(steps: Vec<Value>) -> Result<Value, Error> {
    let mut answers = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        let what = |error: Error| error.while_doing(format!("step {number}"));
        let step = resolve(step, &answers).map_err(what)?;
        let op = step["op"].as_str().unwrap_or_default().to_owned();
        match step::make(&op, step).map_err(what)? {
            Next::Answer(Ok(ok)) => answers.push(json!({"op": op, "ok": ok})),
            Next::Answer(Err(error)) => answers.push(json!({"op": op, "error": error})),
            Next::Return(value) => return Ok(value),
            Next::Fail(error) => return Err(error),
        }
    }
    Ok(Value::Array(answers))
}

/// Replace each reference by what it refers to.
fn resolve(step: Value, answers: &[Value]) -> Result<Value, Error> {
    Ok(match step {
        Value::String(text) => match text.strip_prefix('$') {
            Some(reference) => look_up(reference, answers)?,
            None => Value::String(text),
        },
        Value::Array(items) => {
            let items = items.into_iter().map(|item| resolve(item, answers));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, field)| Ok((key, resolve(field, answers)?)));
            Value::Object(fields.collect::<Result<_, Error>>()?)
        }
        plain => plain,
    })
}

fn look_up(reference: &str, answers: &[Value]) -> Result<Value, Error> {
    let (number, path) = reference.split_once('.').unwrap_or((reference, ""));
    let answer = number.parse::<usize>().ok().and_then(|number| answers.get(number));
    let pointer = match path {
        "" => String::new(),
        path => format!("/{}", path.replace('.', "/")),
    };
    answer
        .and_then(|answer| answer.get("ok").or(answer.get("error")))
        .and_then(|answer| answer.pointer(&pointer))
        .cloned()
        .ok_or_else(|| bad(format!("`${reference}` refers to nothing that was answered")))
}

fn bad(message: impl Into<String>) -> Error {
    Error::new("bad_script", message)
}

/// An answer as JSON.
fn answer<T: Serialize>(answer: Result<T, CallError>) -> Result<Next, Error> {
    let text = |value: Result<Value, _>| value.map_err(|error: serde_json::Error| bad(error.to_string()));
    Ok(Next::Answer(match answer {
        Ok(ok) => Ok(text(serde_json::to_value(ok))?),
        Err(error) => Err(text(serde_json::to_value(error))?),
    }))
}

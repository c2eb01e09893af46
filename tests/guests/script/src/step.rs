//! One step of a script: which operation takes which fields, and the call.
//!
//! | op | fields |
//! |---|---|
//! | `spawn` | those of `spawn-request`; `input` may be left out |
//! | `group` | those of `group-request`; `join` may be left out: best effort |
//! | `join` | `group` |
//! | `cancel`, `evaluate`, `query` | those of their requests |
//! | `call` | those of `call-request`; `input` may be left out |
//! | `sleep` | `ms` |
//! | `roots`, `now`, `context`, `remaining_budget` | none |
//! | `list`, `stat` | `path` |
//! | `read` | `path`, `offset?`, `length?`; answers `{bytes, text}` |
//! | `progress` | `message`, `fraction?`, `data?` |
//! | `log` | `message` |
//! | `return` | `value`: ends the run with it |
//! | `fail` | `code`, `message`, `retryable?`, `details?`: ends the run so |
//! | `panic` | `message` |

use pleach_sdk::{
    Cancel, CancelRequest, Error, Evaluate, EvaluateRequest, Group, GroupRequest, Query, QueryRequest, Spawn,
    SpawnRequest, clock, context, files, log, progress,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{answer, bad};

/// How the script goes on.
pub enum Next {
    Answer(Result<Value, Value>),
    Return(Value),
    Fail(Error),
}

/// Make one step.
pub fn make(op: &str, mut step: Value) -> Result<Next, Error> {
    let fields = step.as_object_mut().ok_or_else(|| bad("a step is an object"))?;
    fields.remove("op");
    match op {
        "spawn" => answer(spawn(step)?.start()),
        "call" => answer(spawn(step)?.call()),
        "group" => answer(group(step)?.start()),
        "join" => answer(pleach_sdk::join(&text(&step, "group")?)),
        "cancel" => answer(Cancel::from(read::<CancelRequest>(step)?).send()),
        "evaluate" => answer(Evaluate::from(read::<EvaluateRequest>(step)?).ask()),
        "query" => answer(Query::from(read::<QueryRequest>(step)?).ask()),
        "sleep" => answer(clock::sleep_ms(number(&step, "ms")?.unwrap_or(0))),
        "roots" => answer(Ok(files::roots())),
        "list" => answer(files::list(&text(&step, "path")?)),
        "stat" => answer(files::stat(&text(&step, "path")?)),
        "read" => answer(read_file(&step)?),
        "now" => answer(Ok(clock::now_ms())),
        "remaining_budget" => answer(Ok(context::remaining_budget())),
        "context" => answer(Ok(json!({
            "lineage": context::lineage(),
            "tenant": context::tenant(),
            "scopes": context::scopes(),
            "deadline_ms": context::deadline_ms(),
            "attempt": context::attempt(),
            "seed": context::seed(),
            "remaining_budget": context::remaining_budget(),
        }))),
        "progress" => {
            progress::report_with(&text(&step, "message")?, step["fraction"].as_f64(), &step["data"]);
            answer(Ok(()))
        }
        "log" => {
            log::info(&text(&step, "message")?);
            answer(Ok(()))
        }
        "return" => Ok(Next::Return(step["value"].take())),
        "fail" => Ok(Next::Fail(Error {
            code: text(&step, "code")?,
            message: text(&step, "message")?,
            retryable: step["retryable"].as_bool().unwrap_or(false),
            details: step.get("details").cloned(),
        })),
        "panic" => panic!("{}", text(&step, "message")?),
        other => Err(bad(format!("there is no operation `{other}`"))),
    }
}

fn spawn(mut step: Value) -> Result<Spawn, Error> {
    default(&mut step, "input", Value::Null);
    Ok(read::<SpawnRequest>(step)?.into())
}

fn group(mut step: Value) -> Result<Group, Error> {
    default(&mut step, "join", json!({"mode": "best_effort"}));
    for member in step["members"].as_array_mut().into_iter().flatten() {
        default(member, "input", Value::Null);
    }
    Ok(read::<GroupRequest>(step)?.into())
}

fn read_file(step: &Value) -> Result<Result<Value, pleach_sdk::CallError>, Error> {
    let offset = number(step, "offset")?.unwrap_or(0);
    let length = number(step, "length")?.unwrap_or(files::MAX_READ_BYTES.into());
    let length = u32::try_from(length).map_err(|_| bad("`length` is over 32 bits"))?;
    Ok(files::read_part(&text(step, "path")?, offset, length)
        .map(|bytes| json!({"bytes": bytes.len(), "text": String::from_utf8_lossy(&bytes)})))
}

fn default(step: &mut Value, key: &str, value: Value) {
    if let Some(fields) = step.as_object_mut() {
        fields.entry(key).or_insert(value);
    }
}

fn read<T: DeserializeOwned>(step: Value) -> Result<T, Error> {
    serde_json::from_value(step).map_err(|error| bad(error.to_string()))
}

fn text(step: &Value, key: &str) -> Result<String, Error> {
    let text = step[key].as_str().ok_or_else(|| bad(format!("`{key}` is missing or not text")))?;
    Ok(text.to_owned())
}

fn number(step: &Value, key: &str) -> Result<Option<u64>, Error> {
    match &step[key] {
        Value::Null => Ok(None),
        number => number.as_u64().map(Some).ok_or_else(|| bad(format!("`{key}` is not a number"))),
    }
}

//! Values between JSON and CEL. Whole numbers are signed in CEL, so that they can
//! be reckoned with; one that does not fit is a floating-point number.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use serde_json::{Number, Value as Json};

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(from_json).collect())),
        Json::Object(fields) => map(fields.iter().map(|(key, value)| (key.as_str(), from_json(value)))),
    }
}

fn map<'a>(fields: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let fields = fields.map(|(key, value)| (Key::String(Arc::new(key.to_owned())), value));
    Value::Map(Map { map: Arc::new(fields.collect::<HashMap<_, _>>()) })
}

/// A map of what is known already.
pub(super) fn map_of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a Datum)>) -> Value {
    map(fields.into_iter().map(|(key, datum)| (key, datum.cel().clone())))
}

/// Something that expressions can look at: JSON, and as CEL has it, which is made when
/// the first of them looks.
#[derive(Debug, Default)]
pub struct Datum {
    json: Json,
    cel: OnceCell<Value>,
}

impl Datum {
    pub fn json(&self) -> &Json {
        &self.json
    }

    pub(super) fn cel(&self) -> &Value {
        self.cel.get_or_init(|| from_json(&self.json))
    }
}

impl From<Json> for Datum {
    fn from(json: Json) -> Self {
        Self { json, cel: OnceCell::new() }
    }
}

/// Bytes of what an evaluation gives, about.
const MOST_GIVEN: usize = 16 << 20;

/// As JSON, unless that takes too much: a loop may repeat one large value often.
pub(super) fn to_json(value: &Value) -> Result<Json, String> {
    let mut left = MOST_GIVEN;
    convert(value, &mut left)
}

fn convert(value: &Value, left: &mut usize) -> Result<Json, String> {
    let takes = match value {
        Value::String(text) => text.len() + 16,
        _ => 16,
    };
    let too_much = || format!("it makes more than {MOST_GIVEN} bytes; have an agent compute it");
    *left = left.checked_sub(takes).ok_or_else(too_much)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(number) => (*number).into(),
        Value::UInt(number) => (*number).into(),
        Value::Float(number) => Number::from_f64(*number).map(Json::Number).ok_or("the result is no finite number")?,
        Value::String(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(|item| convert(item, left)).collect::<Result<_, _>>()?,
        Value::Map(map) => {
            let fields = map.map.iter().map(|(key, value)| Ok((key.to_string(), convert(value, left)?)));
            Json::Object(fields.collect::<Result<_, String>>()?)
        }
        other => return Err(format!("the result is a {}, which JSON does not know", other.type_of())),
    })
}

//! One threshold: where to look, what has to hold there, and whether it does.

use std::fmt;

use pleach_sdk::Error;
use serde_json::Value;

/// A bound on the value at a place.
pub struct Threshold {
    pointer: String,
    bound: Bound,
    /// The place that has to be there, while what it holds below may be missing
    /// and is 0 then.
    counts: Option<String>,
}

/// What has to hold.
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Equal(Value),
}

impl Threshold {
    pub fn of(pointer: &str, bound: Bound) -> Self {
        Self { pointer: pointer.to_owned(), bound, counts: None }
    }

    /// At most so many of what is counted as `name` below `counts`.
    pub fn count(counts: &str, name: String, most: u64) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        let pointer = format!("{counts}/{name}");
        Self { pointer, bound: Bound::AtMost(most as f64), counts: Some(counts.to_owned()) }
    }

    /// Whether it holds, and why not. The outer error is for a subject that does
    /// not have what was asked for: no verdict can be made of that.
    pub fn hold(&self, subject: &Value) -> Result<Result<(), String>, Error> {
        let pointer = &self.pointer;
        let value = self.find(subject)?;
        Ok(match &self.bound {
            Bound::Equal(wanted) if value == wanted => Ok(()),
            Bound::Equal(wanted) => Err(format!("`{pointer}` is {}, not {}", short(value), short(wanted))),
            Bound::AtLeast(least) => {
                let number = self.number(value)?;
                if number >= *least { Ok(()) } else { Err(format!("`{pointer}` is {number}, below {least}")) }
            }
            Bound::AtMost(most) => {
                let number = self.number(value)?;
                if number <= *most { Ok(()) } else { Err(format!("`{pointer}` is {number}, above {most}")) }
            }
        })
    }

    fn find<'a>(&self, subject: &'a Value) -> Result<&'a Value, Error> {
        // An empty list, which counts as 0; a number could not be made in a static.
        static NONE: Value = Value::Array(Vec::new());
        if let Some(value) = subject.pointer(&self.pointer) {
            return Ok(value);
        }
        match &self.counts {
            Some(counts) if subject.pointer(counts).is_some_and(Value::is_object) => Ok(&NONE),
            _ => Err(missing(subject, &self.pointer)),
        }
    }

    fn number(&self, value: &Value) -> Result<f64, Error> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::Array(items) => Some(items.len() as f64),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => None,
        };
        number.ok_or_else(|| {
            let message = format!(
                "`{}` is {}: a bound needs a number, or a list whose items are counted",
                self.pointer,
                short(value)
            );
            Error::new("metric_not_a_number", message)
        })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bound {
            Bound::AtLeast(least) => write!(f, "`{}` at least {least}", self.pointer),
            Bound::AtMost(most) => write!(f, "`{}` at most {most}", self.pointer),
            Bound::Equal(wanted) => write!(f, "`{}` equal to {}", self.pointer, short(wanted)),
        }
    }
}

/// Says how far the pointer leads, and what there is at that place.
fn missing(subject: &Value, pointer: &str) -> Error {
    let mut place = pointer;
    while let Some(end) = place.rfind('/') {
        place = &place[..end];
        if subject.pointer(place).is_some() {
            break;
        }
    }
    let there = match subject.pointer(place) {
        Some(Value::Object(fields)) => {
            let names: Vec<String> = fields.keys().take(10).map(|name| format!("`{name}`")).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        }
        Some(Value::Array(items)) => format!("a list of {}", items.len()),
        Some(other) => short(other),
        None => "nothing".to_owned(),
    };
    let place = if place.is_empty() { "the subject".to_owned() } else { format!("`{place}`") };
    Error::new("metric_missing", format!("the subject has no `{pointer}`: {place} has {there}"))
}

/// A value as it fits into a sentence.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

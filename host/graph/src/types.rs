//! Types: what an expression computes with, as far as that can be known before it
//! runs, and what of it can never work.
//!
//! Data is of any type until a run has it, so little is known, and only what is
//! certain is told: where nothing is known, nothing is wrong.

mod calls;
mod operators;
mod place;
mod walk;

use cel::common::ast::{IdedExpr, SourceInfo};

use crate::expression::Mistake;

/// What an expression's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Not known before it runs.
    Any,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    List,
    Map,
    /// A type as a value: `type(1) == int`.
    Type,
}

impl Type {
    /// With its article, for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Int => "an integer",
            Self::Uint => "an unsigned integer",
            Self::Double => "a floating-point number",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Type => "a type",
        }
    }

    /// That of a value.
    pub(crate) fn of(value: &serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(_) => Self::Bool,
            serde_json::Value::Number(number) if number.is_f64() => Self::Double,
            serde_json::Value::Number(_) => Self::Int,
            serde_json::Value::String(_) => Self::Text,
            serde_json::Value::Array(_) => Self::List,
            serde_json::Value::Object(_) => Self::Map,
        }
    }

    /// Whether it can be this one.
    pub fn can_be(self, other: Self) -> bool {
        self == Self::Any || self == other
    }

    pub fn can_be_number(self) -> bool {
        matches!(self, Self::Any | Self::Int | Self::Uint | Self::Double)
    }

    /// What is either of two.
    fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}

/// What CEL calls its types, which expressions can compare with.
pub(crate) const NAMES: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// A place in an expression that looks at something from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The name, and up to three fields: `nodes`, the id, its field, and one of that.
    pub path: Vec<String>,
    /// The bytes of the expression that say so, without the last: from, and how many.
    pub at: (usize, usize),
    /// Whether it only asks whether there is such a field.
    pub has: bool,
}

/// The most fields of a look that anybody asks for.
const LOOK_DEPTH: usize = 4;

/// Of those, how many are underlined.
const SHOWN_DEPTH: usize = 3;

/// What was found out about an expression.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub kind: Type,
    pub looks: Vec<Look>,
    /// What can never work.
    pub doubts: Vec<Mistake>,
}

/// What is known of data beside what every graph has: the type of a name and its fields,
/// or of so many of them as are known.
pub(crate) type Known<'a> = dyn Fn(&[String]) -> Option<(Type, usize)> + 'a;

/// Where nothing is known besides.
pub(crate) fn nothing(_path: &[String]) -> Option<(Type, usize)> {
    None
}

/// Reads an expression as it was parsed.
pub(crate) fn read(expression: &IdedExpr, info: &SourceInfo, text: &str, known: &Known<'_>) -> Reading {
    walk::read(expression, info, text, known)
}

/// Reads one that is nothing but a name and fields.
pub(crate) fn read_path(path: &[String], text: &str, known: &Known<'_>) -> Reading {
    let look = Look { path: path.iter().take(LOOK_DEPTH).cloned().collect(), at: (0, text.len()), has: false };
    let (kind, wrong) = of_path(path, known);
    let doubts = wrong.map(|why| Mistake { message: why, hint: None, at: Some((0, text.len())) });
    Reading { kind, looks: vec![look], doubts: doubts.into_iter().collect() }
}

/// The type of a name and its fields, and why there can be no such value.
fn of_path(path: &[String], besides: &Known<'_>) -> (Type, Option<String>) {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let (kind, known) = match parts.as_slice() {
        ["nodes", _, "status", ..] => (Type::Text, 3),
        ["nodes", _] => (Type::Map, 2),
        ["run"] => (Type::Map, 1),
        ["run", "run_id" | "tenant" | "trace_id", ..] => (Type::Text, 2),
        ["run", "depth", ..] => (Type::Int, 2),
        ["index" | "failed" | "completed", ..] => (Type::Int, 1),
        [name] if NAMES.contains(name) => (Type::Type, 1),
        _ => match besides(path) {
            Some(known) => known,
            None => return (Type::Any, None),
        },
    };
    match parts.get(known) {
        Some(_) if kind == Type::Any => (Type::Any, None),
        Some(field) if kind != Type::Map => (Type::Any, Some(format!("{} has no field `{field}`", kind.name()))),
        Some(_) | None => (kind, None),
    }
}

#[cfg(test)]
mod tests;

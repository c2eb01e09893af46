//! Text: the kinds of values that a file leaves to be read later: JSON,
//! templates, and expressions.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::at::At;
use crate::tree::{Entry, Tree, Value};

/// Any JSON, taken as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub(crate) Tree);

impl Json {
    pub fn value(&self) -> serde_json::Value {
        self.0.json()
    }
}

/// Any JSON, in which text may contain `${{ expression }}`. Text that is nothing
/// but one expression stands for that expression's value, of whatever type.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(pub(crate) Tree);

/// What the reader knows [`Cel`] by.
pub(crate) const CEL: &str = "pleach expression";

/// An expression in the Common Expression Language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cel(pub(crate) String);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tree::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tree::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Cel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Cel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression")
            }

            fn visit_str<E>(self, text: &str) -> Result<Cel, E> {
                Ok(Cel(text.to_owned()))
            }
        }
        deserializer.deserialize_newtype_struct(CEL, Text)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { value, span } = At::<Value>::deserialize(deserializer)?;
        Ok(Self { span, value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number that JSON cannot hold"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<At<String>, Tree>()? {
            map.push(Entry { key: key.value, key_span: key.span, value });
        }
        Ok(Value::Map(map))
    }
}

macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Json, "Json", { "description": "Any JSON." });
schema!(Template, "Template", {
    "description": "Any JSON, in which text may contain ${{ expression }} over `input`, `nodes.<id>.output` and `run`."
});
schema!(Cel, "Expression", {
    "description": "An expression in the Common Expression Language (CEL) over `input`, `nodes.<id>.output` and `run`.",
    "type": "string",
    "minLength": 1,
    "maxLength": 1024
});

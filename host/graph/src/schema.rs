//! Schemas: JSON Schemas that a graph gives for what goes in and comes out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value as Json;

/// A JSON Schema, compiled.
#[derive(Clone)]
pub struct Schema(Arc<Validator>);

/// So many ways in which a value does not fit are told.
const MOST: usize = 3;

impl Schema {
    /// Compiles a schema. It may refer to its own parts by their places, and not to
    /// itself or to anything outside: whoever holds a value against it cannot be stopped.
    pub fn compile(schema: &Json) -> Result<Self, String> {
        Parts { whole: schema, known: HashMap::new() }.weigh(schema, 0)?;
        match jsonschema::validator_for(schema) {
            Ok(validator) => Ok(Self(Arc::new(validator))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What of a value does not fit, for people.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        // What is wrong takes longer to tell than whether anything is.
        if self.0.is_valid(value) {
            return Ok(());
        }
        let wrong: Vec<String> = self
            .0
            .iter_errors(value)
            .take(MOST)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("at {path}: {error}"),
            })
            .collect();
        Err(wrong.join("; "))
    }
}

/// Parts that a schema may have, each counted as often as it is referred to.
const MOST_PARTS: usize = 10_000;

/// Parts within each other, and references from one to the next.
const MOST_LEVELS: usize = 128;

/// The parts of a schema that were counted so far; none while one is being counted.
struct Parts<'a> {
    whole: &'a Json,
    known: HashMap<*const Json, Option<usize>>,
}

impl<'a> Parts<'a> {
    fn weigh(&mut self, part: &'a Json, level: usize) -> Result<usize, String> {
        if level > MOST_LEVELS {
            return Err(format!("it is more than {MOST_LEVELS} levels deep"));
        }
        let inner: Vec<&'a Json> = match part {
            Json::Object(fields) => fields.values().collect(),
            Json::Array(items) => items.iter().collect(),
            _ => return Ok(0),
        };
        match self.known.insert(part, None) {
            Some(None) => return Err("it refers to itself; say how deep it goes, or leave the inner part open".into()),
            Some(known) => {
                self.known.insert(part, known);
                return Ok(known.unwrap_or_default());
            }
            None => {}
        }
        let mut weight = usize::from(part.is_object());
        for inner in inner {
            weight = weight.saturating_add(self.weigh(inner, level + 1)?);
        }
        if let Some(target) = self.referred(part)? {
            weight = weight.saturating_add(self.weigh(target, level + 1)?);
        }
        if weight > MOST_PARTS {
            return Err(format!("it has more than {MOST_PARTS} parts, counted as often as they are referred to"));
        }
        self.known.insert(part, Some(weight));
        Ok(weight)
    }

    /// What a part refers to.
    fn referred(&self, part: &Json) -> Result<Option<&'a Json>, String> {
        let of = |keyword| part.get(keyword).and_then(Json::as_str);
        if let Some(name) = of("$dynamicRef").or_else(|| of("$recursiveRef")) {
            return Err(format!(
                "it refers to `{name}` by what it is used in; refer to a place, such as `#/$defs/NAME`"
            ));
        }
        // Places would be counted from there.
        let is_old = self.whole.get("$schema").and_then(Json::as_str).is_some_and(|name| name.contains("draft-04"));
        let renames = of("$id").or_else(|| of("id").filter(|_| is_old)).filter(|_| !std::ptr::eq(part, self.whole));
        if let Some(name) = renames {
            return Err(format!("a part of it is called `{name}`; leave the name out"));
        }
        let Some(place) = of("$ref") else { return Ok(None) };
        let found = place.strip_prefix('#').and_then(|pointer| self.whole.pointer(pointer));
        let missing = || format!("it refers to `{place}`, which is no place in it; write `#/$defs/NAME`");
        found.map(Some).ok_or_else(missing)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let schema =
            Schema::compile(&json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["m"]}));
        let schema = schema.unwrap();
        assert_eq!(schema.check(&json!({"n": 1, "m": 2})), Ok(()));
        let wrong = schema.check(&json!({"n": "x"})).unwrap_err();
        assert!(wrong.contains("at /n") && wrong.contains("\"m\""), "{wrong}");
    }

    #[test]
    fn a_schema_that_is_none_is_refused_and_none_is_fetched() {
        assert!(Schema::compile(&json!({"type": "nonsense"})).is_err());
        assert!(Schema::compile(&json!({"$ref": "https://example.com/schema.json"})).is_err());
        assert!(Schema::compile(&json!({"$ref": "file:///etc/passwd"})).is_err());
    }

    #[test]
    fn a_schema_that_takes_for_ever_to_check_is_refused() {
        let why = |schema: Json| Schema::compile(&schema).err().unwrap_or_default();
        let branches = json!([{"properties": {"x": {"$ref": "#"}}}, {"properties": {"x": {"$ref": "#"}}}]);
        assert!(why(json!({"anyOf": branches})).contains("refers to itself"));
        assert!(why(json!({"$dynamicRef": "#node"})).contains("by what it is used in"));
        assert!(why(json!({"not": {"$id": "x"}})).contains("leave the name out"));
        assert!(why(json!({"$ref": "#/$defs/gone"})).contains("no place in it"));
        let bomb = |levels: usize| {
            let part = |level: usize| match level {
                0 => json!({"type": "string"}),
                _ => {
                    let below = json!({"$ref": format!("#/$defs/d{}", level - 1)});
                    json!({"anyOf": [below, below]})
                }
            };
            let parts: serde_json::Map<String, Json> =
                (0..=levels).map(|level| (format!("d{level}"), part(level))).collect();
            json!({"$ref": format!("#/$defs/d{levels}"), "$defs": parts})
        };
        assert_eq!(why(bomb(5)), "");
        assert!(why(bomb(40)).contains("more than 10000 parts"), "{}", why(bomb(40)));
        let shared = json!({
            "$defs": {"file": {"type": "string"}}, "items": {"$ref": "#/$defs/file"},
            "properties": {"$ref": {"type": "string"}, "a": {"$ref": "#/$defs/file"}},
        });
        assert_eq!(why(shared), "");
    }
}

//! Schemas: JSON Schemas that a graph gives for what goes in and comes out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;

/// A JSON Schema, compiled.
#[derive(Clone)]
pub struct Schema(Arc<Validator>);

/// So many ways in which a value does not fit are told.
const MOST: usize = 3;

/// Bytes of each, for the value that does not fit is told with it.
const LONGEST_TOLD: usize = 500;

/// What is wrong with a schema.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub why: String,
    /// The part that it is wrong with, as a JSON Pointer (RFC 6901).
    pub part: String,
}

/// The types of JSON Schema.
const TYPES: &str = "`array`, `boolean`, `integer`, `null`, `number`, `object` and `string`";

impl Schema {
    /// Compiles a schema. It may refer to its own parts by their places, and not to
    /// itself or to anything outside: whoever holds a value against it cannot be stopped.
    pub(crate) fn compile(schema: &Json) -> Result<Self, Wrong> {
        let mut parts = Parts { whole: schema, known: HashMap::new(), place: String::new() };
        if let Err(why) = parts.weigh(schema, 0) {
            return Err(Wrong { why, part: parts.place });
        }
        // Patterns that take no longer than the text that they are looked for in.
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        match options.build(schema) {
            Ok(validator) => Ok(Self(Arc::new(validator))),
            Err(error) => {
                let part = error.instance_path().as_str().to_owned();
                // Of the schema of schemas, what it says of this keyword.
                let is_of_type = error.schema_path().as_str().contains("/properties/type/");
                let why = match schema.pointer(&part).filter(|_| is_of_type) {
                    Some(said) => format!("there is no type {said}; there are {TYPES}"),
                    None => error.to_string(),
                };
                Err(Wrong { why: brief(why), part })
            }
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
                "" => brief(error.to_string()),
                path => brief(format!("at {path}: {}", brief(error.to_string()))),
            })
            .collect();
        Err(wrong.join("; "))
    }
}

/// Parts that a schema may have, each counted as often as it is referred to, and values
/// that it lists.
const MOST_PARTS: usize = 5_000;

/// Parts within each other, and references from one to the next.
const MOST_LEVELS: usize = 128;

/// Keywords with a map from names to schemas.
const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// Keywords with values that nothing is looked for in.
const VALUES: [&str; 4] = ["const", "default", "enum", "examples"];

/// The parts of a schema that were counted so far; none while one is being counted.
struct Parts<'a> {
    whole: &'a Json,
    known: HashMap<*const Json, Option<usize>>,
    /// Where the part is that is being counted, or that was when something was wrong.
    place: String,
}

impl<'a> Parts<'a> {
    fn weigh(&mut self, part: &'a Json, level: usize) -> Result<usize, String> {
        if level > MOST_LEVELS {
            return Err(format!("it is more than {MOST_LEVELS} levels deep"));
        }
        let Json::Object(fields) = part else { return Ok(0) };
        match self.known.insert(part, None) {
            Some(None) => return Err("it refers to itself; say how deep it goes, or leave the inner part open".into()),
            Some(known) => {
                self.known.insert(part, known);
                return Ok(known.unwrap_or_default());
            }
            None => {}
        }
        let mut weight = 1usize;
        for (keyword, value) in fields {
            let inner: Vec<(String, &'a Json)> = match value {
                _ if VALUES.contains(&keyword.as_str()) => {
                    weight = weight.saturating_add(count(value));
                    continue;
                }
                Json::Object(named) if NAMED.contains(&keyword.as_str()) => {
                    named.iter().map(|(name, value)| (below(&below("", keyword), name), value)).collect()
                }
                Json::Array(items) => {
                    let place = |place: usize| below(&below("", keyword), &place.to_string());
                    items.iter().enumerate().map(|(ix, value)| (place(ix), value)).collect()
                }
                one => vec![(below("", keyword), one)],
            };
            for (way, inner) in inner {
                let above = self.place.len();
                self.place.push_str(&way);
                weight = weight.saturating_add(self.weigh(inner, level + 1)?);
                self.place.truncate(above);
            }
        }
        if let Some((place, target)) = self.referred(part)? {
            let here = std::mem::replace(&mut self.place, place);
            weight = weight.saturating_add(self.weigh(target, level + 1)?);
            self.place = here;
        }
        if weight > MOST_PARTS {
            return Err(format!("it has more than {MOST_PARTS} parts, counted as often as they are referred to"));
        }
        self.known.insert(part, Some(weight));
        Ok(weight)
    }

    /// What a part refers to, and where that is.
    fn referred(&self, part: &Json) -> Result<Option<(String, &'a Json)>, String> {
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
        // Whoever follows it decodes it first.
        let pointer = place.strip_prefix('#').and_then(decoded);
        let found = pointer.and_then(|pointer| Some((pointer.to_string(), self.whole.pointer(&pointer)?)));
        let missing = || format!("it refers to `{place}`, which is no place in it; write `#/$defs/NAME`");
        found.filter(|(_, found)| !found.is_array()).map(Some).ok_or_else(missing)
    }
}

/// The pointer to what has this name below another.
fn below(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The values in one, itself included.
fn count(value: &Json) -> usize {
    match value {
        Json::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Json::Object(fields) => 1 + fields.values().map(count).sum::<usize>(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
    }
}

/// The fragment of a URI as it is meant; none where it is no text.
fn decoded(fragment: &str) -> Option<Cow<'_, str>> {
    let text = percent_decode_str(fragment).decode_utf8().ok()?;
    // A `~` stands before `0` or `1`, or readers differ.
    text.split('~').skip(1).all(|after| after.starts_with(['0', '1'])).then_some(text)
}

/// What is wrong with a value, which may be long itself.
fn brief(mut told: String) -> String {
    if told.len() > LONGEST_TOLD {
        told.truncate(told.floor_char_boundary(LONGEST_TOLD));
        told.push('…');
    }
    told
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
    fn what_does_not_fit_is_told_briefly_however_long_it_is() {
        let schema = Schema::compile(&json!({"type": "integer", "enum": [1], "maxLength": 2})).unwrap();
        let told = schema.check(&json!("ö".repeat(100_000))).unwrap_err();
        assert!(told.len() < 4 * LONGEST_TOLD && told.contains('…'), "{} bytes", told.len());
    }

    #[test]
    fn a_schema_that_is_none_is_refused_and_none_is_fetched() {
        assert!(Schema::compile(&json!({"type": "nonsense"})).is_err());
        assert!(Schema::compile(&json!({"$ref": "https://example.com/schema.json"})).is_err());
        assert!(Schema::compile(&json!({"$ref": "file:///etc/passwd"})).is_err());
    }

    #[test]
    fn what_is_wrong_with_a_schema_has_its_place() {
        let part = |schema: Json| Schema::compile(&schema).unwrap_err().part;
        assert_eq!(part(json!({"properties": {"a/b": {"type": "strin"}}})), "/properties/a~1b/type");
        assert_eq!(part(json!({"allOf": [true, {"not": {"$ref": "#/gone"}}]})), "/allOf/1/not");
        assert_eq!(
            part(json!({"items": {"$ref": "#/$defs/d"}, "$defs": {"d": {"not": {"$id": "x"}}}})),
            "/$defs/d/not"
        );
        assert_eq!(part(json!({"properties": {"a": {"pattern": "("}}})), "/properties/a/pattern");
        assert_eq!(part(json!({"required": 1})), "/required");
        let why = |schema: Json| Schema::compile(&schema).unwrap_err().why;
        assert!(why(json!({"properties": {"type": {"type": "strin"}}})).contains("no type \"strin\""));
        assert!(why(json!({"type": ["strin", "null"]})).contains("there is no type"));
        assert!(why(json!({"type": 3})).contains("no type 3"));
        assert!(!why(json!({"properties": {"type": "string"}})).contains("no type"));
        assert!(!why(json!({"dependentRequired": {"type": "name"}})).contains("no type"));
        assert_eq!(part(json!(3)), "");
    }

    #[test]
    fn a_schema_that_takes_for_ever_to_check_is_refused() {
        let why = |schema: Json| Schema::compile(&schema).err().map_or(String::new(), |wrong| wrong.why);
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
        assert!(why(bomb(40)).contains("more than 5000 parts"), "{}", why(bomb(40)));
        let encoded = json!({"$ref": "#/$defs/a%62", "$defs": {
            "a%62": true, "ab": {"anyOf": [{"properties": {"x": {"$ref": "#/$defs/a%62"}}}]},
        }});
        assert!(why(encoded).contains("refers to itself"));
        assert!(why(json!({"items": {"enum": vec![1; 6_000]}})).contains("more than 5000 parts"));
        assert!(why(json!({"properties": {"const": {"$ref": "#"}}})).contains("refers to itself"));
        assert!(!why(json!({"pattern": "(?=a*b)x"})).is_empty());
        // Values are no schemas, whatever they look like.
        assert_eq!(
            why(json!({"const": {"$ref": "#/nowhere"}, "enum": [{"$id": "x"}], "examples": [{"$ref": "#"}]})),
            ""
        );
        assert_eq!(why(json!({"$ref": "#/$defs/a~1%62", "$defs": {"a/b": {"type": "string"}}})), "");
        assert!(why(json!({"$ref": "#/$defs/~~1", "$defs": {"~/": true, "~~1": {}}})).contains("no place in it"));
        let shared = json!({
            "$defs": {"file": {"type": "string"}}, "items": {"$ref": "#/$defs/file"},
            "properties": {"$ref": {"type": "string"}, "a": {"$ref": "#/$defs/file"}},
        });
        assert_eq!(why(shared), "");
    }
}

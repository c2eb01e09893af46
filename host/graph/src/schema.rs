//! Schemas: JSON Schemas that a graph gives for what goes in and comes out.

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
    /// Compiles a schema; it may not refer to anything outside itself.
    pub fn compile(schema: &Json) -> Result<Self, String> {
        match jsonschema::validator_for(schema) {
            Ok(validator) => Ok(Self(Arc::new(validator))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What of a value does not fit, for people.
    pub fn check(&self, value: &Json) -> Result<(), String> {
        let wrong: Vec<String> = self
            .0
            .iter_errors(value)
            .take(MOST)
            .map(|error| match error.instance_path().as_str() {
                "" => error.to_string(),
                path => format!("at {path}: {error}"),
            })
            .collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("; ")),
        }
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
}

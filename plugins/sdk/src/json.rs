//! JSON text as the contract carries it: reading it, writing it, and holding it
//! to the size that a call may have.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// The longest JSON document that a call may carry, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Read a document into a type of yours.
///
/// Fails with `invalid_json`, naming `what` was being read.
pub fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::new("invalid_json", format!("cannot read {what}: {error}")))
}

/// Write a value of yours as a document.
///
/// Fails with `invalid_json` where the value has no JSON form, and with
/// `payload_too_large` where it has more than [`MAX_BYTES`].
pub fn text<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<String, Error> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::new("invalid_json", format!("cannot write {what}: {error}")))?;
    if text.len() > MAX_BYTES {
        return Err(Error::new(
            "payload_too_large",
            format!(
                "{what} is {} bytes of JSON, and a call carries at most {MAX_BYTES}: send less, \
                 or split it over several runs",
                text.len()
            ),
        ));
    }
    Ok(text)
}

/// A document as a value; text that is not JSON becomes a JSON string, so that
/// nothing a peer sent is lost on the way to a person.
pub fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// `#[serde(with)]` for a field that holds JSON text.
#[cfg(feature = "agent")]
pub(crate) mod required {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        super::value(text).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        Ok(Value::deserialize(deserializer)?.to_string())
    }
}

/// `#[serde(with)]` for a field that may hold JSON text.
pub(crate) mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    pub fn serialize<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        text.as_deref().map(super::value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
        Ok(Option::<Value>::deserialize(deserializer)?.map(|value| value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_over_the_limit_is_refused_with_its_size() {
        let error = text("the report", &"x".repeat(MAX_BYTES)).unwrap_err();
        assert_eq!(error.code, "payload_too_large");
        assert!(error.message.contains("the report is 1048578 bytes"), "{}", error.message);
    }

    #[test]
    fn the_largest_document_that_fits_passes() {
        assert_eq!(text("it", &"x".repeat(MAX_BYTES - 2)).unwrap().len(), MAX_BYTES);
    }

    #[test]
    fn text_that_is_not_json_is_kept_as_a_string() {
        assert_eq!(value("{\"a\":1}")["a"], 1);
        assert_eq!(value("oh no"), Value::String("oh no".into()));
    }

    #[test]
    fn a_parse_error_names_what_was_read() {
        let error = parse::<u32>("the input", "\"x\"").unwrap_err();
        assert!(error.message.starts_with("cannot read the input: "), "{}", error.message);
    }
}

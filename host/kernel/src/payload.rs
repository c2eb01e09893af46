//! JSON as guests hand it over: kept as the text it is, never taken apart here.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The longest payload that travels inline, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// One JSON document of at most [`MAX_PAYLOAD_BYTES`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Payload(Arc<RawValue>);

/// Text that is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    #[error("{bytes} bytes of JSON; at most {MAX_PAYLOAD_BYTES} travel inline")]
    TooLarge { bytes: usize },
    #[error("not a JSON document: {0}")]
    NotJson(String),
}

impl Payload {
    /// Takes over `text`, which has to be one JSON document.
    pub fn parse(text: String) -> Result<Self, PayloadError> {
        if text.len() > MAX_PAYLOAD_BYTES {
            return Err(PayloadError::TooLarge { bytes: text.len() });
        }
        let raw = RawValue::from_string(text).map_err(|e| PayloadError::NotJson(e.to_string()))?;
        Ok(Self(raw.into()))
    }

    /// What `value` is as JSON.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let text = serde_json::to_string(value).map_err(|e| PayloadError::NotJson(e.to_string()))?;
        Self::parse(text)
    }

    /// `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }

    /// What stands in a log already, and may be longer than what travels inline.
    pub fn from_log(raw: Box<RawValue>) -> Self {
        Self(raw.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Payload {}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if raw.get().len() > MAX_PAYLOAD_BYTES {
            return Err(serde::de::Error::custom(PayloadError::TooLarge { bytes: raw.get().len() }));
        }
        Ok(Self(raw.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_one_document_of_bounded_size() {
        assert_eq!(Payload::parse(r#"{"a": 1}"#.into()).unwrap().as_str(), r#"{"a": 1}"#);
        for bad in ["", "{", "1 2", "nul", "{a:1}"] {
            assert!(matches!(Payload::parse(bad.into()), Err(PayloadError::NotJson(_))), "{bad}");
        }
        let long = |n: usize| format!("\"{}\"", "x".repeat(n - 2));
        assert!(Payload::parse(long(MAX_PAYLOAD_BYTES)).is_ok());
        assert_eq!(
            Payload::parse(long(MAX_PAYLOAD_BYTES + 1)),
            Err(PayloadError::TooLarge { bytes: MAX_PAYLOAD_BYTES + 1 })
        );
    }
}

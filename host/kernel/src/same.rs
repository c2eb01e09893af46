//! When two requests are the same: their target, fallbacks, input, scopes, timeout,
//! retry, budget and parent close are, and an input is its RFC 8785 form.
//!
//! That form is made only where two inputs are spelt differently: most requests
//! are never compared with another.

use std::borrow::Cow;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::command::SpawnRequest;
use crate::payload::Payload;

impl SpawnRequest {
    /// Whether a spawn key stands for both. The key itself and the priority make no
    /// difference.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.target == other.target
            && self.fallbacks == other.fallbacks
            && self.scopes == other.scopes
            && self.timeout_ms == other.timeout_ms
            && self.retry == other.retry
            && self.budget == other.budget
            && self.parent_close == other.parent_close
            && (self.input == other.input || canonical(&self.input) == canonical(&other.input))
    }

    /// Eight digits that tell two requests apart for people.
    pub(crate) fn fingerprint(&self) -> String {
        let Self { target, scopes, timeout_ms, retry, budget, parent_close, fallbacks, .. } = self;
        // Serialising our own types to memory cannot fail.
        let rest = serde_json::to_vec(&(target, scopes, timeout_ms, retry, budget, parent_close)).unwrap_or_default();
        let digest = Sha256::new()
            .chain_update(rest)
            .chain_update(canonical(&self.input).as_ref())
            .chain_update(fallbacks.join("\n"))
            .finalize();
        digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An input's RFC 8785 form. Text that is nested too deeply to be taken apart is
/// taken as it stands: then only the same spelling is the same input.
fn canonical(input: &Payload) -> Cow<'_, [u8]> {
    let canonical = serde_json::from_str::<Value>(input.as_str()).ok().and_then(|value| {
        let mut text = serde_json_canonicalizer::to_vec(&value).ok()?;
        large_integers(&value, &mut text);
        Some(text)
    });
    canonical.map_or_else(|| Cow::Borrowed(input.as_str().as_bytes()), Cow::Owned)
}

/// Adds the integers that a double cannot hold. RFC 8785 only knows doubles, so
/// that two identifiers of 64 bits may look the same to it, and one request
/// would be answered with another's run.
fn large_integers(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => {}
        Value::Number(number) => {
            let lossy = number.as_u64().is_some_and(|n| n as f64 as u128 != u128::from(n))
                || number.as_i64().is_some_and(|n| n as f64 as i128 != i128::from(n));
            if lossy {
                text.extend_from_slice(format!("\n{number}").as_bytes());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| large_integers(item, text)),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            fields.into_iter().for_each(|(_, field)| large_integers(field, text));
        }
    }
}

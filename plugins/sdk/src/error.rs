//! The error of a plugin, and how the host's refusals and failures become one.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{CallError, Denial, Failure, RunError};

/// Why a plugin did not do what it was asked. It becomes the error of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Error {
    /// Stable, lower snake case, yours to choose.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the host may try again, where the run has tries left.
    pub retryable: bool,
    /// Whatever helps whoever reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl Error {
    /// An error that trying again does not mend.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false, details: None }
    }

    /// An error that another try may mend.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }

    /// The same error with details.
    ///
    /// Details without a JSON form, such as a map with keys that are not text,
    /// are replaced by a string that says so: an error must not be lost to
    /// another one.
    #[must_use]
    pub fn with_details(mut self, details: impl Serialize) -> Self {
        self.details = Some(
            serde_json::to_value(details)
                .unwrap_or_else(|error| Value::String(format!("the details have no JSON form: {error}"))),
        );
        self
    }

    /// The same error, with what was being done when it happened put first.
    #[must_use]
    pub fn while_doing(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The details as the contract carries them. Details over the size limit
    /// are replaced by their size, for the same reason as in `with_details`.
    pub(crate) fn details_text(&self) -> Option<String> {
        let text = self.details.as_ref()?.to_string();
        if text.len() <= crate::json::MAX_BYTES {
            return Some(text);
        }
        Some(format!("\"{} bytes of details were dropped: too large\"", text.len()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<Denial> for Error {
    fn from(denial: Denial) -> Self {
        Self::new(denial.code.clone(), format!("{} was denied: {}", denial.action, denial.message)).with_details(denial)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, message: failure.message, retryable: failure.retryable, details: None }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied(denial) => denial.into(),
            CallError::Failed(failure) => failure.into(),
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            details: error.details.as_deref().map(crate::json::value),
        }
    }
}

impl CallError {
    /// The code, whichever of the two it is.
    pub fn code(&self) -> &str {
        match self {
            CallError::Denied(denial) => &denial.code,
            CallError::Failed(failure) => &failure.code,
        }
    }

    /// The message, whichever of the two it is.
    pub fn message(&self) -> &str {
        match self {
            CallError::Denied(denial) => &denial.message,
            CallError::Failed(failure) => &failure.message,
        }
    }

    /// The refusal, where policy refused.
    pub fn denial(&self) -> Option<&Denial> {
        match self {
            CallError::Denied(denial) => Some(denial),
            CallError::Failed(_) => None,
        }
    }

    /// Whether this run is being cancelled: tidy up and return.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, CallError::Failed(failure) if failure.code == "cancelled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial() -> Denial {
        Denial {
            code: "max_fanout".into(),
            action: "spawn_run".into(),
            message: "8 of 8 children are spawned".into(),
            limit: Some(8),
            requested: Some(1),
            current: Some(8),
            caller_run_id: None,
            target: Some("echo".into()),
            policy_version: 3,
            retryable: false,
        }
    }

    #[test]
    fn a_denial_becomes_an_error_that_keeps_its_code_and_its_numbers() {
        let error = Error::from(CallError::Denied(denial()));
        assert_eq!(error.code, "max_fanout");
        assert_eq!(error.message, "spawn_run was denied: 8 of 8 children are spawned");
        assert!(!error.retryable);
        assert_eq!(error.details.unwrap()["limit"], 8);
    }

    #[test]
    fn a_failure_stays_retryable() {
        let failure = Failure { code: "io".into(), message: "busy".into(), retryable: true };
        assert!(Error::from(CallError::Failed(failure)).retryable);
    }

    #[test]
    fn only_the_failure_with_that_code_is_a_cancel() {
        let failed =
            |code: &str| CallError::Failed(Failure { code: code.into(), message: String::new(), retryable: false });
        assert!(failed("cancelled").is_cancelled());
        assert!(!failed("io").is_cancelled());
        let mut denial = denial();
        denial.code = "cancelled".into();
        assert!(!CallError::Denied(denial).is_cancelled());
    }

    #[test]
    fn details_over_the_limit_are_replaced_and_not_fatal() {
        let error = Error::new("x", "y").with_details("z".repeat(crate::json::MAX_BYTES));
        let text = error.details_text().unwrap();
        assert!(text.contains("were dropped"), "{text}");
    }
}

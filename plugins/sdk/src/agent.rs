//! From an exported `run` to a function over types of yours.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::agent::AgentError;
use crate::{Error, json};

/// Make a function the plugin's agent.
///
/// The function takes any type that can be read from JSON and returns any that
/// can be written as JSON: `fn(Input) -> Result<Output, Error>`. Input that does
/// not fit the type fails the run with `invalid_input`.
///
/// `agent!(raw run)` takes a `fn(String) -> Result<String, Error>` and leaves
/// both texts alone.
#[macro_export]
macro_rules! agent {
    (raw $run:path) => {
        const _: () = {
            struct Plugin;
            impl $crate::bindings::agent::Guest for Plugin {
                fn run(
                    input: ::std::string::String,
                ) -> ::std::result::Result<::std::string::String, $crate::bindings::agent::AgentError> {
                    $crate::agent::answer_raw(input, $run)
                }
            }
            $crate::bindings::agent::export_agent!(
                Plugin with_types_in $crate::bindings::agent
            );
        };
    };
    ($run:path) => {
        const _: () = {
            fn answer(input: ::std::string::String) -> ::std::result::Result<::std::string::String, $crate::Error> {
                $crate::agent::answer(&input, $run)
            }
            $crate::agent! {
                raw answer
            }
        };
    };
}

/// What `agent!` expands to: read the input, run, write the output.
#[doc(hidden)]
pub fn answer<I, O>(input: &str, run: fn(I) -> Result<O, Error>) -> Result<String, Error>
where
    I: DeserializeOwned,
    O: Serialize,
{
    let input = serde_json::from_str(input)
        .map_err(|error| Error::new("invalid_input", format!("the input does not fit this agent: {error}")))?;
    json::text("the output", &run(input)?)
}

/// What `agent!(raw …)` expands to.
#[doc(hidden)]
pub fn answer_raw(input: String, run: fn(String) -> Result<String, Error>) -> Result<String, AgentError> {
    crate::panic::report_to_log();
    run(input).map_err(|error| AgentError {
        details: error.details_text(),
        code: error.code,
        message: error.message,
        retryable: error.retryable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(n: u32) -> Result<u32, Error> {
        n.checked_mul(2).ok_or_else(|| Error::new("overflow", "too much"))
    }

    #[test]
    fn the_function_sees_types_and_the_contract_sees_text() {
        assert_eq!(answer("21", double).unwrap(), "42");
        assert_eq!(answer("4294967295", double).unwrap_err().code, "overflow");
    }

    #[test]
    fn input_of_another_shape_is_the_callers_mistake() {
        let error = answer("\"x\"", double).unwrap_err();
        assert_eq!(error.code, "invalid_input");
        assert!(!error.retryable);
    }
}

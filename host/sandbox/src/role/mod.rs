//! Calling a plugin: one file for each world of `wit/plugin.wit`.
//!
//! An agent is handed its run's input as it is. The others are handed records,
//! so their files also say which JSON those are made from, and into which JSON
//! the answer is turned: names in lower snake case, variants tagged by name.

mod agent;
mod judge;
mod replanner;
mod router;

use pleach_kernel::{Payload, PayloadError, Role, RunError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

use crate::bindings;
use crate::guest::Guest;
use crate::rate::cut;

/// How a plugin answered: with an output, or with an error of its own.
pub(crate) type Answer = Result<Payload, RunError>;

/// The longest message of a plugin's error; the rest is cut.
const MESSAGE_BYTES: usize = 16 << 10;

/// The longest code of a plugin's error.
const CODE_BYTES: usize = 64;

/// The export that makes a component a plugin of a role.
pub(crate) fn export_of(role: Role) -> &'static str {
    match role {
        Role::Agent => "run",
        Role::Judge => "judge",
        Role::Router => "route",
        Role::Replanner => "replan",
    }
}

pub(crate) const ROLES: [Role; 4] = [Role::Agent, Role::Judge, Role::Router, Role::Replanner];

/// The role of a compiled component, by what it exports.
pub(crate) fn role_of(component: &Component) -> Option<Role> {
    ROLES.into_iter().find(|role| component.get_export_index(None, export_of(*role)).is_some())
}

/// A component that is linked and ready to be instantiated, once for each run.
pub(crate) enum Linked {
    Agent(bindings::agent::AgentPre<Guest>),
    Judge(bindings::judge::JudgePre<Guest>),
    Router(bindings::router::RouterPre<Guest>),
    Replanner(bindings::replanner::ReplannerPre<Guest>),
}

impl Linked {
    pub(crate) fn new(role: Role, pre: InstancePre<Guest>) -> wasmtime::Result<Self> {
        Ok(match role {
            Role::Agent => Self::Agent(bindings::agent::AgentPre::new(pre)?),
            Role::Judge => Self::Judge(bindings::judge::JudgePre::new(pre)?),
            Role::Router => Self::Router(bindings::router::RouterPre::new(pre)?),
            Role::Replanner => Self::Replanner(bindings::replanner::ReplannerPre::new(pre)?),
        })
    }

    pub(crate) fn role(&self) -> Role {
        match self {
            Self::Agent(_) => Role::Agent,
            Self::Judge(_) => Role::Judge,
            Self::Router(_) => Role::Router,
            Self::Replanner(_) => Role::Replanner,
        }
    }

    pub(crate) fn component(&self) -> &Component {
        match self {
            Self::Agent(pre) => pre.instance_pre().component(),
            Self::Judge(pre) => pre.instance_pre().component(),
            Self::Router(pre) => pre.instance_pre().component(),
            Self::Replanner(pre) => pre.instance_pre().component(),
        }
    }

    /// Instantiates the plugin in a fresh store and calls it. An error is a
    /// trap, or the host's.
    pub(crate) async fn call(&self, store: &mut Store<Guest>, input: &Payload) -> wasmtime::Result<Answer> {
        match self {
            Self::Agent(pre) => agent::call(pre, store, input).await,
            // Apart, or every agent would take up as much room as these.
            Self::Judge(pre) => Box::pin(judge::call(pre, store, input)).await,
            Self::Router(pre) => Box::pin(router::call(pre, store, input)).await,
            Self::Replanner(pre) => Box::pin(replanner::call(pre, store, input)).await,
        }
    }
}

/// Takes apart the input of a judge, router or replanner.
fn parse<T: DeserializeOwned>(role: Role, expected: &str, input: &Payload) -> Result<T, RunError> {
    serde_json::from_str(input.as_str())
        .map_err(|error| RunError::new("invalid_input", format!("a {} takes {expected}: {error}", role.as_str())))
}

/// What a plugin gave back has to be one JSON document of bounded size.
fn output(text: String) -> Answer {
    Payload::parse(text).map_err(|error| match error {
        PayloadError::TooLarge { .. } => RunError::new("payload_too_large", format!("the output: {error}")),
        PayloadError::NotJson(_) => invalid_output(format!("the output: {error}")),
    })
}

fn output_of(value: &impl Serialize) -> Answer {
    serde_json::to_string(value).map_err(|error| invalid_output(error.to_string())).and_then(output)
}

fn invalid_output(message: impl Into<String>) -> RunError {
    RunError::new("invalid_output", message)
}

fn empty_object() -> Payload {
    // Two characters of JSON always parse.
    Payload::parse("{}".into()).unwrap_or_else(|_| Payload::null())
}

/// An error of the plugin's own, held to the form that errors have here.
fn plugin_error(code: String, message: String, retryable: bool, details: Option<String>) -> RunError {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    let well_formed = (1..=CODE_BYTES).contains(&code.len()) && code.bytes().all(legal);
    let mut error = RunError::new(if well_formed { &code } else { "plugin_error" }, cut(&message, MESSAGE_BYTES));
    if !well_formed {
        error.message.push_str(&format!(" (its code `{}` is not lower snake case)", cut(&code, CODE_BYTES)));
    }
    error.retryable = retryable;
    match details.map(Payload::parse).transpose() {
        Ok(details) => error.details = details,
        Err(why) => error.message.push_str(&format!(" (its details were left out: {why})")),
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_one_json_document() {
        assert_eq!(output("[1]".into()).unwrap().as_str(), "[1]");
        assert_eq!(&*output("nope".into()).unwrap_err().code, "invalid_output");
        let long = format!("\"{}\"", "x".repeat(pleach_kernel::MAX_PAYLOAD_BYTES));
        assert_eq!(&*output(long).unwrap_err().code, "payload_too_large");
    }

    #[test]
    fn a_plugins_error_keeps_its_form() {
        let error = plugin_error("no_luck".into(), "m".into(), true, Some("{\"a\":1}".into()));
        assert_eq!((&*error.code, error.message.as_str(), error.retryable), ("no_luck", "m", true));
        assert_eq!(error.details.unwrap().as_str(), "{\"a\":1}");

        let odd = plugin_error("No Luck".into(), "m".into(), false, Some("{".into()));
        assert_eq!(&*odd.code, "plugin_error");
        assert!(odd.message.contains("No Luck") && odd.message.contains("left out") && odd.details.is_none());
    }
}

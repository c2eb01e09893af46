//! What a root run is submitted with.

use pleach_kernel::{Budget, Grant, Payload, Policy, Retry, Tightening};

use crate::error::Error;

/// An agent to run and what it gets.
#[derive(Clone, Debug)]
pub struct Submission {
    /// `name` or `name@requirement`.
    pub agent: String,
    pub input: Payload,
    pub grant: Grant,
    /// Limits tighter than the policy's.
    pub limits: Tightening,
    pub timeout_ms: Option<u64>,
    pub budget: Budget,
    pub retry: Option<Retry>,
    /// In place of the tenant's policy, for this tree only.
    pub policy: Option<Policy>,
}

impl Submission {
    /// Nothing granted, nothing limited but by policy.
    pub fn new(agent: &str, input: Payload) -> Self {
        Self {
            agent: agent.to_owned(),
            input,
            grant: Grant::default(),
            limits: Tightening::default(),
            timeout_ms: None,
            budget: Budget::default(),
            retry: None,
            policy: None,
        }
    }

    /// As [`Submission::new`], with whatever `input` is as JSON.
    pub fn with_input(agent: &str, input: &impl serde::Serialize) -> Result<Self, Error> {
        let input = Payload::of(input).map_err(|e| Error::invalid("reading the input of a run", e))?;
        Ok(Self::new(agent, input))
    }
}

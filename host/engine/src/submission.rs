//! What a root run is submitted with.

use pleach_graph::source::Source;
use pleach_kernel::{Budget, Fairness, Grant, Payload, Policy, Priority, Retry, Tightening};

use crate::error::Error;

/// An agent to run and what it gets.
#[derive(Clone, Debug)]
pub struct Submission {
    /// `name` or `name@requirement`.
    pub agent: String,
    /// A graph to run in place of an agent, which is then called as the graph says.
    pub graph: Option<Source>,
    /// The version of the embedder's program to run in place of an agent; `agent` is
    /// its name.
    pub program: Option<String>,
    pub input: Payload,
    pub grant: Grant,
    /// Limits tighter than the policy's.
    pub limits: Tightening,
    pub timeout_ms: Option<u64>,
    pub budget: Budget,
    pub retry: Option<Retry>,
    /// Of the root run; each of its children has its own.
    pub priority: Priority,
    /// Who goes first in the tree, where places are short.
    pub fairness: Fairness,
    /// Agents to go on with where this one cannot.
    pub fallbacks: Vec<String>,
    /// In place of the tenant's policy, for this tree only.
    pub policy: Option<Policy>,
}

impl Submission {
    /// Nothing granted, nothing limited but by policy.
    pub fn new(agent: &str, input: Payload) -> Self {
        Self {
            agent: agent.to_owned(),
            graph: None,
            program: None,
            input,
            grant: Grant::default(),
            limits: Tightening::default(),
            timeout_ms: None,
            budget: Budget::default(),
            retry: None,
            priority: Priority::default(),
            fairness: Fairness::default(),
            fallbacks: Vec::new(),
            policy: None,
        }
    }

    /// A graph, with nothing granted and nothing limited but by policy and by what
    /// the graph says itself.
    pub fn of_graph(source: Source, input: Payload) -> Self {
        Self { graph: Some(source), ..Self::new("graph", input) }
    }

    /// A program that [`Host::provide`](crate::Host::provide) was given, with nothing
    /// granted and nothing limited but by policy.
    pub fn of_program(name: &str, version: &str, input: Payload) -> Self {
        Self { program: Some(version.to_owned()), ..Self::new(name, input) }
    }

    /// As [`Submission::new`], with whatever `input` is as JSON.
    pub fn with_input(agent: &str, input: &impl serde::Serialize) -> Result<Self, Error> {
        let input = Payload::of(input).map_err(|e| Error::invalid("reading the input of a run", e))?;
        Ok(Self::new(agent, input))
    }
}

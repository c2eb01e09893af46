//! Scope: what expressions of a graph can see while it runs.

use std::cell::{Cell, OnceCell};

use pleach_kernel::{Payload, RunError};
use serde_json::{Value as Json, json};

use super::Status;
use crate::expression::{Datum, Scope};
use crate::plan::{NodeIx, Plan};

/// The graph's input, and what nodes have given. Text is read when it is first
/// looked into, and once.
pub(super) struct Values {
    input: Payload,
    input_json: OnceCell<Result<Datum, String>>,
    run: Datum,
    nodes: Vec<Option<Value>>,
    /// What is seen of a node that has not run.
    waiting: Datum,
    /// Steps that evaluations have taken; see [`crate::expression::MAX_STEPS`].
    steps: Cell<usize>,
}

struct Value {
    status: Status,
    output: Option<Payload>,
    error: Option<RunError>,
    json: OnceCell<Datum>,
}

impl Values {
    pub(super) fn new(nodes: usize, input: Payload, run: Json) -> Self {
        let waiting = json!({"status": Status::Waiting.as_str()}).into();
        let nodes = (0..nodes).map(|_| None).collect();
        Self { input, input_json: OnceCell::new(), run: run.into(), nodes, waiting, steps: Cell::new(0) }
    }

    pub(super) fn input(&self) -> Result<&Json, String> {
        self.input_datum().map(Datum::json)
    }

    fn input_datum(&self) -> Result<&Datum, String> {
        let read = || serde_json::from_str::<Json>(self.input.as_str()).map(Datum::from).map_err(|e| e.to_string());
        self.input_json.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// Steps since the last pause.
    pub(super) fn steps(&self) -> usize {
        self.steps.get()
    }

    pub(super) fn take_steps(&self) {
        self.steps.set(0);
    }

    pub(super) fn took(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_add(steps));
    }

    pub(super) fn set(&mut self, node: NodeIx, status: Status, output: Option<Payload>, error: Option<RunError>) {
        self.nodes[node] = Some(Value { status, output, error, json: OnceCell::new() });
    }

    pub(super) fn output(&self, node: NodeIx) -> Option<&Payload> {
        self.nodes[node].as_ref()?.output.as_ref()
    }

    /// What an expression sees, with local names besides.
    pub(super) fn scope<'a>(&'a self, plan: &'a Plan, locals: &'a [(&'a str, &'a Datum)]) -> Seen<'a> {
        Seen { values: self, plan, locals }
    }
}

impl Value {
    fn datum(&self) -> &Datum {
        self.json.get_or_init(|| {
            let mut fields = json!({"status": self.status.as_str()});
            if let Some(output) = &self.output {
                fields["output"] = serde_json::from_str(output.as_str()).unwrap_or(Json::Null);
            }
            if let Some(error) = &self.error {
                fields["error"] = json!({"code": &*error.code, "message": error.message});
            }
            fields.into()
        })
    }
}

/// The values, as one expression sees them.
pub(super) struct Seen<'a> {
    values: &'a Values,
    plan: &'a Plan,
    locals: &'a [(&'a str, &'a Datum)],
}

impl Scope for Seen<'_> {
    fn whole(&self, path: &[String]) -> Option<Payload> {
        match path {
            [input] if input == "input" => Some(self.values.input.clone()),
            [nodes, id, output] if nodes == "nodes" && output == "output" => {
                self.values.output(self.plan.find(id)?).cloned()
            }
            _ => None,
        }
    }

    fn named(&self, name: &str) -> Option<&Datum> {
        match name {
            "input" => self.values.input_datum().ok(),
            "run" => Some(&self.values.run),
            _ => self.locals.iter().find(|(local, _)| *local == name).map(|(_, value)| *value),
        }
    }

    fn node(&self, id: &str) -> Option<&Datum> {
        let value = self.values.nodes[self.plan.find(id)?].as_ref();
        Some(value.map_or(&self.values.waiting, Value::datum))
    }

    fn took(&self, steps: usize) {
        self.values.took(steps);
    }
}

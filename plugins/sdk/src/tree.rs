//! Looking at the run's tree and changing its course: cancel, evaluate and
//! replan, query.

use serde::Serialize;
use serde_json::Value;

use crate::bindings::agent::pleach::plugin::orchestration as host;
use crate::{CallError, CancelRequest, CancelResult, Error, EvaluateRequest, Evaluation, QueryRequest, json};

/// A subtree to cancel, the run itself included.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Cancel {
    request: CancelRequest,
}

impl Cancel {
    /// Cancel this run and everything it caused.
    pub fn subtree(run_id: impl Into<String>) -> Self {
        Self { request: CancelRequest { run_id: run_id.into(), include_root: None, reason: None } }
    }

    /// Cancel what this run caused and spare the run itself.
    pub fn below(run_id: impl Into<String>) -> Self {
        let mut cancel = Self::subtree(run_id);
        cancel.request.include_root = Some(false);
        cancel
    }

    /// Why, for the log and for whoever is cancelled.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.request.reason = Some(reason.into());
        self
    }

    /// Cancel. Asking twice finds nothing the second time.
    pub fn send(&self) -> Result<CancelResult, CallError> {
        host::cancel_subtree(&self.request)
    }
}

/// A question about failed children.
#[derive(Clone, Debug)]
#[must_use = "a question does nothing until it is asked"]
pub struct Evaluate {
    request: EvaluateRequest,
}

impl Evaluate {
    /// How this run's own children stand.
    pub fn own_children() -> Self {
        Self { request: EvaluateRequest { run_id: None, replanner: None, config: None } }
    }

    /// How the children of another run of the subtree stand.
    pub fn children_of(run_id: impl Into<String>) -> Self {
        let mut evaluate = Self::own_children();
        evaluate.request.run_id = Some(run_id.into());
        evaluate
    }

    /// Have a replanner plugin mend what failed, and carry its plan out.
    pub fn replanner(mut self, target: impl Into<String>) -> Self {
        self.request.replanner = Some(target.into());
        self
    }

    /// Settings for that plugin.
    pub fn config<T: Serialize + ?Sized>(mut self, config: &T) -> Result<Self, Error> {
        self.request.config = Some(json::text("the settings of a replanner", config)?);
        Ok(self)
    }

    /// Ask, and act on the plan where a replanner is named.
    pub fn ask(&self) -> Result<Evaluation, CallError> {
        host::evaluate_and_replan(&self.request)
    }
}

/// A look at the tree, from its root down unless said otherwise.
#[derive(Clone, Debug)]
#[must_use = "a question does nothing until it is asked"]
pub struct Query {
    request: QueryRequest,
}

impl Query {
    /// The whole tree, as far as it fits.
    pub fn tree() -> Self {
        Self { request: QueryRequest { run_id: None, max_depth: None, max_nodes: None, skip_children: None } }
    }

    /// From this run down.
    pub fn below(run_id: impl Into<String>) -> Self {
        let mut query = Self::tree();
        query.request.run_id = Some(run_id.into());
        query
    }

    /// At most so many levels below that run.
    pub fn max_depth(mut self, levels: u32) -> Self {
        self.request.max_depth = Some(levels);
        self
    }

    /// At most so many nodes.
    pub fn max_nodes(mut self, nodes: u32) -> Self {
        self.request.max_nodes = Some(nodes);
        self
    }

    /// Leave out so many of the first children: the next page.
    pub fn skip_children(mut self, children: u32) -> Self {
        self.request.skip_children = Some(children);
        self
    }

    /// Ask.
    pub fn ask(&self) -> Result<Value, CallError> {
        host::query_tree(&self.request).map(|text| json::value(&text))
    }
}

impl From<CancelRequest> for Cancel {
    fn from(request: CancelRequest) -> Self {
        Self { request }
    }
}

impl From<EvaluateRequest> for Evaluate {
    fn from(request: EvaluateRequest) -> Self {
        Self { request }
    }
}

impl From<QueryRequest> for Query {
    fn from(request: QueryRequest) -> Self {
        Self { request }
    }
}

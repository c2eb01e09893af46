//! Deny: refuse a request, and write down that it was.

use std::sync::Arc;

use crate::command::{Caller, Surface};
use crate::denial::{Code, Denial};
use crate::event::Fact;
use crate::fact::{NodeCompletion, NodeFailure, PluginVerdict, Progress, RunError};
use crate::id::{RunId, Timestamp};
use crate::payload::Payload;
use crate::tree::{Run, RunIx, Tree};

/// What has come of a node of a graph without a plugin.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeVerdict {
    Route(Payload),
    Judgement(Payload),
    /// It is done, and decides nothing.
    Completed,
    Failed(RunError),
}

impl Tree {
    /// Writes a refusal into the log, and hands it back with who asked and under
    /// which policy filled in.
    pub(crate) fn deny(
        &mut self,
        now: Timestamp,
        caller: Caller,
        surface: Surface,
        node_id: Option<Arc<str>>,
        mut denial: Denial,
    ) -> Denial {
        denial.policy_version = self.policy.version;
        let ix = match caller {
            Caller::Run(id) => {
                denial.caller_run_id = Some(id);
                if self.run(id).is_some() { id.index as RunIx } else { 0 }
            }
            Caller::Operator => 0,
        };
        self.emit_from(now, ix, node_id, surface, None, Fact::PolicyDeny(Box::new(denial.clone())));
        denial
    }

    /// Writes down a refusal that a capability made outside the kernel.
    pub fn record_denial(&mut self, now: Timestamp, run: RunId, denial: Denial) {
        if self.run(run).is_some() {
            self.deny(now, Caller::Run(run), Surface::Guest, None, denial);
        }
    }

    /// Writes down what a live guest reported in a host call; nothing where this
    /// try has reported it, or something after it, before.
    pub fn record_progress(&mut self, now: Timestamp, run: RunId, call: u32, progress: Progress) {
        let live = |run: &&Run| run.guest_active && run.fate.is_none() && !run.calls.has_reported(call);
        let Some((node_id, surface)) = self.run(run).filter(live).map(|run| (run.node_id.clone(), run.surface)) else {
            return;
        };
        self.emit_from(now, run.index as RunIx, node_id, surface, Some(call), Fact::Progress(progress));
    }

    /// Writes down what has come of a node of a run's graph by itself, in a host call;
    /// nothing where this try has told it before.
    pub fn record_verdict(&mut self, now: Timestamp, run: RunId, call: u32, node_id: Arc<str>, verdict: NodeVerdict) {
        let live = |run: &&Run| run.guest_active && run.fate.is_none() && !run.calls.has_reported(call);
        if self.run(run).filter(live).is_none() {
            return;
        }
        let said = |answer| PluginVerdict { run_id: run, answer: Some(answer), error: None };
        let fact = match verdict {
            NodeVerdict::Route(answer) => Fact::RouteDecision(said(answer)),
            NodeVerdict::Judgement(answer) => Fact::JudgeVerdict(said(answer)),
            NodeVerdict::Completed => Fact::NodeCompletion(NodeCompletion {}),
            NodeVerdict::Failed(error) => Fact::NodeFailure(NodeFailure { error }),
        };
        self.emit_from(now, run.index as RunIx, Some(node_id), Surface::Graph, Some(call), fact);
    }

    /// The place of a live caller of this tree, which is the second check of
    /// every call.
    pub(crate) fn live_caller(&self, action: &'static str, caller: RunId) -> Result<RunIx, Denial> {
        let run = self.run(caller).ok_or_else(|| {
            Denial::new(Code::RunNotFound, action, format!("run {caller} is not in tree {}", self.id))
        })?;
        if run.is_closed() {
            return Err(Denial::new(
                Code::CallerCancelled,
                action,
                format!("run {caller} has ended or is being ended, and starts nothing new"),
            ));
        }
        Ok(caller.index as RunIx)
    }

    /// Whether the way in is open to the tenant, which is the first check.
    pub(crate) fn open_surface(&self, action: &'static str, surface: Surface) -> Result<(), Denial> {
        if self.policy.surfaces.enabled(surface) {
            return Ok(());
        }
        let message = format!("policy closes the surface {surface:?} to tenant {}", self.tenant);
        Err(Denial::new(Code::FeatureDisabled, action, message))
    }
}

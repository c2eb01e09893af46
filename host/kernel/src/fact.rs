//! What each kind of event says: the data of a [`Fact`](crate::Fact).
//!
//! Together with the envelope (`event.rs`) these are the only durable types. A
//! new field needs a default, and none is ever renamed or taken away; golden
//! texts in the tests hold the form of each.

use std::sync::Arc;

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::budget::{Budget, Usage};
use crate::command::{Fairness, JoinMode, SpawnRequest};
use crate::denial::Denial;
use crate::id::{GroupId, RunId, Tenant, Timestamp};
use crate::lineage::PluginRef;
use crate::payload::Payload;
use crate::policy::{Limits, Policy};
use crate::scope::Grant;

/// How far a run has come. The last four are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl RunStatus {
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Paused => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut => true,
        }
    }

    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Why a run did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// Stable, lower snake case: the plugin's own, or one of the host's.
    pub code: Arc<str>,
    /// For people.
    pub message: String,
    #[serde(default)]
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Payload>,
}

impl RunError {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false, details: None }
    }
}

/// What happened in a run's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Ready to start, after a wait between two tries.
    Queued,
    Started,
    Paused,
    Resumed,
    /// How it will end is settled; its guest or its children still have to stop.
    Closing,
    /// This try failed and another will follow.
    Retrying,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

/// How a run will end, once its guest and its children have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    Completed(Payload),
    Failed(RunError),
    Cancelled { reason: Arc<str> },
    TimedOut,
}

impl Fate {
    pub fn status(&self) -> RunStatus {
        match self {
            Self::Completed(_) => RunStatus::Completed,
            Self::Failed(_) => RunStatus::Failed,
            Self::Cancelled { .. } => RunStatus::Cancelled,
            Self::TimedOut => RunStatus::TimedOut,
        }
    }
}

/// `orchestration.spawn_decision`: runs were admitted, or found again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpawnDecision {
    /// The target, or the targets, as they were asked for.
    pub target: Vec<Arc<str>>,
    pub spawned_run_ids: Vec<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    pub idempotent: bool,
    /// One for each run; one for all where all are equal.
    pub effective_scopes: Vec<Grant>,
    /// The runs themselves; empty where they were found again. With a `group_id` and
    /// no `group`, they are added to that group.
    #[serde(default, skip_serializing_if = "Vec::is_empty", serialize_with = "write_runs")]
    pub runs: Vec<RunSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupSpec>,
    /// Whether it answers an agent call, which is a group of one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent_call: bool,
    /// With a replanner: the run about whose failed children it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replans: Option<RunId>,
    /// Only in the first event of a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeSpec>,
}

/// What a run was admitted with; [`WrittenRun`] is how it is written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RunSpec {
    pub plugin: Arc<PluginRef>,
    pub request: Arc<SpawnRequest>,
    /// The key it is known by, given or derived.
    pub spawn_key: Arc<str>,
    /// Whether the key was derived from the order of calls.
    #[serde(default)]
    pub key_derived: bool,
    pub limits: Limits,
    /// The plugins to go on with, in the order of the request.
    #[serde(default)]
    pub fallbacks: Vec<Arc<PluginRef>>,
}

/// A run, with its plugin and limits as they are or written out before.
#[derive(Serialize)]
struct WrittenRun<'a, P, L> {
    plugin: &'a P,
    request: &'a SpawnRequest,
    spawn_key: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    key_derived: bool,
    limits: &'a L,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fallbacks: &'a [Arc<PluginRef>],
}

impl<'a, P, L> WrittenRun<'a, P, L> {
    fn of(run: &'a RunSpec, plugin: &'a P, limits: &'a L) -> Self {
        let RunSpec { plugin: _, request, spawn_key, key_derived, limits: _, fallbacks } = run;
        Self { plugin, request, spawn_key, key_derived: *key_derived, limits, fallbacks }
    }
}

/// Neighbours mostly have the same plugin and limits, which are written out once.
fn write_runs<S: Serializer>(runs: &[RunSpec], to: S) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(runs.len()))?;
    if let [run] = runs {
        list.serialize_element(&WrittenRun::of(run, &run.plugin, &run.limits))?;
        return list.end();
    }
    let raw = |text: serde_json::Result<Box<RawValue>>| text.map_err(serde::ser::Error::custom);
    let mut before: Option<(&RunSpec, Box<RawValue>, Box<RawValue>)> = None;
    for run in runs {
        before.take_if(|(other, ..)| other.plugin != run.plugin || other.limits != run.limits);
        let (_, plugin, limits) = match before {
            Some(ref written) => written,
            None => before.insert((run, raw(to_raw_value(&run.plugin))?, raw(to_raw_value(&run.limits))?)),
        };
        list.serialize_element(&WrittenRun::of(run, plugin, limits))?;
    }
    list.end()
}

/// What a group was admitted with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    pub key_prefix: Arc<str>,
    /// Never `all`.
    pub mode: JoinMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    pub timeout_ms: u64,
    /// How many members it will have, where they are added one after the other;
    /// else it has them all from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl GroupSpec {
    /// Whether both are joined alike; how a mode was spelt makes no difference.
    pub(crate) fn same_join(&self, other: &Self) -> bool {
        (self.mode, self.quorum, self.timeout_ms, self.size) == (other.mode, other.quorum, other.timeout_ms, other.size)
    }
}

/// What a tree was opened with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TreeSpec {
    pub tenant: Tenant,
    pub policy: Arc<Policy>,
    /// The whole tree's budget, where it has one.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    #[serde(default, skip_serializing_if = "Fairness::is_round_robin")]
    pub fairness: Fairness,
}

/// `orchestration.child_lifecycle`: a run went one step further.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildLifecycle {
    pub child_run_id: RunId,
    pub status: Step,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Payload>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    /// With `retrying`: when the next try may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// With `closing`: how it will end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fate: Option<RunStatus>,
    /// With `closing`: whether the guest has stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guest_stopped: bool,
    /// A result that came after the end was settled, and was not merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<RunStatus>,
    /// The plugin of this try, where it is not the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Arc<PluginRef>>,
    /// With `retrying`: the tries of this plugin are used up, and the next is one of
    /// the fallback at this place in the list, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub falls_back_to: Option<u8>,
}

/// How a group was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStatus {
    Completed,
    CompletedWithErrors,
    Failed,
    TimedOut,
    Empty,
}

/// Members by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCounts {
    pub success: u32,
    pub failure: u32,
    pub cancelled: u32,
    pub running: u32,
}

/// `orchestration.join_decision`: a group was decided, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinDecision {
    pub group_id: GroupId,
    pub mode: JoinMode,
    pub status: JoinStatus,
    pub complete: bool,
    pub counts: JoinCounts,
    pub reason: Arc<str>,
    /// The run that tipped it, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_run_id: Option<RunId>,
}

/// `orchestration.cancellation_propagation`: runs were marked to be cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancellationPropagation {
    pub reason: Arc<str>,
    pub cancelled_run_ids: Vec<RunId>,
    pub count: u32,
    pub include_root: bool,
}

/// `orchestration.route_decision` and `orchestration.judge_verdict`: what the
/// plugin answered; none where it gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginVerdict {
    pub run_id: RunId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Payload>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RunError>,
}

/// What is to be done about failed children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuggestedAction {
    Continue,
    Replan,
}

/// One step of a plan, as the kernel carried it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// `retry`, `spawn`, `cancel`, `accept` or `abort`.
    pub action: Arc<str>,
    /// The run it spoke of, or the run it spawned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// With `retry`: the failed run that is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<RunId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied: Option<Denial>,
}

/// A plan as it was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedPlan {
    pub rationale: String,
    pub steps: Vec<PlanStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<GroupId>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub aborted: bool,
}

/// `orchestration.replan_decision`: failed children were looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplanDecision {
    /// Whose children.
    pub run_id: RunId,
    pub needs_replan: bool,
    pub suggested_action: SuggestedAction,
    pub failed_run_ids: Vec<RunId>,
    /// Of a graph's question: nodes that failed without a failed run to show for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_node_ids: Vec<Arc<str>>,
    pub completed_count: u32,
    pub replans_used: u32,
    pub max_replans: u32,
    /// Why the answer is `continue` although something failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<AppliedPlan>,
}

/// `orchestration.node_failure`: a node of the run's graph has failed, and neither
/// because its run did nor because it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFailure {
    pub error: RunError,
}

/// `orchestration.node_completion`: a node of the run's graph is done that has no run
/// to show for it, and no decision: an output, or a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCompletion {}

/// `orchestration.progress`: what a guest reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub message: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Payload>,
    /// Reports since the last event that came too fast and were dropped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// `orchestration.budget`: amounts moved. The run is the one that holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetMove {
    /// Taken from the parent's for this run; it was when the run was spawned, and
    /// is told here so that the moves add up by themselves.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub reserved: Budget,
    /// Spent by this run outside the host, beside what its lifecycle says.
    #[serde(default, skip_serializing_if = "Usage::is_zero")]
    pub spent: Usage,
    /// Given back to the parent when this run and its children had ended.
    #[serde(default, skip_serializing_if = "Budget::is_empty")]
    pub refunded: Budget,
    /// Whether it was crossed, or the running guests have used up what was left of
    /// the wall clock: what draws on it is cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exhausted: bool,
    /// Whether this is the end of the account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Role;

    #[test]
    fn runs_that_are_written_together_are_written_as_each_by_itself() {
        let plugin =
            |name: &str| PluginRef { name: name.into(), version: "1".into(), digest: "d".into(), role: Role::Agent };
        let run = |name: &str, max_fanout, fallbacks: &[&str]| RunSpec {
            plugin: plugin(name).into(),
            request: SpawnRequest::new(name, Payload::null()).into(),
            spawn_key: "k".into(),
            key_derived: max_fanout > 1,
            limits: Limits { max_fanout, ..Limits::SEED },
            fallbacks: fallbacks.iter().map(|name| plugin(name).into()).collect(),
        };
        let runs = [run("a", 2, &[]), run("a", 2, &["b"]), run("b", 2, &[]), run("b", 1, &[]), run("a", 2, &[])];
        let written = |runs: &[RunSpec]| {
            let mut text = Vec::new();
            write_runs(runs, &mut serde_json::Serializer::new(&mut text)).unwrap();
            String::from_utf8(text).unwrap()
        };
        let each: Vec<String> = runs.iter().map(|run| written(std::slice::from_ref(run))).collect();
        let each: Vec<&str> = each.iter().map(|list| &list[1..list.len() - 1]).collect();
        assert_eq!(written(&runs), format!("[{}]", each.join(",")));
        assert_eq!(serde_json::from_str::<Vec<RunSpec>>(&written(&runs)).unwrap(), runs);
    }
}

//! What should happen: the decisions of Pleach.
//!
//! Everything here is pure. There is no IO, no clock, no randomness and no
//! async: whoever asks says what time it is, the same log folds to the same
//! state everywhere, and the same question to the same state gets the same
//! answer. `docs/semantics.md` has the rules in words.

// A refusal is rare: it is moved a few times within one decision and boxed at
// the door, so that boxing it all the way would cost words and save nothing.
#![allow(clippy::result_large_err, reason = "a `Denial` is boxed where it leaves the kernel")]

mod budget;
mod circuit;
mod command;
mod denial;
mod event;
mod fact;
mod fold;
mod id;
mod lineage;
mod payload;
mod policy;
mod query;
mod ready;
mod run;
mod same;
mod scope;
mod snapshot;
mod tree;

pub use budget::{Budget, Dimension, Usage};
pub use circuit::{Circuit, CircuitBreaker, Permission, Probe, Tried};
pub use command::{
    Backoff, CallSite, Caller, Cancel, Cancelled, Fairness, Finish, JoinMode, JoinPolicy, MAX_FALLBACKS, MAX_GROUP,
    Outcome, ParentClose, PolicySnapshot, Priority, Resolution, Retry, Spawn, SpawnGroup, SpawnRequest, Spawned,
    SpawnedGroup, Submit, Surface,
};
pub use denial::{Code, Denial};
pub use event::{Event, Fact, Visibility};
pub use fact::{
    AppliedPlan, BudgetMove, CancellationPropagation, ChildLifecycle, Fate, GroupSpec, JoinCounts, JoinDecision,
    JoinStatus, NodeCompletion, NodeFailure, PlanStep, PluginVerdict, Progress, ReplanDecision, RunError, RunSpec,
    RunStatus, SpawnDecision, Step, SuggestedAction, TreeSpec,
};
pub use fold::FoldError;
pub use id::{GroupId, ParseIdError, RootId, RunId, Tenant, Timestamp};
pub use lineage::{Lineage, PluginRef, Role};
pub use payload::{MAX_PAYLOAD_BYTES, Payload, PayloadError};
pub use policy::{Limits, Orchestrator, Policy, Quotas, Surfaces, Tightening, target_matches};
pub use query::{GroupView, MemberView, Query, RunView, TreeView};
pub use ready::{MAX_PASSES, Ready, ReadyRun};
pub use run::deny::NodeVerdict;
pub use run::join::{JoinAnswer, JoinResult, MemberOutcome};
pub use run::notice::{EndedRun, Notice};
pub use run::plan::{Action, Plan, Planned, PlannedSpawn};
pub use run::replan::{
    About, ChildCounts, Evaluate, Evaluation, FailedChild, ReplanChild, ReplanNode, ReplanRequest, Replanning,
};
pub use run::replay::Nondeterminism;
pub use scope::{Grant, MAX_SCOPE_BYTES, MAX_SCOPES, ParseScopeError, Scope, covered};
pub use snapshot::{RestoreError, SNAPSHOT_FORMAT};
pub use tree::{Run, Tree};

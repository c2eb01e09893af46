//! The shapes of orchestration: from the records of `wit/plugin.wit` to the
//! kernel's types and back. Nothing is decided here.

use std::sync::Arc;

use pleach_kernel as kernel;

use pleach_kernel::{Code, GroupId, Payload, PayloadError, RunId};

use super::types::{run_error, run_status, text};
use crate::bindings::{orchestration as wire, types};
use crate::call::FailureCode;

/// The longest target, key or reason.
const NAME_BYTES: usize = 1024;

/// A part of a request that has the wrong form.
pub(super) enum Malformed {
    Denied(Code, String),
    Failed(FailureCode, String),
}

pub(super) fn payload(field: &str, text: String) -> Result<Payload, Malformed> {
    Payload::parse(text).map_err(|error| {
        let code = match error {
            PayloadError::TooLarge { .. } => FailureCode::PayloadTooLarge,
            PayloadError::NotJson(_) => FailureCode::InvalidArgument,
        };
        Malformed::Failed(code, format!("`{field}`: {error}"))
    })
}

fn name(field: &str, text: String) -> Result<Arc<str>, Malformed> {
    if text.len() > NAME_BYTES {
        let message = format!("`{field}` has {} bytes; at most {NAME_BYTES} are accepted", text.len());
        return Err(Malformed::Failed(FailureCode::InvalidArgument, message));
    }
    Ok(text.into())
}

pub(super) fn name_option(field: &str, text: Option<String>) -> Result<Option<Arc<str>>, Malformed> {
    text.map(|text| name(field, text)).transpose()
}

pub(super) fn run_id(text: &str) -> Result<RunId, Malformed> {
    text.parse().map_err(|error| Malformed::Denied(Code::RunNotFound, format!("{error}")))
}

pub(super) fn run_id_option(text: Option<String>) -> Result<Option<RunId>, Malformed> {
    text.map(|text| run_id(&text)).transpose()
}

pub(super) fn group_id(text: &str) -> Result<GroupId, Malformed> {
    text.parse().map_err(|error| Malformed::Denied(Code::GroupNotFound, format!("{error}")))
}

fn scopes(texts: Vec<String>) -> Result<Vec<kernel::Scope>, Malformed> {
    if texts.len() > kernel::MAX_SCOPES {
        let message = format!("a list of {} scopes; at most {} are accepted", texts.len(), kernel::MAX_SCOPES);
        return Err(Malformed::Denied(Code::ScopeInvalid, message));
    }
    let parsed = texts.iter().map(|text| text.parse::<kernel::Scope>());
    parsed.collect::<Result<_, _>>().map_err(|error| Malformed::Denied(Code::ScopeInvalid, error.to_string()))
}

pub(super) fn grant(grant: types::Grant) -> Result<kernel::Grant, Malformed> {
    Ok(kernel::Grant::new(scopes(grant.can_use)?, scopes(grant.can_delegate)?))
}

pub(super) fn spawn_request(request: wire::SpawnRequest) -> Result<kernel::SpawnRequest, Malformed> {
    Ok(kernel::SpawnRequest {
        target: name("target", request.target)?,
        input: payload("input", request.input)?,
        spawn_key: name_option("spawn-key", request.spawn_key)?,
        scopes: request.scopes.map(grant).transpose()?.unwrap_or_default(),
        timeout_ms: request.timeout_ms,
        retry: request.retry.map(retry),
        budget: request.budget.map(kernel::Budget::from).unwrap_or_default(),
        parent_close: request.parent_close.map(parent_close).unwrap_or_default(),
        priority: request.priority.map(priority).unwrap_or_default(),
        fallbacks: Vec::new(),
    })
}

fn retry(retry: wire::RetryPolicy) -> kernel::Retry {
    kernel::Retry {
        max_attempts: retry.max_attempts,
        backoff: match retry.backoff {
            wire::Backoff::Fixed => kernel::Backoff::Fixed,
            wire::Backoff::Exponential => kernel::Backoff::Exponential,
        },
        initial_ms: retry.initial_ms,
        max_ms: Some(retry.max_ms),
        jitter: retry.jitter,
    }
}

fn parent_close(close: wire::ParentClose) -> kernel::ParentClose {
    match close {
        wire::ParentClose::Cancel => kernel::ParentClose::Cancel,
        wire::ParentClose::Wait => kernel::ParentClose::Wait,
        wire::ParentClose::Abandon => kernel::ParentClose::Abandon,
    }
}

fn priority(priority: wire::Priority) -> kernel::Priority {
    match priority {
        wire::Priority::High => kernel::Priority::High,
        wire::Priority::Medium => kernel::Priority::Medium,
        wire::Priority::Low => kernel::Priority::Low,
    }
}

pub(super) fn join_policy(policy: wire::JoinPolicy) -> kernel::JoinPolicy {
    kernel::JoinPolicy {
        mode: match policy.mode {
            wire::JoinMode::BestEffort => kernel::JoinMode::BestEffort,
            wire::JoinMode::All => kernel::JoinMode::All,
            wire::JoinMode::FailFast => kernel::JoinMode::FailFast,
            wire::JoinMode::Quorum => kernel::JoinMode::Quorum,
            wire::JoinMode::FirstSuccess => kernel::JoinMode::FirstSuccess,
        },
        quorum: policy.quorum,
        timeout_ms: policy.timeout_ms,
    }
}

pub(super) fn cancel(request: wire::CancelRequest) -> Result<kernel::Cancel, Malformed> {
    let mut cancel = kernel::Cancel::of(run_id(&request.run_id)?);
    cancel.include_root = request.include_root.unwrap_or(true);
    if let Some(reason) = request.reason {
        cancel.reason = name("reason", reason)?;
    }
    Ok(cancel)
}

pub(super) fn spawned(spawned: &kernel::Spawned) -> wire::Spawned {
    let kernel::PolicySnapshot { policy_version, limits } = spawned.policy_snapshot;
    wire::Spawned {
        run_id: spawned.run_id.into(),
        idempotent: spawned.idempotent,
        lineage: (&spawned.lineage).into(),
        effective_scopes: (&spawned.effective_scopes).into(),
        policy_snapshot: wire::PolicySnapshot {
            policy_version,
            max_depth: limits.max_depth,
            max_fanout: limits.max_fanout,
            max_children_total: limits.max_children_total,
            max_concurrency: limits.max_concurrency,
        },
    }
}

pub(super) fn spawned_group(group: kernel::SpawnedGroup) -> wire::SpawnedGroup {
    wire::SpawnedGroup {
        group_id: group.group_id.to_string(),
        idempotent: group.idempotent,
        members: group.members.iter().map(spawned).collect(),
        warnings: group.warnings,
    }
}

pub(super) fn join_result(join: &kernel::JoinResult) -> wire::JoinResult {
    wire::JoinResult {
        group_id: join.group_id.to_string(),
        mode: match join.mode {
            kernel::JoinMode::BestEffort => wire::JoinMode::BestEffort,
            kernel::JoinMode::All => wire::JoinMode::All,
            kernel::JoinMode::FailFast => wire::JoinMode::FailFast,
            kernel::JoinMode::Quorum => wire::JoinMode::Quorum,
            kernel::JoinMode::FirstSuccess => wire::JoinMode::FirstSuccess,
        },
        status: match join.status {
            kernel::JoinStatus::Completed => wire::JoinStatus::Completed,
            kernel::JoinStatus::CompletedWithErrors => wire::JoinStatus::CompletedWithErrors,
            kernel::JoinStatus::Failed => wire::JoinStatus::Failed,
            kernel::JoinStatus::TimedOut => wire::JoinStatus::TimedOut,
            kernel::JoinStatus::Empty => wire::JoinStatus::Empty,
        },
        complete: join.complete,
        outputs: join.outputs.iter().map(member_outcome).collect(),
        success_count: join.success_count,
        failure_count: join.failure_count,
        cancelled_count: join.cancelled_count,
        running_count: join.running_count,
        reason: join.reason.to_string(),
        decided_at_seq: join.decided_at_seq,
    }
}

fn member_outcome(member: &kernel::MemberOutcome) -> wire::MemberOutcome {
    wire::MemberOutcome {
        ordinal: member.ordinal,
        run_id: member.run_id.into(),
        status: run_status(member.status),
        output: member.output.as_ref().map(text),
        error: member.error.as_ref().map(run_error),
    }
}

pub(super) fn call_result(target: String, member: &kernel::MemberOutcome) -> wire::CallResult {
    let wire::MemberOutcome { run_id, status, output, error, .. } = member_outcome(member);
    wire::CallResult { target, run_id, status, output, error }
}

pub(super) fn cancelled(found: &kernel::Cancelled) -> wire::CancelResult {
    wire::CancelResult {
        run_id: found.run_id.to_string(),
        cancelled_count: found.cancelled_count,
        cancelled_run_ids: found.cancelled_run_ids.iter().map(RunId::to_string).collect(),
        scanned_count: found.scanned_count,
        include_root: found.include_root,
        reason: found.reason.to_string(),
    }
}

pub(super) fn evaluation(evaluation: kernel::Evaluation) -> wire::Evaluation {
    let counts = evaluation.counts;
    wire::Evaluation {
        needs_replan: evaluation.needs_replan,
        suggested_action: match evaluation.suggested_action {
            kernel::SuggestedAction::Continue => wire::SuggestedAction::Continue,
            kernel::SuggestedAction::Replan => wire::SuggestedAction::Replan,
        },
        failed_children: evaluation.failed_children.iter().map(failed_child).collect(),
        counts: wire::ChildCounts {
            total: counts.total,
            completed: counts.completed,
            failed: counts.failed,
            cancelled: counts.cancelled,
            running: counts.running,
        },
        replans_used: evaluation.replans_used,
        max_replans: evaluation.max_replans,
        plan: evaluation.plan.map(applied_plan),
    }
}

fn failed_child(child: &kernel::FailedChild) -> wire::FailedChild {
    wire::FailedChild {
        run_id: child.run_id.to_string(),
        target: child.target.to_string(),
        spawn_key: child.spawn_key.as_ref().map(|key| key.to_string()),
        status: run_status(child.status),
        error: child.error.as_ref().map(run_error),
    }
}

fn applied_plan(plan: kernel::AppliedPlan) -> wire::AppliedPlan {
    let step = |step: kernel::PlanStep| wire::PlanStep {
        action: step.action.to_string(),
        run_id: step.run_id.map(|run| run.to_string()),
        replaces: step.replaces.map(|run| run.to_string()),
        denied: step.denied.map(types::Denial::from),
    };
    wire::AppliedPlan {
        rationale: plan.rationale,
        steps: plan.steps.into_iter().map(step).collect(),
        group_id: plan.group_id.map(|group| group.to_string()),
        aborted: plan.aborted,
    }
}

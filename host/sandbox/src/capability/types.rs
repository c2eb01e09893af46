//! The shapes that all interfaces share: from the kernel's types to the records
//! of `types` in `wit/plugin.wit`, and back where a guest hands them over.

use pleach_kernel as kernel;
use pleach_kernel::Payload;

use crate::bindings::types;
use crate::call::CallError;

pub(super) fn text(payload: &Payload) -> String {
    payload.as_str().to_owned()
}

pub(crate) fn run_status(status: kernel::RunStatus) -> types::RunStatus {
    match status {
        kernel::RunStatus::Queued => types::RunStatus::Queued,
        kernel::RunStatus::Running => types::RunStatus::Running,
        kernel::RunStatus::Paused => types::RunStatus::Paused,
        kernel::RunStatus::Completed => types::RunStatus::Completed,
        kernel::RunStatus::Failed => types::RunStatus::Failed,
        kernel::RunStatus::Cancelled => types::RunStatus::Cancelled,
        kernel::RunStatus::TimedOut => types::RunStatus::TimedOut,
    }
}

pub(crate) fn run_error(error: &kernel::RunError) -> types::RunError {
    types::RunError {
        code: error.code.to_string(),
        message: error.message.clone(),
        retryable: error.retryable,
        details: error.details.as_ref().map(text),
    }
}

impl From<&kernel::Lineage> for types::Lineage {
    fn from(lineage: &kernel::Lineage) -> Self {
        Self {
            run_id: lineage.run_id.into(),
            root_run_id: lineage.root_run_id.into(),
            parent_run_id: lineage.parent_run_id.map(String::from),
            parent_node_id: lineage.parent_node_id.as_ref().map(|node| node.to_string()),
            depth: lineage.depth,
            spawn_key: lineage.spawn_key.as_ref().map(|key| key.to_string()),
            group_id: lineage.group_id.map(String::from),
            ordinal: lineage.ordinal,
            attempt: lineage.attempt,
            tenant: lineage.tenant.as_str().to_owned(),
            trace_id: (*lineage.trace_id).into(),
        }
    }
}

impl From<&kernel::Grant> for types::Grant {
    fn from(grant: &kernel::Grant) -> Self {
        let texts = |scopes: &[kernel::Scope]| scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        Self { can_use: texts(grant.can_use()), can_delegate: texts(grant.can_delegate()) }
    }
}

impl From<types::Budget> for kernel::Budget {
    fn from(budget: types::Budget) -> Self {
        let types::Budget { tokens, cost_microusd, wall_ms, cpu_ms, host_calls } = budget;
        Self { tokens, cost_microusd, wall_ms, cpu_ms, host_calls }
    }
}

impl From<kernel::Budget> for types::Budget {
    fn from(budget: kernel::Budget) -> Self {
        let kernel::Budget { tokens, cost_microusd, wall_ms, cpu_ms, host_calls } = budget;
        Self { tokens, cost_microusd, wall_ms, cpu_ms, host_calls }
    }
}

impl From<kernel::Denial> for types::Denial {
    fn from(denial: kernel::Denial) -> Self {
        Self {
            code: denial.code.as_str().to_owned(),
            action: denial.action.to_string(),
            message: denial.message,
            limit: denial.limit,
            requested: denial.requested,
            current: denial.current,
            caller_run_id: denial.caller_run_id.map(|run| run.to_string()),
            target: denial.target.map(|target| target.to_string()),
            policy_version: denial.policy_version,
            retryable: denial.retryable,
        }
    }
}

impl From<CallError> for types::CallError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Denied(denial) => Self::Denied((*denial).into()),
            CallError::Failed { code, message, retryable } => {
                Self::Failed(types::Failure { code: code.as_str().to_owned(), message, retryable })
            }
        }
    }
}

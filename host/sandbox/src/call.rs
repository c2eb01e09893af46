//! What a guest's host calls become: requests to whoever decides.
//!
//! The sandbox checks form (ids that parse, payloads of bounded size) and the
//! capabilities it serves itself. Every other decision is the kernel's, reached
//! through the [`Kernel`] trait; how it travels there is the engine's business.

use std::fmt;
use std::sync::Arc;

use pleach_kernel::{
    Budget, Cancel, Cancelled, Denial, Evaluation, Finish, GroupId, JoinPolicy, JoinResult, MemberOutcome, Payload,
    Progress, Query, RunId, SpawnRequest, Spawned, SpawnedGroup,
};
use tokio::sync::oneshot;

/// Who decides on the calls of guests. Implemented by the engine, and by the
/// fakes of this crate's tests.
pub trait Kernel: Send + Sync + 'static {
    /// Takes a call and never blocks; the answer goes through the call's
    /// `reply`. A reply that is dropped reads as a failure of the host.
    fn call(&self, run: RunId, call: Call);

    /// A guest has stopped. Called exactly once for each start, after the
    /// guest's memory and its [`crate::LivePermit`] were given back.
    fn finished(&self, finish: Finish);
}

/// Where the answer to a call goes.
pub type Reply<T> = oneshot::Sender<Result<T, CallError>>;

/// One call of a guest.
///
/// `call_index` counts the spawns of one execution that came without a key of
/// their own, from 0, so that a replayed guest derives the same keys.
#[derive(Debug)]
pub enum Call {
    SpawnRun {
        request: SpawnRequest,
        call_index: u32,
        reply: Reply<Spawned>,
    },
    SpawnGroup {
        members: Vec<SpawnRequest>,
        key_prefix: Option<Arc<str>>,
        join: JoinPolicy,
        call_index: u32,
        reply: Reply<SpawnedGroup>,
    },
    Join {
        group: GroupId,
        reply: Reply<JoinResult>,
    },
    Cancel {
        request: Cancel,
        reply: Reply<Cancelled>,
    },
    Evaluate {
        run_id: Option<RunId>,
        replanner: Option<Arc<str>>,
        config: Option<Payload>,
        reply: Reply<Evaluation>,
    },
    /// The answer is the kernel's `TreeView` as JSON.
    Query {
        query: Query,
        reply: Reply<Payload>,
    },
    /// Spawn and join in one; the answer is the one member of that join.
    AgentCall {
        request: SpawnRequest,
        call_index: u32,
        reply: Reply<MemberOutcome>,
    },
    RemainingBudget {
        reply: Reply<Budget>,
    },
    /// Already held to the rate that a run may report at.
    Progress(Progress),
    /// The sandbox refused something by itself; the log has to have it.
    Deny {
        denial: Denial,
    },
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum CallError {
    Denied(Box<Denial>),
    Failed { code: FailureCode, message: String, retryable: bool },
}

impl CallError {
    /// A failure that trying again does not mend.
    pub fn failed(code: FailureCode, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into(), retryable: false }
    }
}

/// What went wrong on the host's side of a call. The wire form is the name in
/// lower snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCode {
    Cancelled,
    NotFound,
    InvalidArgument,
    PayloadTooLarge,
    Io,
    HostFailure,
}

impl FailureCode {
    /// The wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::NotFound => "not_found",
            Self::InvalidArgument => "invalid_argument",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Io => "io",
            Self::HostFailure => "host_failure",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The accounts that a run draws on, shared with the runs above it.
///
/// An error means that nothing was left before: the call is refused, or the
/// run ends with `budget_exhausted`.
pub trait Meter: Send + Sync {
    fn host_call(&self) -> Result<(), Exhausted>;
    fn cpu(&self, micros: u64) -> Result<(), Exhausted>;
}

/// Nothing is left of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

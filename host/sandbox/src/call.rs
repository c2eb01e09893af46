//! What a guest's host calls become: requests to whoever decides.
//!
//! The sandbox checks form (ids that parse, payloads of bounded size) and the
//! capabilities it serves itself. Every other decision is the kernel's, reached
//! through the [`Kernel`] trait; how it travels there is the engine's business.

use std::fmt;
use std::sync::Arc;

use pleach_kernel::{
    Budget, CallSite, Cancel, Cancelled, Denial, Evaluation, Finish, GroupId, JoinPolicy, JoinResult, MemberOutcome,
    NodeVerdict, Notice, Payload, Progress, Query, ReplanNode, RunId, SpawnRequest, Spawned, SpawnedGroup, Timestamp,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::journal::{Asked, Encoded};

/// Who decides on the calls of guests. Implemented by the engine, and by the
/// fakes of this crate's tests.
///
/// Everything that a guest says comes before the word that it has stopped.
pub trait Kernel: Send + Sync + 'static {
    /// Takes a call and never blocks; the answer goes through the call's
    /// `reply`. A reply that is dropped reads as a failure of the host, but for
    /// a guest that is being parked.
    fn call(&self, run: RunId, call: Call);

    /// A guest has stopped. Of this and [`Kernel::parked`], exactly one is called
    /// for each start, once, after the guest's [`crate::LivePermit`] was given back.
    /// So was its memory, but for a few guests on each thread that ended by themselves,
    /// whose memory goes in a moment.
    fn finished(&self, finish: Finish);

    /// A guest was dropped because [`crate::Stop::park`] said so; it is started
    /// again with what it was answered so far.
    fn parked(&self, parked: Parked);

    /// The host's clock, in nanoseconds since 1970 (UTC).
    fn now_nanos(&self) -> u64;
}

/// A guest that was dropped while it waited, and what it had used by then. Its
/// calls are counted, and taken from the accounts, once more when it is run again;
/// its processor time is not where [`crate::Replay::cpu_us`] says how much it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub run_id: RunId,
    pub attempt: u32,
    pub cpu_us: u64,
    pub host_calls: u64,
    /// Numbered calls that it has begun; it waits in the last of them.
    pub calls: u32,
}

/// Where the answer to a call goes.
pub type Reply<T> = oneshot::Sender<Result<T, CallError>>;

/// One call of a guest.
///
/// A call whose answer only the kernel has carries what is needed to record that
/// answer together with the decision: see [`Asked::entry`]. Of spawns, joins and
/// agent calls only the errors are recorded, each of them, and `Asked` is made for
/// those alone, from the call's number and its request.
#[derive(Debug)]
pub enum Call {
    SpawnRun {
        request: Arc<SpawnRequest>,
        site: CallSite,
        reply: Reply<Spawned>,
    },
    SpawnGroup {
        members: Vec<Arc<SpawnRequest>>,
        key_prefix: Option<Arc<str>>,
        join: JoinPolicy,
        site: CallSite,
        reply: Reply<SpawnedGroup>,
    },
    Join {
        group: GroupId,
        call: u32,
        reply: Reply<JoinResult>,
    },
    Cancel {
        request: Cancel,
        asked: Asked,
        reply: Reply<Cancelled>,
    },
    /// May spawn a replanner; the count of keyless spawns stays as it is.
    Evaluate {
        run_id: Option<RunId>,
        replanner: Option<Arc<str>>,
        config: Option<Payload>,
        site: CallSite,
        asked: Asked,
        reply: Reply<Evaluation>,
    },
    /// The answer is the kernel's `TreeView` as JSON.
    Query {
        query: Query,
        asked: Asked,
        reply: Reply<Payload>,
    },
    /// Runs for nodes of a graph, each admitted by itself; an answer for each.
    NodeRuns {
        runs: Vec<NodeRun>,
        reply: Reply<Vec<Result<Spawned, CallError>>>,
    },
    /// What a node of a graph asks for. Only native programs do.
    Node {
        node: Arc<str>,
        call: Box<NodeCall>,
    },
    /// Answered with what has ended below this run after the first `after`
    /// notices, as soon as there is something; how much it is is recorded. Of a
    /// call that was answered before, `known` is how much that was.
    Next {
        after: u32,
        known: Option<u32>,
        asked: Asked,
        reply: Reply<Vec<Notice>>,
    },
    /// Spawn and join in one; the answer is the one member of that join.
    AgentCall {
        request: SpawnRequest,
        site: CallSite,
        reply: Reply<MemberOutcome>,
    },
    RemainingBudget {
        asked: Asked,
        reply: Reply<Budget>,
    },
    /// Answered with the time to wake at, when that has come. It is recorded as
    /// the sleep begins, unless `until` says that it was before.
    Sleep {
        duration_ms: u64,
        until: Option<Timestamp>,
        asked: Asked,
        reply: Reply<Timestamp>,
    },
    /// Already held to the rate that a run may report at.
    Progress {
        progress: Progress,
        call: u32,
    },
    /// The sandbox refused something by itself; the log has to have it.
    Deny {
        denial: Denial,
    },
    /// An answer that the sandbox made itself.
    Record {
        entry: Encoded,
    },
    /// Something outside is about to be done: answered once that is durable.
    Intend {
        entry: Encoded,
        reply: Reply<()>,
    },
    /// A long answer of this run's journal, by its digest. An error here fails the
    /// run.
    Fetch {
        digest: String,
        reply: Reply<Vec<u8>>,
    },
}

/// What a node of a graph asks: as the calls of the same names, with the node in
/// the log, and without waiting for anything but the decision.
#[derive(Debug)]
pub enum NodeCall {
    SpawnGroup {
        group: NodeGroup,
        site: CallSite,
        reply: Reply<SpawnedGroup>,
    },
    /// Answered with the runs that are at these places now; see
    /// [`pleach_kernel::Tree::extend_group`].
    ExtendGroup {
        group: GroupId,
        first: u32,
        members: Vec<Arc<SpawnRequest>>,
        asked: Asked,
        reply: Reply<Vec<RunId>>,
    },
    /// See [`pleach_kernel::Tree::give_up_group`].
    GiveUpGroup {
        group: GroupId,
        asked: Asked,
        reply: Reply<()>,
    },
    Cancel {
        request: Cancel,
        asked: Asked,
        reply: Reply<Cancelled>,
    },
    Evaluate {
        question: NodeQuestion,
        site: CallSite,
        asked: Asked,
        reply: Reply<Evaluating>,
    },
    /// A replanner has ended: its plan is carried out.
    TakePlan {
        planner: RunId,
        about: Arc<ReplanNode>,
        asked: Asked,
        reply: Reply<Evaluation>,
    },
    /// What the node has decided by itself; it has no answer.
    Verdict {
        verdict: NodeVerdict,
        call: u32,
    },
}

/// A run that a node spawns.
#[derive(Debug)]
pub struct NodeRun {
    pub node: Arc<str>,
    pub request: Arc<SpawnRequest>,
    pub site: CallSite,
}

/// A group that a node spawns.
#[derive(Clone, Debug)]
pub struct NodeGroup {
    pub members: Vec<Arc<SpawnRequest>>,
    pub key_prefix: Arc<str>,
    pub join: JoinPolicy,
    /// How many members it will have, where these are only its first.
    pub size: Option<u32>,
    /// Whether it is an agent call: one member.
    pub agent_call: bool,
}

/// What a node asks about failed children of its graph's run.
#[derive(Clone, Debug, Serialize)]
pub struct NodeQuestion {
    pub about: Arc<ReplanNode>,
    pub replanner: Option<Arc<str>>,
    pub config: Option<Payload>,
}

/// An evaluation, or the replanner that has to end before there is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluating {
    Answered(Box<Evaluation>),
    Asked(RunId),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CallError {
    #[error("{0}")]
    Denied(Box<Denial>),
    #[error("{code}: {message}")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// A call that was paid for in an earlier life of the guest, whose count went
    /// with it: taken once more, and never refused.
    fn host_call_replayed(&self);
    fn cpu(&self, micros: u64) -> Result<(), Exhausted>;
}

/// Nothing is left of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

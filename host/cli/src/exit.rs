//! How the program ends: the exit codes, which error leads to which of them,
//! and how an error is shown.
//!
//! The errors themselves are made where things go wrong.

use std::fmt::Write as _;
use std::process::ExitCode;

use pleach_engine::Error;
use pleach_engine::kernel::{Code, Denial, RunStatus};

use crate::text;

/// What the caller learns from the exit code. Stable: scripts depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Completed = 0,
    /// The run failed, or the host could not carry out what was asked.
    Failed = 1,
    /// Wrong usage or input; asking in the same way again changes nothing.
    Usage = 2,
    /// Policy refused it.
    Denied = 3,
    Cancelled = 4,
    TimedOut = 5,
    /// The program was told to end before it had waited for what it waits for:
    /// 128 and the number of the signal, as shells have it.
    Interrupted = 130,
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What a run that ended so is worth. One that has not ended counts as
    /// failed: nobody asks before its end unless the host is going down.
    pub fn of_status(status: RunStatus) -> Self {
        match status {
            RunStatus::Completed => Self::Completed,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::TimedOut => Self::TimedOut,
            RunStatus::Failed | RunStatus::Queued | RunStatus::Running | RunStatus::Paused => Self::Failed,
        }
    }

    /// What an error is worth.
    pub fn of_error(error: &anyhow::Error) -> Self {
        if error.chain().any(|cause| cause.is::<Mistake>()) {
            return Self::Usage;
        }
        match error.downcast_ref::<Error>() {
            Some(error) => of_engine_error(error),
            None => Self::Failed,
        }
    }
}

/// Something that whoever typed the command can put right.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    message: String,
    hint: Option<String>,
}

impl Mistake {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// What to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn of_engine_error(error: &Error) -> Exit {
    match error {
        Error::Denied(denial) => of_denial(denial),
        Error::NotFound { .. }
        | Error::Invalid { .. }
        | Error::Graph { .. }
        | Error::Undamaged { .. }
        | Error::Owned { .. } => Exit::Usage,
        Error::Store(error) => of_store_error(error),
        Error::Sandbox(error) => of_sandbox_error(error),
        Error::Fold(_)
        | Error::TreeStopped { .. }
        | Error::ShuttingDown
        | Error::Detached { .. }
        | Error::Unrecovered { .. } => Exit::Failed,
    }
}

/// What was named is wrong, or the store is in no state to do it.
fn of_store_error(error: &pleach_store::Error) -> Exit {
    use pleach_store::Error::{
        Address, AfterFailure, BackupExists, BackupFailed, Closed, Corrupt, Empty, Failed, Fenced, Foreign, Full,
        Locked, Mismatch, NewerSchema, NoBackup, NoSuchPlugin, NoSuchTree, NotEnded, NotOwner, Overloaded, Refused,
        SnapshotAhead, Unusable, VersionTaken,
    };
    match error {
        Address { .. }
        | Foreign { .. }
        | Empty { .. }
        | NewerSchema { .. }
        | NoSuchTree { .. }
        | NoSuchPlugin { .. }
        | VersionTaken { .. }
        | Mismatch { .. }
        | NotEnded { .. }
        | BackupExists { .. }
        | NoBackup => Exit::Usage,
        Unusable { .. }
        | Locked { .. }
        | Full { .. }
        | Corrupt { .. }
        | Fenced { .. }
        | AfterFailure { .. }
        | NotOwner { .. }
        | SnapshotAhead { .. }
        | BackupFailed { .. }
        | Refused { .. }
        | Overloaded { .. }
        | Closed
        | Failed { .. } => Exit::Failed,
    }
}

/// The component is wrong, or the machine is in no state to run it.
fn of_sandbox_error(error: &pleach_sandbox::Error) -> Exit {
    use pleach_sandbox::Error::{
        Bytes, Cache, Compile, CompileTime, Digest, Metadata, NotAComponent, Setup, ShutDown, TooLarge, Unfit,
        UnknownImports, WrongWorld,
    };
    match error {
        NotAComponent { .. }
        | TooLarge { .. }
        | WrongWorld { .. }
        | UnknownImports { .. }
        | Metadata { .. }
        | Compile { .. }
        | Unfit { .. } => Exit::Usage,
        Setup { .. } | Cache { .. } | CompileTime { .. } | Digest { .. } | Bytes { .. } | ShutDown => Exit::Failed,
    }
}

/// A refusal is policy's, unless no policy could have allowed what was asked.
fn of_denial(denial: &Denial) -> Exit {
    use Code::{
        GroupNotFound, InvalidQuorum, InvalidRequest, NotInLineage, RunNotFound, ScopeInvalid, TargetNotFound,
        TargetNotPublished,
    };
    match denial.code {
        TargetNotFound | TargetNotPublished | ScopeInvalid | InvalidQuorum | InvalidRequest | RunNotFound
        | GroupNotFound | NotInLineage => Exit::Usage,
        _ => Exit::Denied,
    }
}

/// Shows an error: what was being done and to what, why it failed, and what to
/// do next.
pub fn told(error: &anyhow::Error) -> String {
    let mut out = format!("error: {}", text::block(&chain(error)));
    if let Some(hint) = hint(error) {
        write!(out, "\nhint: {}", text::block(&hint)).ok();
    }
    out
}

/// What was being done, then why it failed, from the outside in. A cause that
/// the error around it has already told is not told again.
fn chain(error: &anyhow::Error) -> String {
    let mut told = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !told.ends_with(&cause) {
            write!(told, ": {cause}").ok();
        }
    }
    told
}

fn hint(error: &anyhow::Error) -> Option<String> {
    let mistake = error.chain().find_map(|cause| cause.downcast_ref::<Mistake>());
    if let Some(hint) = mistake.and_then(|mistake| mistake.hint.clone()) {
        return Some(hint);
    }
    match error.downcast_ref::<Error>()? {
        Error::Denied(denial) => Some(hint_on(denial)),
        other => other.hint(),
    }
}

/// What would allow what policy refused.
fn hint_on(denial: &Denial) -> String {
    use Code::{
        AllowlistEmpty, BudgetExhausted, CallerCancelled, FeatureDisabled, GroupNotFound, IdempotencyConflict,
        InvalidQuorum, InvalidRequest, MaxChildrenTotal, MaxDepth, MaxFanout, NotInLineage, QuotaExceeded, RunNotFound,
        ScopeExceedsPolicy, ScopeInvalid, ScopeNotHeld, ScopeRequired, TargetNotAllowlisted, TargetNotFound,
        TargetNotPublished,
    };
    let target = denial.target.as_deref().unwrap_or("NAME");
    match denial.code {
        TargetNotFound | TargetNotPublished => {
            "`pleach plugin list` shows what is published; `pleach plugin publish FILE` adds to it, \
             and `run` takes --plugin FILE and --plugins DIR"
                .to_owned()
        }
        AllowlistEmpty | TargetNotAllowlisted => {
            format!("add `{target}` to `targets` in the policy: --policy FILE, or `pleach policy set FILE`")
        }
        ScopeExceedsPolicy => {
            "add a scope that covers it to `scopes` in the policy: --policy FILE, or `pleach policy set FILE`"
                .to_owned()
        }
        ScopeRequired | ScopeNotHeld => "grant it to the run with --grant SCOPE or --delegate SCOPE".to_owned(),
        ScopeInvalid => "a scope is `capability:resource`, such as `fs.read:repo/*`".to_owned(),
        MaxDepth | MaxFanout | MaxChildrenTotal => {
            format!("raise `limits.{}` in the policy: --policy FILE, or `pleach policy set FILE`", denial.code)
        }
        QuotaExceeded => "wait for runs to end, or raise `quotas` in the policy".to_owned(),
        BudgetExhausted => "raise `budget` in the policy, or --budget".to_owned(),
        FeatureDisabled => "turn it on under `surfaces` in the policy".to_owned(),
        CallerCancelled | IdempotencyConflict | InvalidQuorum | InvalidRequest | RunNotFound | GroupNotFound
        | NotInLineage => "the message says what was wrong with the request".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn an_exit_code_is_a_promise() {
        let codes = [Exit::Completed, Exit::Failed, Exit::Usage, Exit::Denied, Exit::Cancelled, Exit::TimedOut];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Exit::of_status(RunStatus::TimedOut), Exit::TimedOut);
        assert_eq!(Exit::of_status(RunStatus::Cancelled), Exit::Cancelled);
        assert_eq!(Exit::of_status(RunStatus::Running), Exit::Failed);
    }

    #[test]
    fn an_error_keeps_its_worth_and_its_hint_under_more_context() {
        let mistake: anyhow::Error = Mistake::new("the file is not there").hint("name another").into();
        let error = Err::<(), _>(mistake).context("reading `x`").unwrap_err();
        assert_eq!(Exit::of_error(&error), Exit::Usage);
        assert_eq!(told(&error), "error: reading `x`: the file is not there\nhint: name another");

        let denial = Denial::new(Code::MaxDepth, "spawn_run", "too deep");
        let denied = Err::<(), _>(Error::Denied(Box::new(denial))).context("running `lead`").unwrap_err();
        assert_eq!(Exit::of_error(&denied), Exit::Denied);
        assert!(told(&denied).contains("\nhint: raise `limits.max_depth`"), "{}", told(&denied));

        let store = Error::Store(pleach_store::Error::Address { url: "x".into() });
        let store = Err::<(), _>(store).context("opening it").unwrap_err();
        assert_eq!(Exit::of_error(&store), Exit::Usage);
        assert_eq!(told(&store).matches("names no store").count(), 1, "{}", told(&store));

        assert_eq!(Exit::of_error(&anyhow::anyhow!("the disk is full")), Exit::Failed);
    }
}

//! Everything that can go wrong between an embedder and its host.

use pleach_kernel::{Denial, FoldError, RunId};

/// What went wrong, to what.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Policy refused.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// There is no such thing for this tenant.
    #[error("there is no {what} `{name}`")]
    NotFound { what: &'static str, name: String, hint: String },
    /// The request contradicts itself or the rules of its form.
    #[error("{doing}: {why}")]
    Invalid { doing: &'static str, why: String },
    #[error(transparent)]
    Store(#[from] pleach_store::Error),
    #[error(transparent)]
    Sandbox(#[from] pleach_sandbox::Error),
    /// A log that is whole but makes no sense; never seen unless a file was
    /// changed by hand or by another program.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// The tree's log could not be written, so the host has stopped the tree.
    #[error("run {run_id} was stopped because its log could not be written: {cause}")]
    TreeStopped { run_id: RunId, cause: Box<pleach_store::Error> },
    #[error("the host is shutting down and takes no new work")]
    ShuttingDown,
    /// The host went away before the run had ended.
    #[error("run {run_id} has not ended: the host that ran it has stopped")]
    Detached { run_id: RunId },
    /// The host has the tree but cannot go on with it.
    #[error("run {run_id} could not be recovered: {cause}")]
    Unrecovered { run_id: RunId, cause: Box<Error> },
}

impl Error {
    /// What to do next, where that is not in the message.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::NotFound { hint, .. } => Some(hint),
            Self::TreeStopped { .. } => Some("mend the store; what was acknowledged is in the log"),
            Self::ShuttingDown => Some("start the host again, then ask again"),
            Self::Detached { .. } => {
                Some("it goes on where it was when a host recovers this store, with `pleach resume` for one")
            }
            Self::Unrecovered { .. } => Some("nothing was changed; mend the store, then start the host again"),
            Self::Denied(denial) => hint_of(denial),
            Self::Invalid { .. } | Self::Store(_) | Self::Sandbox(_) | Self::Fold(_) => None,
        }
    }

    pub(crate) fn invalid(doing: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Invalid { doing, why: why.to_string() }
    }
}

fn hint_of(denial: &Denial) -> Option<&'static str> {
    use pleach_kernel::Code;
    match denial.code {
        Code::AllowlistEmpty | Code::TargetNotAllowlisted => Some("list the plugin under `targets` in the policy"),
        Code::ScopeExceedsPolicy => Some("add the scope to `scopes` in the policy, or ask for less"),
        Code::ScopeRequired | Code::ScopeNotHeld => Some("grant the scope to the run that asks"),
        Code::MaxDepth | Code::MaxFanout | Code::MaxChildrenTotal => Some("raise the limit in the policy"),
        Code::TargetNotFound => Some("publish the plugin first"),
        _ => None,
    }
}

impl From<Box<Denial>> for Error {
    fn from(denial: Box<Denial>) -> Self {
        Self::Denied(denial)
    }
}

//! Everything that can go wrong between an embedder and its host.

use pleach_graph::diagnostic::{Diagnostic, Severity};
use pleach_graph::source::Source;
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
    /// A graph is wrong; every problem is here, with its place in the file.
    #[error("{}: {}", file.name(), told(problems))]
    Graph { file: Source, problems: Vec<Diagnostic> },
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
    Unrecovered {
        run_id: RunId,
        cause: Box<Error>,
        /// Its log can be read, so that it can be cancelled.
        is_readable: bool,
    },
    /// Only what cannot be read goes without having ended.
    #[error("run {run_id} is not damaged: its log can be read")]
    Undamaged { run_id: RunId },
    /// What a live host has is that host's.
    #[error("run {run_id} belongs to a host that is alive")]
    Owned { run_id: RunId },
}

/// How many problems a graph has, and the first.
fn told(problems: &[Diagnostic]) -> String {
    let mut errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let first = errors.next().map_or("", |problem| &problem.message);
    match errors.count() {
        0 => first.to_owned(),
        more => format!("{first} (and {more} more)"),
    }
}

impl Error {
    /// What keeps a host from going on with a tree, with its run named once.
    pub fn unrecovered(run_id: RunId, cause: Self) -> Self {
        match cause {
            // They name it themselves.
            said @ (Self::Unrecovered { .. } | Self::TreeStopped { .. } | Self::Detached { .. }) => said,
            said @ (Self::NotFound { .. } | Self::ShuttingDown) => said,
            cause => Self::Unrecovered { run_id, cause: Box::new(cause), is_readable: false },
        }
    }

    /// What to do next, where that is not in the message.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { hint, .. } => hint.clone(),
            Self::TreeStopped { run_id, cause } => {
                let mend = match **cause {
                    pleach_store::Error::Full { .. } => "free some space (`pleach gc` needs little itself)",
                    _ => "mend what the message names, see with `pleach store check` that all is whole",
                };
                format!("what was confirmed is in the log; {mend}, then `pleach resume {run_id}`")
            }
            Self::ShuttingDown => "start the host again, then ask again".to_owned(),
            Self::Detached { run_id } => {
                format!("`pleach resume {}`, or a host that recovers this store, goes on where it was", run_id.root)
            }
            Self::Unrecovered { run_id, cause, is_readable } => {
                let next = match (cause.is_damage(), is_readable) {
                    (true, true) => format!("restore a backup, or give the run up with `pleach cancel {run_id}`"),
                    (true, false) => {
                        format!("restore a backup, or give the run up with `pleach gc --damaged {run_id}`")
                    }
                    (false, _) => format!("mend what the message names, then `pleach resume {run_id}`"),
                };
                format!("nothing was changed; `pleach store check` tells all that is wrong; {next}")
            }
            Self::Undamaged { run_id } => format!(
                "`pleach cancel {run_id}` ends it where it has not ended, and `pleach gc --older-than AGE` removes \
                 what has"
            ),
            Self::Owned { run_id } => format!("`pleach cancel {run_id}` asks that host to end it"),
            Self::Store(error) => return hint_of_store(error).map(str::to_owned),
            Self::Denied(denial) => return hint_of(denial).map(str::to_owned),
            Self::Graph { .. } => "`pleach check FILE` shows every problem with its place".to_owned(),
            Self::Invalid { .. } | Self::Sandbox(_) | Self::Fold(_) => return None,
        })
    }

    /// What was written cannot be read, or makes no sense, and will not by itself.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Store(pleach_store::Error::Corrupt { .. }) | Self::Fold(_))
    }

    pub(crate) fn invalid(doing: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Invalid { doing, why: why.to_string() }
    }
}

fn hint_of_store(error: &pleach_store::Error) -> Option<&'static str> {
    use pleach_store::Error::{Corrupt, Failed, Full};
    match error {
        Full { .. } => Some("`pleach gc` needs little room itself; `pleach resume` goes on with what was stopped"),
        // Of a file that is damaged as a whole no check could tell more.
        Corrupt { what, .. } if !what.starts_with("the store ") => {
            Some("`pleach store check` tells all that is damaged, and what to do about each")
        }
        Failed { .. } => {
            Some("`pleach store check` tells whether all is whole; `pleach resume` goes on with what was stopped")
        }
        _ => None,
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

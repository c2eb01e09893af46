//! Ended: what became of a run, as whoever waits for it is told.

use pleach_kernel::{Payload, RunError, RunId, RunStatus, Timestamp, Usage};
use serde::Serialize;

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    pub run_id: RunId,
    /// The plugin of its last try, `name@version`: another than was asked for where it
    /// came to a fallback.
    pub plugin: String,
    pub status: RunStatus,
    /// Where it completed.
    pub output: Option<Payload>,
    /// Where it did not.
    pub error: Option<RunError>,
    /// What this run itself has spent.
    pub usage: Usage,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Ended {
    pub(crate) fn of(run: &pleach_kernel::Run) -> Self {
        Self {
            run_id: run.id,
            plugin: run.plugin().to_string(),
            status: run.status,
            output: run.output().cloned(),
            error: run.error(),
            usage: run.usage,
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
        }
    }
}

//! Figures of peers: a line of the table, an object of the JSON.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::protocol::Workload;
use crate::report;
use crate::rounds::Spread;

/// What became of one case, or of a peer that has none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Measured(Spread),
    /// The peer cannot do this.
    Lacking,
    Failed,
    NotInstalled,
}

/// One case of a peer.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub peer: String,
    pub version: Option<String>,
    /// None where the peer could not even be asked.
    pub workload: Option<Workload>,
    /// The size that was measured, or was to be.
    pub n: Option<u32>,
    pub outcome: Outcome,
    /// How the peer does it, what it has to say to that, or what went wrong.
    pub note: String,
}

impl Figure {
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed)
    }

    /// Which peer is skipped and how to have it, where it is.
    pub fn skipped(&self) -> Option<String> {
        let skipped = matches!(self.outcome, Outcome::NotInstalled);
        skipped.then(|| format!("skipped: {} is not installed: {}", self.peer, self.note))
    }
}

/// The figures as a table for people; peers that are not there are not in it.
pub fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["peer", "version", "case", "unit", "median [min–max]", "note"]);
    for figure in figures {
        let shown = match &figure.outcome {
            Outcome::Measured(spread) => report::spread(spread),
            Outcome::Lacking => "none".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::NotInstalled => continue,
        };
        let case = match (figure.workload, figure.n) {
            (Some(workload), Some(n)) => workload.case(n),
            (_, None) | (None, _) => String::new(),
        };
        table.add_row([
            figure.peer.as_str(),
            figure.version.as_deref().unwrap_or_default(),
            &case,
            figure.workload.map_or("", Workload::unit),
            &shown,
            &figure.note,
        ]);
    }
    table.to_string()
}

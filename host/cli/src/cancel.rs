//! `pleach cancel`: stop a run and everything that it caused, also where
//! another process is running it.

use clap::Args;
use pleach_engine::kernel::Query;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::place::Place;
use crate::tree::abandoned_note;
use crate::{select, stderr, text};

/// Shows a run without those below it.
const JUST_ONE: Query = Query { run_id: None, max_depth: Some(0), max_nodes: Some(1), skip_children: 0 };

/// Stop a run and everything it caused.
#[derive(Args, Debug)]
pub struct Cancel {
    /// The run: its id, or at least the first 8 characters of it.
    run: String,

    /// Why; written into the log.
    #[arg(long, value_name = "TEXT", default_value = "cancelled_by_operator")]
    reason: String,

    /// How the answer is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Cancel {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let host = place.open_existing().await?;
        let id = select::run(&host, &self.run).await?;
        let run = host.run(id).await?;
        let abandoned = run.is_abandoned().await?;
        let cancelled = run.cancel(&self.reason).await?;
        let mut output = Output::stdout();
        match self.format {
            Format::Text if cancelled.cancelled_count == 0 => {
                output.line(&format!("{id}: nothing to cancel, it has ended"))?;
            }
            Format::Text => {
                let count = text::count(u64::from(cancelled.cancelled_count), "run");
                output.line(&format!("{id}: cancelled {count} ({})", text::line(&self.reason)))?;
            }
            Format::Json => output.json(&cancelled)?,
            Format::Ndjson => output.json_line(&cancelled)?,
        }
        // With a part of it cancelled, the rest of the tree still stands still.
        if abandoned && !host.run(id.root.run()).await?.tree(JUST_ONE).await?.tree.status.is_terminal() {
            stderr::line(&abandoned_note(id.root.run()));
        }
        Ok(Exit::Completed)
    }
}

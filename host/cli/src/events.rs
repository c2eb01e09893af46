//! `pleach events`: the log of a run's tree.

use clap::Args;
use pleach_engine::kernel::Query;

use crate::exit::{Exit, Mistake};
use crate::narrate::{Shown, Written};
use crate::output::{Format, Output};
use crate::place::Place;
use crate::tree::abandoned_note;
use crate::{amounts, select, stderr};

/// Show the log of a run's tree: what happened, in order.
#[derive(Args, Debug)]
pub struct Show {
    /// The run: its id, or at least the first 8 characters of it. For a run
    /// below the root only what is about it and what it asked for is shown.
    run: String,

    /// Wait for what is still to come, until the tree has ended.
    #[arg(long)]
    follow: bool,

    /// Begin with the event of this number.
    #[arg(long, value_name = "SEQ", default_value = "1", value_parser = amounts::whole::<u64>, allow_negative_numbers = true)]
    from: u64,

    /// How events are written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Show {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        if self.follow && self.format == Format::Json {
            let mistake = Mistake::new("following events: `--format json` is one document, and has to end first");
            return Err(mistake.hint("use --format ndjson with --follow").into());
        }
        let host = place.look().await?;
        let id = select::run(&host, &self.run).await?;
        let run = host.run(id).await?;
        let mut output = Output::stdout();
        let mut array = Vec::new();
        // To where the log reaches now, unless somebody will add to it.
        let abandoned = run.is_abandoned().await?;
        let last = match self.follow && !abandoned {
            true => u64::MAX,
            false => run.tree(Query { max_nodes: Some(1), ..Query::default() }).await?.seq,
        };
        let mut next = self.from.max(1);
        let mut events = run.events(next);
        while next <= last {
            let Some(record) = events.next().await.transpose()? else { break };
            next = record.seq + 1;
            let event = Shown::of(&record);
            if !event.concerns(id) {
                continue;
            }
            match self.format {
                Format::Text => output.line(&event.line())?,
                Format::Ndjson => output.json_line(&Written::of(&record))?,
                Format::Json => array.push(record),
            }
            if output.gone() {
                break;
            }
        }
        if self.format == Format::Json {
            output.json(&array.iter().map(Written::of).collect::<Vec<_>>())?;
        }
        // Its host may have gone while it was followed.
        if abandoned || self.follow && run.is_abandoned().await? {
            stderr::line(&abandoned_note(id));
        }
        Ok(Exit::Completed)
    }
}

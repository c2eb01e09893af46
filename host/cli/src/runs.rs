//! `pleach runs`: the run trees of a tenant, newest first.

use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use pleach_engine::{RunFilter, TreeSize, TreeSummary};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::place::Place;
use crate::{amounts, stderr, text};

/// List the runs of the tenant, newest first.
#[derive(Args, Debug)]
pub struct Runs {
    /// Only runs whose root has this status.
    #[arg(long, value_enum)]
    status: Option<Status>,

    /// At most so many.
    #[arg(long, value_name = "N", default_value = "20", value_parser = amounts::whole::<usize>, allow_negative_numbers = true)]
    limit: usize,

    /// Show also what each takes up in the store.
    #[arg(long)]
    sizes: bool,

    /// How the list is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Status {
    Queued,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

/// One tree, as it is written in JSON.
#[derive(Serialize)]
struct Row<'a> {
    run_id: String,
    plugin: &'a str,
    status: &'a str,
    run_count: u32,
    created_at: String,
    finished_at: Option<String>,
    last_seq: u64,
    policy_version: u64,
    /// It has not ended, and the host that ran it is gone.
    abandoned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
}

/// What one tree takes up, as it is written in JSON.
#[derive(Serialize)]
struct Size {
    events: u64,
    log_bytes: u64,
    journal_entries: u64,
    journal_bytes: u64,
    /// Of large answers, which lie apart from the journals.
    blob_bytes: u64,
    snapshot_seq: Option<u64>,
    snapshot_bytes: u64,
}

impl From<TreeSize> for Size {
    fn from(size: TreeSize) -> Self {
        Self {
            events: size.events,
            log_bytes: size.log_bytes,
            journal_entries: size.journal_entries,
            journal_bytes: size.journal_bytes,
            blob_bytes: size.blob_bytes,
            snapshot_seq: size.snapshot_seq,
            snapshot_bytes: size.snapshot_bytes,
        }
    }
}

/// A tree, and whether its host has left it behind.
struct Listed {
    tree: TreeSummary,
    abandoned: bool,
    size: Option<TreeSize>,
}

impl<'a> From<&'a Listed> for Row<'a> {
    fn from(Listed { tree, abandoned, size }: &'a Listed) -> Self {
        Self {
            abandoned: *abandoned,
            size: size.map(Size::from),
            run_id: tree.root.to_string(),
            plugin: &tree.plugin,
            status: &tree.status,
            run_count: tree.run_count,
            created_at: text::rfc3339(tree.created_at),
            finished_at: tree.finished_at.map(text::rfc3339),
            last_seq: tree.last_seq,
            policy_version: tree.policy_version,
        }
    }
}

impl Runs {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let host = place.look().await?;
        let status = self.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
        let mut trees = Vec::new();
        for tree in host.runs(RunFilter { status, limit: self.limit }).await? {
            let abandoned = tree.finished_at.is_none() && host.run(tree.root.run()).await?.is_abandoned().await?;
            let size = match self.sizes {
                true => Some(host.size(tree.root.run()).await?),
                false => None,
            };
            trees.push(Listed { tree, abandoned, size });
        }
        let mut output = Output::stdout();
        match self.format {
            Format::Text if trees.is_empty() => output.line("no runs")?,
            Format::Text => {
                output.line(&table(&trees, self.sizes))?;
                if let Some(Listed { tree, .. }) = trees.iter().find(|listed| listed.abandoned) {
                    stderr::line(&format!(
                        "note: where the host is gone nothing runs any more; `pleach resume` goes on with all of it, \
                         and `pleach resume {}`, say, with one run",
                        tree.root
                    ));
                }
            }
            Format::Json | Format::Ndjson => {
                let rows: Vec<Row> = trees.iter().map(Row::from).collect();
                output.list(&rows, self.format == Format::Ndjson)?;
            }
        }
        Ok(Exit::Completed)
    }
}

fn table(trees: &[Listed], sizes: bool) -> String {
    let mut table = Table::new();
    let mut header = vec!["run", "plugin", "status", "runs", "started (UTC)", "took"];
    if sizes {
        header.extend(["events", "log", "answers", "journal", "snapshot at"]);
    }
    table.load_style(NOTHING).set_header(header);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    for Listed { tree, abandoned, size } in trees {
        let took = tree.finished_at.map(|end| text::duration(end.since_ms(tree.created_at)));
        let mut row = vec![
            Cell::new(tree.root),
            Cell::new(text::line(&tree.plugin)),
            Cell::new(if *abandoned { format!("{}, host gone", tree.status) } else { tree.status.clone() }),
            right(text::thousands(u64::from(tree.run_count))),
            Cell::new(text::date_and_time(tree.created_at)),
            Cell::new(took.unwrap_or_default()),
        ];
        if let Some(size) = size {
            row.extend([
                right(text::thousands(size.events)),
                right(text::bytes(size.log_bytes)),
                right(text::thousands(size.journal_entries)),
                right(text::bytes(size.journal_bytes + size.blob_bytes)),
                right(size.snapshot_seq.map(text::thousands).unwrap_or_default()),
            ]);
        }
        table.add_row(row);
    }
    table.trim_fmt()
}

//! `pleach runs`: the run trees of a tenant, newest first.

use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use pleach_engine::{RunFilter, TreeSummary};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::place::Place;
use crate::text;

/// List the runs of the tenant, newest first.
#[derive(Args, Debug)]
pub struct Runs {
    /// Only runs whose root has this status.
    #[arg(long, value_enum)]
    status: Option<Status>,

    /// At most so many.
    #[arg(long, value_name = "N", default_value = "20")]
    limit: usize,

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
}

/// A tree, and whether its host has left it behind.
struct Listed {
    tree: TreeSummary,
    abandoned: bool,
}

impl<'a> From<&'a Listed> for Row<'a> {
    fn from(Listed { tree, abandoned }: &'a Listed) -> Self {
        Self {
            abandoned: *abandoned,
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
        let host = place.open_existing().await?;
        let status = self.status.and_then(|status| Some(status.to_possible_value()?.get_name().to_owned()));
        let mut trees = Vec::new();
        for tree in host.runs(RunFilter { status, limit: self.limit }).await? {
            let abandoned = tree.finished_at.is_none() && host.run(tree.root.run()).await?.is_abandoned().await?;
            trees.push(Listed { tree, abandoned });
        }
        let mut output = Output::stdout();
        match self.format {
            Format::Text if trees.is_empty() => output.line("no runs")?,
            Format::Text => output.line(&table(&trees))?,
            Format::Json | Format::Ndjson => {
                let rows: Vec<Row> = trees.iter().map(Row::from).collect();
                output.list(&rows, self.format == Format::Ndjson)?;
            }
        }
        Ok(Exit::Completed)
    }
}

fn table(trees: &[Listed]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["run", "plugin", "status", "runs", "started (UTC)", "took"]);
    for Listed { tree, abandoned } in trees {
        let took = tree.finished_at.map(|end| text::duration(end.since_ms(tree.created_at)));
        table.add_row([
            Cell::new(tree.root),
            Cell::new(text::line(&tree.plugin)),
            Cell::new(if *abandoned { format!("{}, host gone", tree.status) } else { tree.status.clone() }),
            Cell::new(text::thousands(u64::from(tree.run_count))).set_alignment(CellAlignment::Right),
            Cell::new(text::date_and_time(tree.created_at)),
            Cell::new(took.unwrap_or_default()),
        ]);
    }
    table.trim_fmt()
}

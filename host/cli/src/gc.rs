//! `pleach gc`: remove ended runs, and all that the store has of them; or one
//! that cannot be read.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use pleach_engine::{Collected, Garbage};
use serde::Serialize;

use crate::exit::{Exit, Mistake};
use crate::output::{Format, Output};
use crate::place::Place;
use crate::store::Vacuumed;
use crate::{amounts, select, text};

/// Remove ended runs, of every tenant, and all that the store has of them.
///
/// A run that has not ended is never removed, unless it is damaged and named.
/// With both --older-than and --keep, a run goes only where both let it.
#[derive(Args, Debug)]
pub struct Gc {
    /// Remove what ended longer ago: a number and d, h, m or s, such as `30d`.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,

    /// Keep, of each tenant, the N runs that ended last.
    #[arg(long, value_name = "N", value_parser = amounts::whole::<usize>, allow_negative_numbers = true)]
    keep: Option<usize>,

    /// Remove this run, ended or not, whose log cannot be read, and all of its
    /// tree; one that can be read is not removed.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["older_than", "keep"])]
    damaged: Option<String>,

    /// Show what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,

    /// Then give the room back to the file system; writes wait for it.
    #[arg(long, conflicts_with = "dry_run")]
    vacuum: bool,

    /// How the list is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// One removed tree, as it is written in JSON.
#[derive(Serialize)]
struct Row {
    run_id: String,
    tenant: String,
    plugin: String,
    status: String,
    finished_at: Option<String>,
    events: u64,
    bytes: u64,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
}

impl From<Collected> for Row {
    fn from(tree: Collected) -> Self {
        Self {
            run_id: tree.run_id.to_string(),
            tenant: tree.tenant,
            plugin: tree.plugin,
            status: tree.status,
            finished_at: tree.finished_at.map(text::rfc3339),
            events: tree.events,
            bytes: tree.bytes,
            damage: tree.damage,
        }
    }
}

/// All of them together.
#[derive(Default, Serialize)]
struct Totals {
    dry_run: bool,
    run_count: u64,
    events: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vacuum: Option<Vacuumed>,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    totals: Totals,
    runs: Vec<Row>,
}

impl Gc {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        if self.older_than.is_none() && self.keep.is_none() && self.damaged.is_none() {
            let message = "collecting garbage: neither --older-than nor --keep nor --damaged says what may go";
            return Err(Mistake::new(message)
                .hint("give one, such as `--older-than 30d` or `--keep 1000`; with --dry-run nothing is removed")
                .into());
        }
        let host = match self.dry_run {
            true => place.look().await?,
            false => place.open_existing().await?,
        };
        let mut output = Output::stdout();
        let mut totals = Totals { dry_run: self.dry_run, ..Totals::default() };
        let (mut rows, mut written) = (Vec::new(), Ok(()));
        let mut told = |tree: Collected| {
            totals.run_count += 1;
            totals.events += tree.events;
            totals.bytes += tree.bytes;
            // What is removed is removed: that it cannot be told stops nothing.
            let told = match self.format {
                Format::Text => output.line(&line(&tree, self.dry_run)),
                Format::Ndjson => output.json_line(&Row::from(tree)),
                Format::Json => {
                    rows.push(Row::from(tree));
                    Ok(())
                }
            };
            if written.is_ok() {
                written = told;
            }
        };
        match &self.damaged {
            Some(run) => {
                let run = select::run(&host, run).await?;
                told(host.discard(run, self.dry_run).await.context("removing a damaged run")?);
            }
            None => {
                let garbage = Garbage { older_than: self.older_than, keep: self.keep.unwrap_or(0) };
                host.collect(garbage, self.dry_run, told).await.context("collecting garbage")?;
            }
        }
        written?;
        if self.vacuum {
            totals.vacuum = Some(Vacuumed::of(&host, place).await.context("giving room back")?);
        }
        match self.format {
            Format::Text => {
                output.line(&summary(&totals))?;
                totals.vacuum.iter().try_for_each(|vacuum| output.line(&vacuum.told()))?;
            }
            Format::Json => output.json(&Report { totals, runs: rows })?,
            Format::Ndjson => output.json_line(&totals)?,
        }
        Ok(Exit::Completed)
    }
}

fn line(tree: &Collected, dry_run: bool) -> String {
    let verb = if dry_run { "would remove" } else { "removed" };
    let ended = match tree.finished_at {
        Some(at) => format!("ended {}", text::date_and_time(at)),
        None => "not ended".to_owned(),
    };
    let damage = tree.damage.as_deref().map(|damage| format!("\n  {}", text::line(damage))).unwrap_or_default();
    format!(
        "{verb} {} of {}: {} {}, {ended}, {}, {}{damage}",
        tree.run_id,
        text::line(&tree.tenant),
        text::line(&tree.plugin),
        text::line(&tree.status),
        text::count(tree.events, "event"),
        text::bytes(tree.bytes),
    )
}

fn summary(totals: &Totals) -> String {
    if totals.run_count == 0 {
        return "nothing to remove".to_owned();
    }
    let verb = if totals.dry_run { "would remove" } else { "removed" };
    let trees = text::count(totals.run_count, "tree");
    format!("{verb} {trees}: {}, {}", text::count(totals.events, "event"), text::bytes(totals.bytes))
}

fn age(text: &str) -> Result<Duration, String> {
    let why = || "an age is a whole number and a unit, such as `30d`, `12h`, `15m` or `90s`".to_owned();
    let mut digits = text.chars();
    let seconds_each: u64 = match digits.next_back() {
        Some('d') => 86_400,
        Some('h') => 3_600,
        Some('m') => 60,
        Some('s') => 1,
        _ => return Err(why()),
    };
    let number = digits.as_str();
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(why());
    }
    let number: u64 = number.parse().map_err(|_| why())?;
    number.checked_mul(seconds_each).map(Duration::from_secs).ok_or_else(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        for (text, seconds) in [("30d", 2_592_000), ("12h", 43_200), ("15m", 900), ("90s", 90), ("0d", 0)] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "d",
            "30",
            "-1d",
            "+1d",
            "1.5h",
            "3 d",
            "1w",
            "1D",
            "é",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}

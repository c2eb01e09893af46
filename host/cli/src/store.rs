//! `pleach store`: a copy of the store, whether all of it is whole, and room
//! given back.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use pleach_engine::{Fault, Host, Totals};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::place::Place;
use crate::{stderr, text};

/// Back up, check or shrink the store.
#[derive(Args, Debug)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Copy the store to a new file, also while runs go on.
    ///
    /// The copy is a store itself. A run that had not ended goes on where the
    /// copy is resumed, too: resume only one of the two.
    Backup {
        /// A file that is not there yet.
        file: PathBuf,

        /// How the answer is written.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Verify everything in the store, of every tenant.
    ///
    /// Exit code 1 says that something is not as it should be.
    Check {
        /// How what was found is written.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Give the room of what was removed back to the file system.
    ///
    /// Writes wait for it, those of other processes too, and it needs as much
    /// room again while it lasts.
    Vacuum {
        /// How the answer is written.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
}

/// What a check found, as it is written in JSON.
#[derive(Serialize)]
struct Checked {
    whole: bool,
    /// Where it is whole.
    #[serde(flatten)]
    totals: Option<Totals>,
    faults: Vec<Fault>,
}

impl Command {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let mut output = Output::stdout();
        match self.action {
            Action::Backup { file, format } => backup(&place.look().await?, &file, format, &mut output).await,
            Action::Check { format } => check(&place.look().await?, format, &mut output).await,
            Action::Vacuum { format } => vacuum(&place.open_existing().await?, place, format, &mut output).await,
        }
    }
}

async fn backup(host: &Host, file: &Path, format: Format, output: &mut Output) -> anyhow::Result<Exit> {
    let bytes = host.backup(file).await?;
    let answer = serde_json::json!({ "path": file.to_string_lossy(), "bytes": bytes });
    match format {
        Format::Text => {
            let path = file.to_string_lossy();
            output.line(&format!("backed up to {}: {}", text::line(&path), text::bytes(bytes)))?;
        }
        Format::Json => output.json(&answer)?,
        Format::Ndjson => output.json_line(&answer)?,
    }
    // A copy has the faults of what was copied. Those that matter most are cheap to
    // find: of runs that the copy is there to go on with.
    for (run, why) in host.unreadable().await? {
        stderr::line(&format!(
            "warning: run {run} cannot be read, in the copy as in the store: {}",
            text::line(&why.to_string())
        ));
        stderr::line(&format!(
            "hint: `pleach store check` tells all that is wrong; `pleach gc --damaged {run}` removes that run"
        ));
    }
    Ok(Exit::Completed)
}

async fn check(host: &Host, format: Format, output: &mut Output) -> anyhow::Result<Exit> {
    let faults = host.check().await.context("checking the store")?;
    let exit = if faults.is_empty() { Exit::Completed } else { Exit::Failed };
    // A store that is not whole may not be able to count, either.
    let totals = if faults.is_empty() { Some(host.totals().await?) } else { None };
    match format {
        Format::Text => {
            faults.iter().try_for_each(|fault| output.line(&told(fault)))?;
            match totals {
                Some(totals) => output.line(&format!(
                    "{}, {}: all whole",
                    text::count(totals.trees, "tree"),
                    text::count(totals.events, "event")
                ))?,
                None => output.line(&text::count(faults.len() as u64, "fault"))?,
            }
        }
        Format::Json => output.json(&Checked { whole: faults.is_empty(), totals, faults })?,
        Format::Ndjson => output.json_line(&Checked { whole: faults.is_empty(), totals, faults })?,
    }
    Ok(exit)
}

fn told(fault: &Fault) -> String {
    // What the store itself finds names the run already.
    let place = match fault.run_id.map(|run| run.to_string()) {
        Some(run) if !fault.what.contains(&run) => format!("run {run}: "),
        Some(_) | None => String::new(),
    };
    format!("{place}{}: {}\n  {}", text::line(&fault.what), text::line(&fault.detail), fault.hint)
}

async fn vacuum(host: &Host, place: &Place, format: Format, output: &mut Output) -> anyhow::Result<Exit> {
    let vacuumed = Vacuumed::of(host, place).await?;
    match format {
        Format::Text => output.line(&vacuumed.told())?,
        Format::Json => output.json(&vacuumed)?,
        Format::Ndjson => output.json_line(&vacuumed)?,
    }
    Ok(Exit::Completed)
}

/// What the store took up before its room was given back, and after.
#[derive(Serialize)]
pub struct Vacuumed {
    bytes_before: u64,
    bytes: u64,
}

impl Vacuumed {
    /// Gives room back.
    pub async fn of(host: &Host, place: &Place) -> anyhow::Result<Self> {
        let bytes_before = place.bytes();
        host.vacuum().await?;
        Ok(Self { bytes_before, bytes: place.bytes() })
    }

    pub fn told(&self) -> String {
        format!("the store has {}; it had {}", text::bytes(self.bytes), text::bytes(self.bytes_before))
    }
}

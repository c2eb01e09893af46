//! Peers: the workloads on what people would pick instead, by way of the scripts
//! in `host/bench/peers/`. Whoever is not installed is named and left out; whatever
//! fails is shown as failed, and the others go on.

mod figures;
mod protocol;
mod script;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::report;
use figures::{Figure, Outcome};
use protocol::{Answer, Probe, Workload};
use script::{Scripts, Trouble};

/// How long a script may take to say whether its peer is there.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// What an interrupted command exits with in a shell.
const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
pub struct Ask {
    /// Only these; all that there is a script for unless said
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Where each peer has a venv of its name; without one, `python3` runs it
    #[arg(long, value_name = "FOLDER")]
    venvs: Option<PathBuf>,
    /// Rounds of each case
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Small sizes only
    #[arg(long)]
    short: bool,
    /// How long all rounds of one case may take together
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures the peers and prints what there is to see, also where it is told to end.
pub async fn run(ask: Ask) -> anyhow::Result<ExitCode> {
    let scripts = Scripts { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("peers"), venvs: ask.venvs.clone() };
    let names = chosen(scripts.names()?, &ask.names)?;
    let mut session = Session { scripts, ask, stop: told_to_end()?, figures: Vec::new() };
    let stopped = session.measure(&names).await.is_err();
    let figures = session.figures;
    println!("{}", figures::table(&figures));
    figures.iter().filter_map(Figure::skipped).for_each(|line| println!("{line}"));
    if figures.iter().any(|figure| figure.skipped().is_some()) {
        println!("(host/bench/peers/README.md says how to make a venv for each, for `--venvs`.)");
    }
    if let Some(file) = &session.ask.json {
        report::write(file, &figures)?;
    }
    if stopped {
        eprintln!("stopped before all was measured");
        return Ok(INTERRUPTED.into());
    }
    let failed = figures.iter().filter(|figure| figure.has_failed()).count();
    ensure!(failed == 0, "measuring the peers: {failed} of {} cases failed; their notes say why", figures.len());
    Ok(ExitCode::SUCCESS)
}

/// The peers that were asked for, or all there are.
fn chosen(known: Vec<String>, wanted: &[String]) -> anyhow::Result<Vec<String>> {
    for name in wanted {
        ensure!(known.contains(name), "measuring the peer `{name}`: there is no such script; there are {known:?}");
    }
    Ok(if wanted.is_empty() { known } else { wanted.to_vec() })
}

/// Becomes true when somebody wants an end.
fn told_to_end() -> anyhow::Result<watch::Receiver<bool>> {
    let listen = |kind| signal(kind).context("starting to listen for signals");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        eprintln!("stopping the script that runs");
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// Somebody wants the benchmark to end.
#[derive(Debug)]
struct Stopped;

struct Session {
    scripts: Scripts,
    ask: Ask,
    stop: watch::Receiver<bool>,
    figures: Vec<Figure>,
}

impl Session {
    async fn measure(&mut self, names: &[String]) -> Result<(), Stopped> {
        for name in names {
            self.peer(name).await?;
        }
        Ok(())
    }

    async fn peer(&mut self, name: &str) -> Result<(), Stopped> {
        let said = self.said(name, &["--probe"], PROBE_LIMIT).await?;
        let probe = said.and_then(|said| Probe::read(&said).map_err(|error| format!("{error:#}")));
        let mut figure = Figure {
            peer: name.to_owned(),
            version: None,
            workload: None,
            n: None,
            outcome: Outcome::Failed,
            note: String::new(),
        };
        match probe {
            Ok(probe) if probe.installed => {
                figure.version = probe.version;
                for workload in Workload::ALL {
                    self.workload(&Figure { workload: Some(workload), ..figure.clone() }, workload).await?;
                }
            }
            Ok(Probe { why, install, .. }) => {
                let why = why.unwrap_or_else(|| "it does not say why".into());
                let note = format!("{why}; to install it: {install}");
                self.figures.push(Figure { outcome: Outcome::NotInstalled, note, ..figure });
            }
            Err(note) => self.figures.push(Figure { note, ..figure }),
        }
        Ok(())
    }

    /// Every size of one workload, shown from the smallest to the largest.
    async fn workload(&mut self, figure: &Figure, workload: Workload) -> Result<(), Stopped> {
        let first = self.figures.len();
        let mut measured = u32::MAX;
        for n in workload.sizes(self.ask.short).iter().copied() {
            // The peer has a cap, under which this size was measured.
            if n >= measured {
                continue;
            }
            eprintln!("{}: {}", figure.peer, workload.case(n));
            let figure = match self.case(&figure.peer, workload, n).await? {
                Ok(Answer::Measured { n, spread, note }) => {
                    measured = n;
                    Figure { n: Some(n), outcome: Outcome::Measured(spread), note, ..figure.clone() }
                }
                Ok(Answer::Lacking(note)) => {
                    self.figures.push(Figure { n: Some(n), outcome: Outcome::Lacking, note, ..figure.clone() });
                    break;
                }
                Err(note) => Figure { n: Some(n), note, ..figure.clone() },
            };
            self.figures.push(figure);
        }
        self.figures[first..].reverse();
        Ok(())
    }

    async fn case(&mut self, peer: &str, workload: Workload, n: u32) -> Result<Result<Answer, String>, Stopped> {
        let (n_word, rounds, timeout) = (n.to_string(), self.ask.rounds.to_string(), self.ask.timeout.to_string());
        let limit = Duration::from_secs(self.ask.timeout.into());
        let words = ["--workload", workload.word(), "--n", &n_word, "--rounds", &rounds, "--timeout", &timeout];
        let said = self.said(peer, &words, limit).await?;
        Ok(said.and_then(|said| Answer::read(&said, workload, n).map_err(|error| format!("{error:#}"))))
    }

    /// What a script says, or why it failed.
    async fn said(&mut self, peer: &str, words: &[&str], limit: Duration) -> Result<Result<String, String>, Stopped> {
        match self.scripts.ask(peer, words, limit, &mut self.stop).await {
            Ok(said) => Ok(Ok(said)),
            Err(Trouble::Failed(why)) => Ok(Err(why)),
            Err(Trouble::Stopped) => Err(Stopped),
        }
    }
}

#[cfg(test)]
mod tests;

//! Where the time of a fan-out goes, stage by stage, seen from within the run: the
//! host has a span for each, and this listens.
//!
//! A stage has the processor time that a thread spent in it, less what it spent in a
//! stage inside it. What no stage has is what is left of the process's.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::ours;
use crate::report::spread;
use crate::rounds::Spread;

/// Stages in the order in which a child goes through them, and what they are.
const STAGES: [(&str, &str); 9] = [
    ("decide", "admitting and deciding a spawn, and the join"),
    ("serialise", "events as JSON"),
    ("append", "handing them to the store, which in memory keeps them at once"),
    ("dispatch", "a place, and a task for the guest"),
    ("instantiate", "store and instance"),
    ("call", "the guest, and the host's side of its calls, the parent's included"),
    ("drop", "taking the store apart, clearing memory and stack"),
    ("settle", "taking in the result"),
    (COMMIT, "the writer's thread, where the log is on disk"),
];

const TARGET: &str = "pleach::stage";

/// There is none where the log is in memory.
const COMMIT: &str = "commit";

static NANOS: [AtomicU64; STAGES.len()] = [const { AtomicU64::new(0) }; STAGES.len()];

thread_local! {
    /// Stages that this thread is in: its clock then, and how long in others inside.
    static OPEN: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Adds up the time in each stage. A span has no state of its own, so all spans of a
/// stage are one.
struct Clock;

impl Subscriber for Clock {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET && metadata.is_span()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let known = STAGES.iter().position(|(name, _)| *name == span.metadata().name());
        // One past the last is a stage that the table does not know.
        Id::from_u64(known.unwrap_or(STAGES.len()) as u64 + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {
        OPEN.with_borrow_mut(|open| open.push((nanos_of(ClockId::ThreadCPUTime), 0)));
    }

    fn exit(&self, span: &Id) {
        OPEN.with_borrow_mut(|open| {
            let Some((since, inside)) = open.pop() else { return };
            let took = nanos_of(ClockId::ThreadCPUTime).saturating_sub(since);
            if let Some((_, inside)) = open.last_mut() {
                *inside += took;
            }
            if let Some(nanos) = NANOS.get(span.into_u64() as usize - 1) {
                nanos.fetch_add(took.saturating_sub(inside), Ordering::Relaxed);
            }
        });
    }
}

/// What to take apart.
#[derive(Debug, clap::Args)]
pub struct Ask {
    /// Children of the fan-out
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    /// How often it is run, after one time that does not count
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The log on disk (W2) in place of memory (W1)
    #[arg(long)]
    disk: bool,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
struct Line {
    stage: &'static str,
    what: &'static str,
    /// Microseconds a child, of all threads.
    us: Spread,
}

/// Runs fan-outs and prints the table.
pub async fn run(ask: Ask) -> anyhow::Result<()> {
    tracing::subscriber::set_global_default(Clock).context("listening to the stages")?;
    let folder = tempfile::tempdir()?;
    let builder = if ask.disk { ours::on_disk(folder.path()) } else { ours::in_memory() };
    let host = ours::host(builder, &["echo", "fan-out"]).await?;
    ours::fan_out(&host, ask.size).await?;
    let mut rounds = Vec::new();
    for _ in 0..ask.rounds {
        rounds.push(round(&host, ask.size).await?);
    }
    ours::close(host).await?;
    let lines = lines(&rounds);
    // A span that was renamed would leave its stage empty without a word.
    for line in &lines {
        ensure!(line.us.median > 0.0 || line.stage == COMMIT && !ask.disk, "no time was seen in `{}`", line.stage);
    }
    println!("{}", table(&lines));
    if let Some(file) = &ask.json {
        std::fs::write(file, serde_json::to_vec_pretty(&lines)?)
            .with_context(|| format!("writing `{}`", file.display()))?;
    }
    Ok(())
}

/// Microseconds a child: each stage, what no stage has, all, and the time it took.
async fn round(host: &pleach_engine::Host, size: u32) -> anyhow::Result<Vec<f64>> {
    for nanos in &NANOS {
        nanos.store(0, Ordering::Relaxed);
    }
    let before = nanos_of(ClockId::ProcessCPUTime);
    let took = ours::fan_out(host, size).await?;
    let processor = nanos_of(ClockId::ProcessCPUTime).saturating_sub(before) as f64;
    let mut figures: Vec<f64> = NANOS.iter().map(|nanos| nanos.load(Ordering::Relaxed) as f64).collect();
    figures.push((processor - figures.iter().sum::<f64>()).max(0.0));
    figures.push(processor);
    figures.push(took.as_nanos() as f64);
    Ok(figures.into_iter().map(|nanos| nanos / 1e3 / f64::from(size)).collect())
}

fn nanos_of(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn lines(rounds: &[Vec<f64>]) -> Vec<Line> {
    let sums = [
        ("between", "scheduler, waking threads, answers, the clocks themselves: what no stage has"),
        ("all", "processor time of all threads"),
        ("elapsed", "from the submission to the result"),
    ];
    let line = |(at, (stage, what))| {
        let figures: Vec<f64> = rounds.iter().filter_map(|round| round.get(at).copied()).collect();
        Some(Line { stage, what, us: Spread::of(&figures)? })
    };
    STAGES.into_iter().chain(sums).enumerate().filter_map(line).collect()
}

fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["stage", "", "µs a child"]);
    for line in lines {
        table.add_row([line.stage.to_owned(), line.what.to_owned(), spread(&line.us)]);
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_does_not_have_the_time_of_one_inside_it() {
        let nanos = |name: &str| {
            let at = STAGES.iter().position(|(stage, _)| *stage == name).unwrap();
            NANOS[at].load(Ordering::Relaxed)
        };
        let work = |ms: u64| {
            let begun = nanos_of(ClockId::ThreadCPUTime);
            while nanos_of(ClockId::ThreadCPUTime) < begun + ms * 1_000_000 {}
        };
        tracing::subscriber::with_default(Clock, || {
            tracing::trace_span!(target: TARGET, "decide").in_scope(|| {
                work(1);
                tracing::trace_span!(target: TARGET, "append").in_scope(|| work(20));
            });
            tracing::trace_span!(target: TARGET, "unheard of").in_scope(|| work(1));
        });
        assert!(nanos("append") >= 20_000_000);
        assert!((1_000_000..20_000_000).contains(&nanos("decide")), "{}", nanos("decide"));
    }
}

//! What Pleach costs beside bare wasmtime, and where each microsecond goes:
//! `cargo run --release -p pleach-bench -- all`.
//!
//! Each workload measures the floor and Pleach in turn, in one process, and says
//! how they compare; absolute figures stand beside it, and mean something only on
//! the machine they were taken on.

mod counts;
mod floor;
mod guests;
mod ours;
mod peers;
mod probe;
mod report;
mod rounds;
mod stages;
mod workloads;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use rounds::{Rounds, Side};
use workloads::{Scale, Workload};

/// What the `pleach` program has.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "What Pleach costs beside bare wasmtime.")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every workload
    All {
        #[command(flatten)]
        measure: Measure,
    },
    /// One or more workloads
    Run {
        #[arg(required = true)]
        workloads: Vec<Workload>,
        #[command(flatten)]
        measure: Measure,
    },
    /// The workloads on what people would pick instead
    Peers(peers::Ask),
    /// Instructions that the kernel takes, compared with what was recorded
    Counts {
        /// Record what is counted now
        #[arg(long)]
        update: bool,
    },
    /// Where the time of a fan-out goes, stage by stage
    Stages(stages::Ask),
    /// For the benchmark itself: one figure of a process of its own
    #[command(hide = true)]
    Probe {
        #[command(subcommand)]
        probe: probe::Probe,
    },
}

#[derive(Debug, clap::Args)]
struct Measure {
    /// Rounds of each case; the floor and Pleach take turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Small sizes only
    #[arg(long)]
    short: bool,
    /// Measure one side alone, for a profiler, in W1 to W5, W8, the rate of W9 and W12
    #[arg(long)]
    only: Option<Side>,
    /// Only the case of this size, in W1, W2, W4, W7 and W12
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    size: Option<u32>,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if a case misses its goal by more than this factor
    #[arg(long, value_name = "FACTOR", value_parser = factor, conflicts_with = "only")]
    check: Option<f64>,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok().filter(|factor| factor.is_finite() && *factor > 0.0);
    factor.ok_or_else(|| "a factor is a number above 0, such as 1.5".into())
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = run(Args::parse().what).await;
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::All { measure } => workloads(<Workload as clap::ValueEnum>::value_variants(), measure).await?,
        What::Run { workloads: chosen, measure } => workloads(&chosen, measure).await?,
        What::Peers(ask) => return peers::run(ask).await,
        What::Counts { update } => counts::run(update).await?,
        What::Stages(ask) => stages::run(ask).await?,
        What::Probe { probe } => {
            println!("{}", probe.answer().await?);
            // Not waiting for guests that sleep for an hour.
            std::process::exit(0);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn workloads(workloads: &[Workload], measure: Measure) -> anyhow::Result<()> {
    let rounds = Rounds { count: measure.rounds.into(), only: measure.only };
    let scale = Scale { rounds, short: measure.short, size: measure.size };
    if let Some(file) = &measure.json {
        // Not after minutes of measuring.
        report::write::<report::Row>(file, &[])?;
    }
    let mut rows = Vec::new();
    for workload in workloads {
        eprintln!("{workload:?}");
        let mut cases = workload.run(&scale).await.with_context(|| format!("measuring {workload:?}"))?;
        if let Some(factor) = measure.check
            && report::check(&cases, factor).is_err()
        {
            // Something else on the machine may have been in the way.
            eprintln!("{workload:?} is off, and measured once more");
            cases = workload.run(&scale).await.with_context(|| format!("measuring {workload:?} again"))?;
        }
        rows.extend(cases);
    }
    println!("{}", report::table(&rows));
    if let Some(file) = &measure.json {
        report::write(file, &rows)?;
    }
    measure.check.map_or(Ok(()), |factor| report::check(&rows, factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_factor_that_would_let_everything_through_or_nothing_is_refused() {
        assert_eq!(factor("1.5"), Ok(1.5));
        for text in ["0", "-1", "NaN", "inf", "three"] {
            assert!(factor(text).is_err(), "{text}");
        }
    }
}

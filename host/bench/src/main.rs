//! What Pleach costs beside bare wasmtime, and where each microsecond goes:
//! `cargo run --release -p pleach-bench -- all`.
//!
//! Each workload measures the floor and Pleach in turn, in one process, and says
//! how they compare; absolute figures stand beside it, and mean something only on
//! the machine they were taken on.

mod floor;
mod guests;
mod ours;
mod probe;
mod report;
mod rounds;
mod workloads;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use rounds::{Rounds, Side};
use workloads::{Scale, Workload};

#[derive(Parser)]
#[command(about = "What Pleach costs beside bare wasmtime.")]
struct Args {
    #[command(subcommand)]
    what: What,
    /// Rounds of each case; the floor and Pleach take turns
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Small sizes only
    #[arg(long, global = true)]
    short: bool,
    /// Measure one side alone, for a profiler
    #[arg(long, global = true)]
    only: Option<Side>,
    /// Only the case of this size, where a workload has several
    #[arg(long, global = true, value_name = "N")]
    size: Option<u32>,
    /// Write the figures to this file, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Every workload
    All,
    /// One or more workloads
    Run {
        #[arg(required = true)]
        workloads: Vec<Workload>,
    },
    /// For the benchmark itself: one figure of a process of its own
    #[command(hide = true)]
    Probe {
        #[command(subcommand)]
        probe: probe::Probe,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let rounds = Rounds { count: args.rounds.into(), only: args.only };
    let scale = Scale { rounds, short: args.short, size: args.size };
    let workloads = match args.what {
        What::All => <Workload as clap::ValueEnum>::value_variants().to_vec(),
        What::Run { workloads } => workloads,
        What::Probe { probe } => {
            println!("{}", probe.answer().await?);
            // Not waiting for guests that sleep for an hour.
            std::process::exit(0);
        }
    };
    let mut rows = Vec::new();
    for workload in workloads {
        eprintln!("{workload:?}");
        rows.extend(workload.run(&scale).await.with_context(|| format!("measuring {workload:?}"))?);
    }
    println!("{}", report::table(&rows));
    if let Some(file) = args.json {
        std::fs::write(&file, serde_json::to_vec_pretty(&rows)?)
            .with_context(|| format!("writing `{}`", file.display()))?;
    }
    Ok(())
}

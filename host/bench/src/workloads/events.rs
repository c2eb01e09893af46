//! W6: events. From a guest that reports progress to whoever watches its run.
//!
//! The guest writes to its log right before it reports, and both sides note when:
//! the floor in its log function, Pleach through the host's tracing.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

use crate::floor::waiting::Waiting;
use crate::report::{Goal, Row};
use crate::rounds::Pairs;
use crate::workloads::Scale;
use crate::{guests, ours};

/// Reports of one run: as many as the contract lets it make at once.
const REPORTS: usize = 16;

/// Between two of them, so that each is on its own.
const PAUSE_MS: u64 = 5;

/// Runs of one round: together enough for a 99th percentile.
const RUNS: usize = 10;

/// The target of what guests write to the host's log.
const GUEST_LOG: &str = "pleach::guest";

/// When the guest last wrote to its log.
static WROTE_AT: Mutex<Option<Instant>> = Mutex::new(None);

/// Notes when a guest writes to the host's log.
struct Noting;

impl<S: tracing::Subscriber> Layer<S> for Noting {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == GUEST_LOG
            && let Ok(mut wrote_at) = WROTE_AT.lock()
        {
            *wrote_at = Some(Instant::now());
        }
    }
}

fn steps() -> Value {
    let report = [
        json!({"op": "sleep", "ms": PAUSE_MS}),
        json!({"op": "log", "message": "now"}),
        json!({"op": "progress", "message": "half way", "fraction": 0.5, "data": {"part": 1}}),
    ];
    std::iter::repeat_n(report, REPORTS).flatten().collect()
}

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    // Whoever else listens to this process's log is none of the workload's business.
    let of_guests = Targets::new().with_target(GUEST_LOG, LevelFilter::TRACE);
    let _ = tracing::subscriber::set_global_default(Registry::default().with(Noting.with_filter(of_guests)));
    let floor = Waiting::new(&guests::component("script")?, 4)?;
    // As in Pleach, a guest and whoever listens to it do not share their threads.
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let host = ours::host(ours::in_memory(), &["script"]).await?;
    let (mut middle, mut worst) = (Pairs::default(), Pairs::default());
    // Once each that does not count.
    floor_latencies(&floor, threads.handle(), &mut Vec::new()).await?;
    pleach_latencies(&host, &mut Vec::new()).await?;
    for _ in 0..scale.rounds.count {
        let mut floor_us = Vec::new();
        let mut pleach_us = Vec::new();
        for _ in 0..RUNS {
            floor_latencies(&floor, threads.handle(), &mut floor_us).await?;
            pleach_latencies(&host, &mut pleach_us).await?;
        }
        for (pairs, part) in [(&mut middle, 0.5), (&mut worst, 0.99)] {
            pairs.floor.push(percentile(&mut floor_us, part));
            pairs.pleach.push(percentile(&mut pleach_us, part));
        }
    }
    ours::close(host).await?;
    threads.shutdown_background();
    Ok(vec![
        Row::compared("W6", "progress event, median", "µs", &middle, Goal::TimesFloor(2.0))?.known_off(1.6),
        Row::compared("W6", "progress event, 99th percentile", "µs", &worst, Goal::TimesFloor(2.0))?.known_off(1.5),
    ])
}

async fn floor_latencies(floor: &Arc<Waiting>, threads: &Handle, into: &mut Vec<f64>) -> anyhow::Result<()> {
    let (told, mut reports) = mpsc::unbounded_channel();
    let (floor, steps) = (floor.clone(), steps().to_string());
    let run = threads.spawn(async move { floor.run(1, &steps, Some(told)).await });
    while let Some(wrote_at) = reports.recv().await {
        into.push(wrote_at.elapsed().as_secs_f64() * 1e6);
    }
    run.await??;
    Ok(())
}

async fn pleach_latencies(host: &pleach_engine::Host, into: &mut Vec<f64>) -> anyhow::Result<()> {
    let run = host.submit(ours::submission("script", &steps())?).await?;
    let mut events = run.events(1);
    let before = into.len();
    while let Some(event) = events.next().await {
        if event?.event.ends_with("progress") {
            let wrote_at = WROTE_AT.lock().ok().and_then(|at| *at).context("the guest's log was not heard")?;
            into.push(wrote_at.elapsed().as_secs_f64() * 1e6);
        }
    }
    ensure!(into.len() == before + REPORTS, "{} of {REPORTS} reports arrived", into.len() - before);
    Ok(())
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

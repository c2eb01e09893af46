//! W11: recovery. From opening the store of a host that is gone to the end of
//! every child that it had left asleep.

use std::time::{Duration, Instant};

use anyhow::ensure;
use pleach_engine::kernel::RunStatus;
use serde_json::json;

use crate::ours;
use crate::report::{Goal, Row};
use crate::workloads::Scale;

/// Long enough for all to fall asleep. It is over by the time the store is opened
/// again, so that nothing but the recovery is waited for.
const NAP: Duration = Duration::from_secs(6);

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let count = if scale.short { 1_000 } else { 10_000 };
    let mut seconds = Vec::new();
    for _ in 0..scale.rounds.count {
        seconds.push(once(count).await?.as_secs_f64());
    }
    let case = format!("{count} unfinished children, to the end of all");
    Ok(vec![Row::alone("W11", case, "s", &seconds, Goal::AtMost(2.0))?])
}

async fn once(count: u32) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let host = ours::host(ours::on_disk(folder.path()), &["sleeper", "fan-out"]).await?;
    let input = ours::fan_out_of("sleeper", count, &json!({ "ms": NAP.as_millis() as u64 }));
    let run = host.submit(ours::submission("fan-out", &input)?).await?;
    let begun = Instant::now();
    // Each writes down until when it sleeps before it does.
    while host.size(run.id()).await?.journal_entries < u64::from(count) {
        ensure!(begun.elapsed() < NAP, "the children took longer to fall asleep than they sleep");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    host.shutdown(Duration::ZERO).await?;
    // The last of them fell asleep a moment ago.
    tokio::time::sleep(NAP).await;

    let begun = Instant::now();
    let host = ours::on_disk(folder.path()).build().await?;
    let ended = host.run(run.id()).await?.wait().await?;
    let took = begun.elapsed();
    ensure!(ended.status == RunStatus::Completed, "the parent is {}", ended.status.as_str());
    ours::joined(&ended, count)?;
    ours::close(host).await?;
    Ok(took)
}

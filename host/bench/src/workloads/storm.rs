//! W4: a cancel storm. From the call to the last of many sleeping children
//! stopped, and that in the log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pleach_engine::kernel::RunStatus;
use pleach_engine::{Host, Run};
use serde_json::json;

use crate::floor::waiting::Waiting;
use crate::report::{Goal, Row};
use crate::rounds::interleaved;
use crate::workloads::Scale;
use crate::{guests, ours};

/// How long to wait for the next sleeper to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the event of a start has in it.
const STARTED: &str = "\"status\":\"started\"";

/// An hour: nobody wakes by itself.
pub const NAP_MS: u64 = 3_600_000;

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let sleeper = guests::component("sleeper")?;
    let nap = json!({ "ms": NAP_MS }).to_string();
    let mut rows = Vec::new();
    for count in scale.sizes(&[1_000], &[10_000]) {
        let host = ours::host(ours::in_memory(), &["sleeper", "fan-out"]).await?;
        let pairs = interleaved(
            scale.rounds,
            async || {
                // Its own each time: so many slots leave no room for another's.
                let floor = Waiting::new(&sleeper, count)?;
                let sleepers: Vec<_> = (0..count)
                    .map(|_| {
                        let (floor, nap) = (floor.clone(), nap.clone());
                        tokio::spawn(async move { floor.run(1, &nap, None).await })
                    })
                    .collect();
                tokio::time::sleep(Duration::from_millis(u64::from(count) / 10)).await;
                let begun = Instant::now();
                sleepers.iter().for_each(|sleeper| sleeper.abort());
                for sleeper in sleepers {
                    ensure!(sleeper.await.is_err_and(|error| error.is_cancelled()), "a sleeper of the floor woke");
                }
                Ok(begun.elapsed().as_secs_f64() * 1e3)
            },
            async || {
                let run = asleep(&host, count).await?;
                let begun = Instant::now();
                let cancelled = run.cancel("storm").await?;
                let ended = run.wait().await?;
                let took = begun.elapsed();
                ensure!(ended.status == RunStatus::Cancelled, "the parent is {}", ended.status.as_str());
                ensure!(cancelled.cancelled_count > count, "{} of {count} were cancelled", cancelled.cancelled_count);
                Ok(took.as_secs_f64() * 1e3)
            },
        )
        .await?;
        ours::close(host).await?;
        rows.push(Row::compared("W4", format!("cancel {count} sleepers"), "ms", &pairs, Goal::TimesFloor(2.0))?);
    }
    Ok(rows)
}

/// A parent whose `count` children have all started and are asleep.
pub async fn asleep(host: &Host, count: u32) -> anyhow::Result<Run> {
    let input = ours::fan_out_of("sleeper", count, &json!({ "ms": NAP_MS }));
    let run = host.submit(ours::submission("fan-out", &input)?).await?;
    let mut events = run.events(1);
    let mut started = 0;
    while started <= count {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.context("the sleepers did not start")?;
        let event = event.context("the parent ended before its children slept")??;
        started += u32::from(event.data.as_str().contains(STARTED));
    }
    // They have started; falling asleep takes each some microseconds more.
    tokio::time::sleep(Duration::from_millis(u64::from(count) / 10)).await;
    Ok(run)
}

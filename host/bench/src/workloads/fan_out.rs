//! W1 and W2: a parent spawns no-op children, joins them and counts.

use std::time::Duration;

use crate::floor::{Bare, log::Log};
use crate::report::{Goal, Row};
use crate::rounds::interleaved;
use crate::workloads::Scale;
use crate::{guests, ours};

/// What a spawn and a completion of W2 put into Pleach's log, in bytes: the
/// floor writes as much.
const SPAWN_BYTES: usize = 700;
const COMPLETION_BYTES: usize = 350;

fn a_child(took: Duration, count: u32) -> f64 {
    took.as_secs_f64() * 1e6 / f64::from(count)
}

/// W1: the log in memory.
pub async fn in_memory(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let bare = Bare::new(&guests::component("echo")?)?;
    let input = guests::hundred_bytes().to_string();
    let host = ours::host(ours::in_memory(), &["echo", "fan-out"]).await?;
    let mut rows = Vec::new();
    for count in scale.sizes(&[100, 1_000], &[10_000]) {
        let pairs = interleaved(
            scale.rounds,
            async || Ok(a_child(bare.fan_out(count, &input, || (), |(), output| drop(output))?, count)),
            async || Ok(a_child(ours::fan_out(&host, count).await?, count)),
        )
        .await?;
        rows.push(
            Row::compared("W1", format!("fan-out of {count}"), "µs a child", &pairs, Goal::TimesFloor(2.0))?
                .known_off(2.2),
        );
    }
    ours::close(host).await?;
    Ok(rows)
}

/// W2: every spawn and every completion on disk before the result is told.
pub async fn durable(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let bare = Bare::new(&guests::component("echo")?)?;
    let input = guests::hundred_bytes().to_string();
    let folder = tempfile::tempdir()?;
    let host = ours::host(ours::on_disk(folder.path()), &["echo", "fan-out"]).await?;
    let mut rows = Vec::new();
    for count in scale.sizes(&[100, 1_000], &[10_000]) {
        let pairs = interleaved(
            scale.rounds,
            async || Ok(a_child(durable_floor(&bare, count, &input)?, count)),
            async || Ok(a_child(ours::fan_out(&host, count).await?, count)),
        )
        .await?;
        rows.push(Row::compared("W2", format!("durable, of {count}"), "µs a child", &pairs, Goal::TimesFloor(2.0))?);
    }
    ours::close(host).await?;
    Ok(rows)
}

fn durable_floor(bare: &Bare, count: u32, input: &String) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let log = Log::open(&folder.path().join("floor.db"))?;
    let begun = std::time::Instant::now();
    bare.fan_out(
        count,
        input,
        || log.sender(),
        |log, output| {
            let _ = log.send(vec![b's'; SPAWN_BYTES]);
            let mut completion = output.into_bytes();
            completion.resize(COMPLETION_BYTES, b'c');
            let _ = log.send(completion);
        },
    )?;
    log.close()?;
    Ok(begun.elapsed())
}

//! W5: speed-up. Tasks that wait 100 ms each, eight at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_engine::kernel::Limits;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::floor::waiting::Waiting;
use crate::report::{Goal, Row};
use crate::rounds::interleaved;
use crate::workloads::Scale;
use crate::{guests, ours};

const TASKS: u32 = 32;
const TASK: Duration = Duration::from_millis(100);
const AT_ONCE: u32 = 8;

/// How many times faster than one after the other.
fn speed_up(took: Duration) -> f64 {
    (TASK * TASKS).as_secs_f64() / took.as_secs_f64()
}

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let floor = Waiting::new(&guests::component("sleeper")?, TASKS)?;
    let host = ours::host(ours::in_memory(), &["sleeper", "fan-out"]).await?;
    let nap = json!({ "ms": TASK.as_millis() as u64 });
    let text = nap.to_string();
    let pairs = interleaved(
        scale.rounds,
        async || {
            let begun = Instant::now();
            let places = Arc::new(Semaphore::new(AT_ONCE as usize));
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let (floor, text, places) = (floor.clone(), text.clone(), places.clone());
                    tokio::spawn(async move {
                        let _place = places.acquire().await?;
                        floor.run(1, &text, None).await
                    })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            Ok(speed_up(begun.elapsed()))
        },
        async || {
            let mut submission = ours::submission("fan-out", &ours::fan_out_of("sleeper", TASKS, &nap))?;
            if let Some(policy) = &mut submission.policy {
                policy.limits = Limits { max_concurrency: AT_ONCE, ..policy.limits };
            }
            let begun = Instant::now();
            let ended = host.submit(submission).await?.wait().await?;
            let took = begun.elapsed();
            ours::joined(&ended, TASKS)?;
            Ok(speed_up(took))
        },
    )
    .await?;
    ours::close(host).await?;
    let case = format!("{TASKS} tasks of {} ms, {AT_ONCE} at once", TASK.as_millis());
    Ok(vec![Row::compared("W5", case, "× serial", &pairs, Goal::AtLeast(7.9))?])
}

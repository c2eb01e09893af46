//! W3: a chain. Each run calls the next and waits for it.

use std::time::Instant;

use anyhow::ensure;
use serde_json::json;

use crate::floor::waiting::Waiting;
use crate::report::{Goal, Row};
use crate::rounds::interleaved;
use crate::workloads::Scale;
use crate::{guests, ours};

const DEPTH: u32 = 50;

/// Chains in a row that make one figure: one is over too soon to time.
const CHAINS: u32 = 10;

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let floor = Waiting::new(&guests::component("depth")?, DEPTH + 2)?;
    let host = ours::host(ours::in_memory(), &["depth"]).await?;
    let input = json!({ "levels": DEPTH });
    let text = input.to_string();
    let pairs = interleaved(
        scale.rounds,
        async || {
            let begun = Instant::now();
            for _ in 0..CHAINS {
                let output = floor.run(0, &text, None).await?;
                reached(&serde_json::from_str(&output)?)?;
            }
            Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(CHAINS))
        },
        async || {
            let begun = Instant::now();
            for _ in 0..CHAINS {
                let ended = host.submit(ours::submission("depth", &input)?).await?.wait().await?;
                reached(&ours::output(&ended)?)?;
            }
            Ok(begun.elapsed().as_secs_f64() * 1e3 / f64::from(CHAINS))
        },
    )
    .await?;
    ours::close(host).await?;
    Ok(vec![Row::compared("W3", format!("chain, {DEPTH} deep"), "ms", &pairs, Goal::TimesFloor(2.0))?.known_off(1.6)])
}

fn reached(output: &serde_json::Value) -> anyhow::Result<()> {
    ensure!(output["reached"] == DEPTH, "the chain broke off: {output}");
    Ok(())
}

//! W10: growth. What a durable child costs as its tree grows, and as the database
//! does; and what the memory of the host does meanwhile.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use pleach_engine::kernel::Limits;
use serde_json::json;

use crate::ours;
use crate::probe::resident_bytes;
use crate::report::{Goal, Row};
use crate::rounds::{Pairs, Spread};
use crate::workloads::Scale;

/// Children of one parent; the tree has many such parents, one after the other.
const PART: u32 = 10_000;

/// Children that the first figure is taken of: a small tree's.
const FIRST: u32 = 1_000;

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let parts = if scale.short { 5 } else { 100 };
    let trees = if scale.short { 5 } else { 160 };
    let mut rows = one_tree(parts).await?;
    rows.extend(one_database(trees).await?);
    Ok(rows)
}

/// Microseconds a child in the first and the last tenth of what was measured.
fn first_and_last(each: &[f64]) -> anyhow::Result<Pairs> {
    let tenth = each.len().div_ceil(10);
    let of = |part: &[f64]| Spread::of(part).map(|spread| spread.median).context("nothing was measured");
    Ok(Pairs { floor: vec![of(&each[..tenth])?], pleach: vec![of(&each[each.len() - tenth..])?] })
}

/// One tree of ever more children.
async fn one_tree(parts: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let ceilings = Limits { max_children_total: 2_000_000, ..Limits::CEILING };
    let builder = ours::on_disk(folder.path()).ceilings(ceilings);
    let host = ours::host(builder, &["echo", "fan-out", "script"]).await?;
    let part = json!({
        "op": "call", "target": "fan-out", "timeout_ms": 600_000,
        "input": ours::fan_out_of("echo", PART, &crate::guests::hundred_bytes()),
        "scopes": {"can_use": ["spawn:*"], "can_delegate": ["spawn:*"]},
    });
    let steps: serde_json::Value =
        std::iter::repeat_n(part, parts).chain([json!({"op": "return", "value": 0})]).collect();
    let mut submission = ours::submission("script", &steps)?;
    if let Some(policy) = &mut submission.policy {
        policy.limits = ceilings;
    }
    let before = resident_bytes()?;
    let run = host.submit(submission).await?;
    let mut events = run.events(1);
    // Each part ends with a decision about its group.
    let (mut each, mut last) = (Vec::new(), Instant::now());
    while let Some(event) = events.next().await {
        let event = event?;
        if event.event.ends_with("join_decision") && event.run_id.index != 0 {
            each.push(last.elapsed().as_secs_f64() * 1e6 / f64::from(PART));
            last = Instant::now();
        }
    }
    ensure!(each.len() == parts, "{} of {parts} parts were joined", each.len());
    ours::output(&run.wait().await?)?;
    let held = resident_bytes()?.saturating_sub(before) as f64 / f64::from(PART) / parts as f64;
    ours::close(host).await?;
    let children = parts * PART as usize;
    let pairs = first_and_last(&each)?;
    Ok(vec![
        Row::compared("W10", format!("a tree of {children}: last tenth"), "µs a child", &pairs, Goal::TimesFloor(1.3))?
            .against("first tenth"),
        Row::alone("W10", format!("a tree of {children}: memory"), "KiB a child", &[held / 1024.0], Goal::AtMost(4.0))?,
    ])
}

/// One database of ever more trees.
async fn one_database(trees: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let host = ours::host(ours::on_disk(folder.path()), &["echo", "fan-out"]).await?;
    ours::fan_out(&host, FIRST).await?;
    let mut each = Vec::new();
    let before = resident_bytes()?;
    for _ in 0..trees {
        each.push(ours::fan_out(&host, PART).await?.as_secs_f64() * 1e6 / f64::from(PART));
    }
    let grown = resident_bytes()?.saturating_sub(before) as f64 / f64::from(1 << 20);
    let totals = host.totals().await?;
    ours::close(host).await?;
    let events = totals.events;
    let pairs = first_and_last(&each)?;
    let size = size_of(&folder.path().join("pleach.db"))?;
    Ok(vec![
        Row::compared(
            "W10",
            format!("a database of {events} events, {size} MiB: last tenth"),
            "µs a child",
            &pairs,
            Goal::TimesFloor(1.3),
        )?
        .against("first tenth"),
        Row::alone(
            "W10",
            format!("a database of {events} events: memory grown"),
            "MiB",
            &[grown],
            Goal::AtMost(256.0),
        )?,
    ])
}

fn size_of(file: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(file).with_context(|| format!("looking at `{}`", file.display()))?.len() >> 20)
}

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

/// Before them come a few small ones, of which the first figure is taken: of a tree,
/// and a database, of some thousands.
const SMALL: u32 = 1_000;
const SMALL_PARTS: usize = 10;

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let parts = if scale.short { 5 } else { 100 };
    // Two events a child: ten million.
    let trees = if scale.short { 5 } else { 500 };
    let mut rows = one_tree(parts).await?;
    rows.extend(one_database(trees).await?);
    Ok(rows)
}

/// How many children each part has, in order.
fn parts_of(large: usize) -> impl Iterator<Item = u32> {
    std::iter::repeat_n(SMALL, SMALL_PARTS).chain(std::iter::repeat_n(PART, large))
}

/// Microseconds a child in the small parts but for the first, which loads the code,
/// and in the last tenth of the large ones.
fn first_and_last(each: &[f64]) -> anyhow::Result<Pairs> {
    let tenth = (each.len() - SMALL_PARTS).div_ceil(10);
    let of = |part: &[f64]| Spread::of(part).map(|spread| spread.median).context("nothing was measured");
    Ok(Pairs { floor: vec![of(&each[1..SMALL_PARTS])?], pleach: vec![of(&each[each.len() - tenth..])?] })
}

/// One tree of ever more children.
async fn one_tree(parts: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let ceilings = Limits { max_children_total: 2_000_000, ..Limits::CEILING };
    let builder = ours::on_disk(folder.path()).ceilings(ceilings);
    let host = ours::host(builder, &["echo", "fan-out", "script"]).await?;
    let part = |count| {
        json!({
            "op": "call", "target": "fan-out", "timeout_ms": 600_000,
            "input": ours::fan_out_of("echo", count, &crate::guests::hundred_bytes()),
            "scopes": {"can_use": ["spawn:*"], "can_delegate": ["spawn:*"]},
        })
    };
    let sizes: Vec<u32> = parts_of(parts).collect();
    let steps: serde_json::Value =
        sizes.iter().map(|count| part(*count)).chain([json!({"op": "return", "value": 0})]).collect();
    let mut submission = ours::submission("script", &steps)?;
    if let Some(policy) = &mut submission.policy {
        policy.limits = ceilings;
    }
    let before = resident_bytes()?;
    let run = host.submit(submission).await?;
    let mut events = run.events(1);
    // Each part ends with a decision about its group.
    let (mut each, mut last, mut most) = (Vec::new(), Instant::now(), 0);
    while let Some(event) = events.next().await {
        let event = event?;
        if event.event.ends_with("join_decision") && event.run_id.index != 0 {
            let count = sizes.get(each.len()).context("more parts were joined than there are")?;
            each.push(last.elapsed().as_secs_f64() * 1e6 / f64::from(*count));
            last = Instant::now();
            most = most.max(resident_bytes()?);
        }
    }
    ensure!(each.len() == sizes.len(), "{} of {} parts were joined", each.len(), sizes.len());
    ours::output(&run.wait().await?)?;
    let children: u32 = sizes.iter().sum();
    let held = most.saturating_sub(before) as f64 / f64::from(children);
    ours::close(host).await?;
    let pairs = first_and_last(&each)?;
    Ok(vec![
        Row::compared("W10", format!("a tree of {children}: last tenth"), "µs a child", &pairs, Goal::TimesFloor(1.3))?
            .against("first 10,000"),
        Row::alone("W10", format!("a tree of {children}: memory"), "KiB a child", &[held / 1024.0], Goal::AtMost(4.0))?,
    ])
}

/// One database of ever more trees.
async fn one_database(trees: usize) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let host = ours::host(ours::on_disk(folder.path()), &["echo", "fan-out"]).await?;
    let mut each = Vec::new();
    let before = resident_bytes()?;
    for count in parts_of(trees) {
        each.push(ours::fan_out(&host, count).await?.as_secs_f64() * 1e6 / f64::from(count));
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
        .against("first 10,000"),
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

//! W9: many trees at once, of many tenants: the rate beside that of one tree, how
//! long the slowest take, and whether tenants are treated alike.

use std::time::Instant;

use pleach_engine::kernel::Tenant;
use pleach_engine::{Host, Publish};

use crate::report::{Goal, Row};
use crate::rounds::interleaved;
use crate::workloads::Scale;
use crate::{guests, ours};

const TENANTS: usize = 20;
const CHILDREN: u32 = 10;

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let trees = if scale.short { 200 } else { 1_000 };
    let host = ours::host(ours::in_memory(), &["echo", "fan-out"]).await?;
    let mut tenants = Vec::new();
    for number in 0..TENANTS {
        let tenant = host.for_tenant(format!("tenant-{number}").parse::<Tenant>()?);
        for guest in ["echo", "fan-out"] {
            tenant.publish(guests::component(guest)?, Publish::default()).await?;
        }
        tenants.push(tenant);
    }
    let children = trees as u32 * CHILDREN;
    let mut slowest = Vec::new();
    let mut unfair = Vec::new();
    // The floor is one tree with as many children: W1.
    let rates = interleaved(
        scale.rounds,
        async || Ok(f64::from(children) / ours::fan_out(&host, children).await?.as_secs_f64()),
        async || {
            let begun = Instant::now();
            let times = all(&tenants, trees).await?;
            let rate = f64::from(children) / begun.elapsed().as_secs_f64();
            slowest.push(percentile_99(&times));
            unfair.push(spread_of_tenants(&times));
            Ok(rate)
        },
    )
    .await?;
    ours::close(host).await?;
    let part: Vec<f64> = rates.ratios().iter().map(|ratio| ratio * 100.0).collect();
    let case = format!("{trees} trees of {CHILDREN}, {TENANTS} tenants");
    let figures = [
        ("rate", "% of one tree's", part, Goal::AtLeast(70.0)),
        ("99th percentile of a tree", "ms", slowest, Goal::AtMost(1_000.0)),
        ("slowest tenant to fastest", "×", unfair, Goal::AtMost(1.1)),
    ];
    // With one side alone there is no rate to compare.
    let seen = figures.into_iter().filter(|(_, _, values, _)| !values.is_empty());
    seen.map(|(what, unit, values, goal)| Row::alone("W9", format!("{case}: {what}"), unit, &values, goal)).collect()
}

/// Runs all trees at once; how long each took, in ms, with its tenant.
async fn all(tenants: &[Host], trees: usize) -> anyhow::Result<Vec<(usize, f64)>> {
    let begun = Instant::now();
    let runs: Vec<_> = (0..trees)
        .map(|number| {
            let tenant = number % TENANTS;
            let host = tenants[tenant].clone();
            tokio::spawn(async move {
                ours::fan_out(&host, CHILDREN).await?;
                anyhow::Ok((tenant, begun.elapsed().as_secs_f64() * 1e3))
            })
        })
        .collect();
    let mut times = Vec::with_capacity(trees);
    for run in runs {
        times.push(run.await??);
    }
    Ok(times)
}

fn percentile_99(times: &[(usize, f64)]) -> f64 {
    let mut sorted: Vec<f64> = times.iter().map(|(_, ms)| *ms).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// The mean time of the slowest tenant's trees, over the fastest's.
fn spread_of_tenants(times: &[(usize, f64)]) -> f64 {
    let mut sums = [(0.0, 0u32); TENANTS];
    for (tenant, ms) in times {
        sums[*tenant].0 += ms;
        sums[*tenant].1 += 1;
    }
    let means: Vec<f64> = sums.iter().map(|(sum, count)| sum / f64::from(*count)).collect();
    let slowest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    slowest / means.iter().copied().fold(f64::INFINITY, f64::min)
}

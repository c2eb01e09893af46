//! What it costs to start over:
//! `cargo run --release -p pleach-engine --example recovery_cost [CHILDREN]`.
//!
//! Each line is the time from opening a store that a host has left, to the end
//! of the run that it had left unfinished.

use std::path::Path;
use std::time::{Duration, Instant};

use pleach_engine::kernel::{Grant, Limits, Payload, Policy, Scope};
use pleach_engine::{Host, Publish, Run, Submission};
use serde_json::{Value, json};

const CHILDREN: usize = 10_000;

/// Host calls of one run that have to be answered again.
const CALLS: usize = 10_000;

/// By then what sleeps is to be woken at once.
const NAP_MS: u64 = 1_500;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let children = std::env::args().nth(1).map_or(Ok(CHILDREN), |text| text.parse())?;

    let mut steps = vec![json!({"op": "remaining_budget"}); CALLS];
    steps.push(json!({"op": "sleep", "ms": NAP_MS}));
    steps.push(json!({"op": "return", "value": 0}));
    report(&format!("one run after {CALLS} recorded calls"), &json!(steps), 1_000_000).await?;

    let nap = json!([{"op": "sleep", "ms": NAP_MS}]);
    let sleepers: Vec<Value> = (0..children).map(|_| json!({"target": "script", "input": nap})).collect();
    let steps = json!([
        {"op": "group", "members": sleepers},
        {"op": "join", "group": "$0.group_id"},
        {"op": "return", "value": 0},
    ]);
    report(&format!("{children} children asleep"), &steps, 1_000_000).await?;

    // The same history, folded whole and from a snapshot.
    let members: Vec<Value> = (0..children).map(|n| json!({"target": "echo", "input": n})).collect();
    let steps = json!([
        {"op": "group", "members": members},
        {"op": "join", "group": "$0.group_id"},
        {"op": "sleep", "ms": NAP_MS},
        {"op": "return", "value": 0},
    ]);
    report(&format!("{children} ended children, no snapshot"), &steps, u64::MAX).await?;
    report(&format!("{children} ended children, snapshots"), &steps, 16_384).await?;
    Ok(())
}

async fn report(what: &str, steps: &Value, snapshot_every: u64) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let open = || {
        Host::builder()
            .store(&format!("sqlite:{}", folder.path().join("pleach.db").display()))
            .code_cache(folder.path().join("cache"))
            .snapshot_every(snapshot_every)
            .build()
    };
    let host = open().await?;
    for guest in ["echo", "script"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/guests/{guest}/{guest}.wasm"));
        host.publish(std::fs::read(file)?, Publish::default()).await?;
    }
    let run = submit(&host, steps).await?;
    // Everything that comes before the nap is on disk when nothing is written any more.
    let mut seen = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let size = host.size(run.id()).await?;
        if size.events + size.journal_entries == seen {
            break;
        }
        seen = size.events + size.journal_entries;
    }
    host.shutdown(Duration::ZERO).await?;
    tokio::time::sleep(Duration::from_millis(NAP_MS)).await;

    let begun = Instant::now();
    let host = open().await?;
    let opened = begun.elapsed();
    let ended = host.run(run.id()).await?.wait().await?;
    let took = begun.elapsed();
    let error = ended.error.map_or(String::new(), |error| error.message);
    println!("{what}: {took:.0?} (open after {opened:.0?}), {} {error}", ended.status.as_str());
    host.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}

async fn submit(host: &Host, steps: &Value) -> Result<Run, Failure> {
    let scopes = vec!["spawn:*".parse::<Scope>()?];
    let mut submission = Submission::new("script", Payload::of(steps)?);
    submission.grant = Grant::new(scopes.clone(), scopes.clone());
    submission.policy =
        Some(Policy { targets: vec!["*".into()], scopes, limits: Limits::CEILING, ..Policy::default() });
    Ok(host.submit(submission).await?)
}

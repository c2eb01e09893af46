//! How many events a second become durable, in the pattern that a busy host makes:
//! many trees, each appending a few events at a time.
//!
//! `cargo run --release --example append_rate -p pleach-store [URL]`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pleach_kernel::{RootId, Tenant, Timestamp};
use pleach_store::{Append, Store, TreeSummary};

const TREES: u64 = 10_000;
const ROUNDS: u64 = 10;
const EVENTS: u64 = 5;
const EVENT_BYTES: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let url = std::env::args().nth(1).unwrap_or_else(|| format!("sqlite:{}", folder.path().join("rate.db").display()));
    let store = pleach_store::open(&url).await?;

    let started = Instant::now();
    let failed = Arc::new(AtomicU64::new(0));
    for round in 0..ROUNDS {
        for tree in 0..TREES {
            if let Some(room) = store.room() {
                room.await;
            }
            let failed = failed.clone();
            let done = move |result: Result<(), _>| {
                failed.fetch_add(u64::from(result.is_err()), Ordering::Relaxed);
            };
            store.append(append(tree, round), Box::new(done));
        }
    }
    // The queue is served in order: with this one, everything before it is durable.
    store.put_policy(&Tenant::default_tenant(), "{}".into()).await?;
    let seconds = started.elapsed().as_secs_f64();

    let stats = store.stats();
    let failed = failed.load(Ordering::Relaxed);
    println!(
        "{} events of {EVENT_BYTES} bytes, {EVENTS} an append, {TREES} trees: {seconds:.2} s, \
         {:.0} durable events/s in {} commits, {failed} appends failed",
        stats.events,
        stats.events as f64 / seconds,
        stats.commits,
    );
    report_latency(&*store).await?;
    store.close().await?;
    Ok(())
}

/// What one append costs that waits for the disk alone.
async fn report_latency(store: &dyn Store) -> Result<(), Box<dyn Error>> {
    const APPENDS: u32 = 200;
    let started = Instant::now();
    for round in 0..u64::from(APPENDS) {
        let (told, answer) = tokio::sync::oneshot::channel();
        let done = move |result| drop(told.send(result));
        store.append(append(TREES, round), Box::new(done));
        answer.await??;
    }
    let each = started.elapsed() / APPENDS;
    println!("one append at a time: {each:.0?} each, on the disk before it is answered");
    Ok(())
}

fn append(tree: u64, round: u64) -> Append {
    let (root, tenant) = (RootId(u128::from(tree) + 1), Tenant::default_tenant());
    let summary = TreeSummary {
        root,
        tenant: tenant.clone(),
        plugin: "lead@1.0.0".into(),
        status: "running".into(),
        created_at: Timestamp(tree),
        finished_at: None,
        run_count: 1,
        last_seq: (round + 1) * EVENTS,
        policy_version: 1,
    };
    let events = (0..EVENTS).map(|_| vec![b'e'; EVENT_BYTES].into()).collect();
    Append { root, tenant, expected_seq: round * EVENTS, events, summary, forget: vec![], journal: vec![] }
}

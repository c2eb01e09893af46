//! Many guests at once, in the pool and beyond it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_kernel::{Outcome, RootId, RunId};
use pleach_sandbox::{Config, GuestLimits, Plugin, Sandbox};
use serde_json::json;

use crate::fake::{Fake, component, config, job, lineage, load, output, run, sandbox, sandbox_of};

const FOR_EVER_MS: u64 = 3_600_000;

async fn scripted(config: Config) -> (Sandbox, Arc<Plugin>) {
    let sandbox = sandbox_of(config);
    let plugin = load(&sandbox, component("script")).await;
    (sandbox, plugin)
}

#[tokio::test]
async fn a_thousand_sleepers_wake_when_they_are_cancelled() {
    // With fewer slots than guests, most of them run outside the pool.
    let (sandbox, plugin) = scripted(Config { pool_slots: 300, ..config() }).await;
    let (fake, mut finishes) = Fake::silent();
    let steps = json!([{"op": "sleep", "ms": FOR_EVER_MS}]);
    let stops: Vec<_> = (1..=1_000)
        .map(|index| {
            let run_id = RunId { root: RootId(7), index };
            let job = job(&sandbox, &steps, |job| job.lineage = lineage(run_id));
            sandbox.start(&plugin, job, fake.clone())
        })
        .collect();
    assert_eq!(sandbox.live(), 1_000);
    let begun = Instant::now();
    stops.iter().for_each(pleach_sandbox::Stop::cancel);
    let mut ended = std::collections::HashSet::new();
    for _ in &stops {
        let finish = finishes.next().await;
        let answers = output(finish.outcome);
        assert_eq!(answers[0]["error"]["failed"]["code"], json!("cancelled"));
        assert!(ended.insert(finish.run_id), "each ends once");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(sandbox.live(), 0);
}

#[tokio::test]
async fn without_a_pool_guests_run_all_the_same() {
    let (sandbox, plugin) = scripted(Config { pool_slots: 0, ..config() }).await;
    assert_eq!(output(run(&sandbox, &plugin, &json!([{"op": "return", "value": 1}])).await), json!(1));
}

#[tokio::test]
async fn a_guest_never_sees_what_another_left_behind() {
    // One slot's worth of guests after another, through the same memory.
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    for round in 0..50 {
        let steps = json!([{"op": "now"}, {"op": "return", "value": round}]);
        assert_eq!(output(run(&sandbox, &plugin, &steps).await), json!(round));
        let failed = run(&sandbox, &plugin, &json!([{"op": "panic", "message": "x"}])).await;
        assert!(matches!(failed, Outcome::Failed(_)), "{failed:?}");
    }
}

#[tokio::test]
async fn no_more_guests_are_live_than_there_are_places() {
    let (sandbox, plugin) = scripted(Config { max_live: 2, ..config() }).await;
    assert_eq!(sandbox.max_live(), 2);
    let (fake, mut finishes) = Fake::silent();
    let first = sandbox.try_acquire_live().unwrap();
    let second = sandbox.acquire_live().await.unwrap();
    assert!(sandbox.try_acquire_live().is_none());
    drop(first);
    let job = job(&sandbox, &json!([{"op": "sleep", "ms": FOR_EVER_MS}]), |_| {});
    let stop = sandbox.start(&plugin, job, fake);
    assert!(sandbox.try_acquire_live().is_none());
    drop(second);
    stop.kill();
    finishes.next().await;
    assert_eq!(sandbox.live(), 0);
}

#[tokio::test]
async fn as_many_as_the_machine_allows_are_live_at_once() {
    let (sandbox, plugin) = scripted(Config { max_live: 3_000, pool_slots: 500, ..config() }).await;
    let (fake, mut finishes) = Fake::silent();
    let steps = json!([{"op": "sleep", "ms": FOR_EVER_MS}]);
    let mut stops = Vec::new();
    while let Some(permit) = sandbox.try_acquire_live() {
        drop(permit);
        let job = job(&sandbox, &steps, |_| {});
        stops.push(sandbox.start(&plugin, job, fake.clone()));
    }
    assert_eq!(stops.len(), sandbox.max_live());
    stops.iter().for_each(pleach_sandbox::Stop::cancel);
    for _ in &stops {
        let finish = finishes.next().await;
        assert!(matches!(finish.outcome, Outcome::Completed(_)), "{finish:?}");
    }
}

//! What a run costs beside a bare wasmtime instance of the same component:
//! `cargo run --release -p pleach-sandbox --example instance_cost [COUNT]`.
//!
//! Bare is a store, an instance from an `InstancePre` of a pooled engine, one
//! call and the drop, on one thread. The sandbox does that and the rest: limits,
//! fuel, preemption, a task on the guest runtime, and telling how it ended.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pleach_kernel::{Finish, Grant, Lineage, Outcome, Payload, RootId, RunId, Tenant, Timestamp};
use pleach_sandbox::{Call, Config, Job, Kernel, LivePermit, Parked, Plugin, Replay, Sandbox};
use tokio::sync::mpsc;
use wasmtime::component::{Component, Linker};
use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

const COUNT: u32 = 20_000;

/// Runs in flight at once, for the sandbox under load.
const IN_FLIGHT: usize = 64;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let count = std::env::args().nth(1).map_or(Ok(COUNT), |text| text.parse())?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(root.join("../../tests/guests/echo/echo.wasm"))?;
    let bare = bare(&bytes, count)?;
    print("bare wasmtime", bare, bare);

    let sandbox = Sandbox::new(Config::default())?;
    let digest = sandbox.inspect(&bytes)?.digest;
    let plugin = sandbox.load(&digest, || async { Ok(bytes) }).await?;
    print("sandbox, one after the other", runs(&sandbox, &plugin, count, 1).await?, bare);
    print("sandbox, 64 in flight", runs(&sandbox, &plugin, count, IN_FLIGHT).await?, bare);
    sandbox.shutdown().await;
    Ok(())
}

fn print(what: &str, each: Duration, bare: Duration) {
    let ratio = each.as_secs_f64() / bare.as_secs_f64();
    println!("{what:30} {:8.2} µs a run   {ratio:5.2} × bare", each.as_secs_f64() * 1e6);
}

fn bare(bytes: &[u8], count: u32) -> Result<Duration, Failure> {
    let mut pool = PoolingAllocationConfig::new();
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(1 << 20).table_keep_resident(16 << 10);
    }
    let mut config = wasmtime::Config::new();
    config.concurrency_support(false).allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, bytes)?;
    let mut linker = Linker::<()>::new(&engine);
    linker.define_unknown_imports_as_traps(&component)?;
    let pre = linker.instantiate_pre(&component)?;
    let run = component.get_export_index(None, "run").ok_or("no export `run`")?;
    let once = || -> Result<(), Failure> {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store)?;
        let run = instance.get_func(&mut store, run).ok_or("no function `run`")?;
        let mut results = [wasmtime::component::Val::Bool(false)];
        run.call(&mut store, &[wasmtime::component::Val::String("1".into())], &mut results)?;
        Ok(())
    };
    (0..count / 10).try_for_each(|_| once())?;
    let begun = Instant::now();
    (0..count).try_for_each(|_| once())?;
    Ok(begun.elapsed() / count)
}

async fn runs(sandbox: &Sandbox, plugin: &Arc<Plugin>, count: u32, in_flight: usize) -> Result<Duration, Failure> {
    let (finished, mut finishes) = mpsc::unbounded_channel();
    let kernel: Arc<dyn Kernel> = Arc::new(Ends(finished));
    let input = Payload::parse("1".into())?;
    let begun = Instant::now();
    let mut live = 0;
    for index in 0..count {
        if live == in_flight {
            ended(finishes.recv().await)?;
            live -= 1;
        }
        let permit = sandbox.acquire_live().await?;
        sandbox.start(plugin, job(index, input.clone(), permit), kernel.clone());
        live += 1;
    }
    for _ in 0..live {
        ended(finishes.recv().await)?;
    }
    Ok(begun.elapsed() / count)
}

fn ended(finish: Option<Finish>) -> Result<(), Failure> {
    match finish.ok_or("the sandbox is gone")?.outcome {
        Outcome::Completed(_) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn job(index: u32, input: Payload, permit: LivePermit) -> Job {
    let run_id = RunId { root: RootId(1), index };
    let lineage = Lineage {
        run_id,
        root_run_id: run_id.root.run(),
        parent_run_id: None,
        parent_node_id: None,
        depth: 0,
        spawn_key: None,
        group_id: None,
        ordinal: None,
        attempt: 1,
        tenant: Tenant::default_tenant(),
        trace_id: run_id.root.trace_id().into(),
    };
    Job {
        lineage,
        asked_by: None,
        grant: Grant::default(),
        input,
        deadline: None,
        started_at: Timestamp(0),
        seed: 1,
        policy_version: 0,
        accounts: None,
        permit,
        replay: Replay::default(),
    }
}

/// A kernel that only hears how runs end.
struct Ends(mpsc::UnboundedSender<Finish>);

impl Kernel for Ends {
    fn call(&self, _: RunId, call: Call) {
        drop(call);
    }

    fn finished(&self, finish: Finish) {
        let _ = self.0.send(finish);
    }

    fn parked(&self, _: Parked) {}

    fn now_nanos(&self) -> u64 {
        0
    }
}

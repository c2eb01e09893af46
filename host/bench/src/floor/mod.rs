//! The floor: wasmtime by itself in the configuration that is fastest for each
//! workload, doing the same work with no host around it.
//!
//! No limits, no fuel, no epochs, no log, no policy: whatever Pleach adds shows.

pub mod bindings;
pub mod log;
pub mod waiting;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use bindings::agent::AgentPre;

/// Memory that one slot can have; the guests here start with less.
const SLOT_BYTES: usize = 4 << 20;

/// Threads that guests run on: one for each processor, as in Pleach.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get())
}

/// A wasmtime engine as fast as it can be for so many guests at once.
pub fn engine(slots: u32) -> anyhow::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(4))
        .total_memories(slots)
        .total_tables(slots.saturating_mul(2))
        .total_stacks(slots)
        .max_memory_size(SLOT_BYTES)
        .table_elements(2_000);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(1 << 20)
            .async_stack_keep_resident(64 << 10)
            .table_keep_resident(16 << 10);
    }
    let mut config = Config::new();
    config
        .concurrency_support(false)
        // Each image is a mapping more, and the kernel has a limit on those.
        .memory_init_cow(slots < 4_000)
        .memory_reservation(4 << 30)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(Engine::new(&config)?)
}

/// A component that needs nothing of a host.
pub struct Bare {
    engine: Engine,
    pre: AgentPre<()>,
}

impl Bare {
    pub fn new(component: &[u8]) -> anyhow::Result<Self> {
        let engine = engine(64)?;
        let component = Component::new(&engine, component)?;
        Self::of(engine, &component)
    }

    /// Compiles a component and keeps the code in a file.
    pub fn precompile(component: &[u8], file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, engine(64)?.precompile_component(component)?)
            .with_context(|| format!("writing `{}`", file.display()))
    }

    /// A component that was compiled before.
    #[expect(unsafe_code, reason = "the code was compiled by this program")]
    pub fn of_code(file: &Path) -> anyhow::Result<Self> {
        let engine = engine(64)?;
        // SAFETY: the file is what `precompile` wrote, in a folder of the benchmark's own.
        let component = unsafe { Component::deserialize_file(&engine, file)? };
        Self::of(engine, &component)
    }

    fn of(engine: Engine, component: &Component) -> anyhow::Result<Self> {
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(component)?;
        let pre = AgentPre::new(linker.instantiate_pre(component)?)?;
        Ok(Self { engine, pre })
    }

    /// A whole life: a store, an instance in it, one call, and the drop.
    pub fn run(&self, input: &String) -> anyhow::Result<String> {
        let mut store = Store::new(&self.engine, ());
        let agent = self.pre.instantiate(&mut store)?;
        match agent.call_run(&mut store, input)? {
            Ok(output) => Ok(output),
            Err(error) => bail!("the guest failed: {}", error.message),
        }
    }

    /// Runs `count` children on all threads; `each` sees every output.
    pub fn fan_out<T: Send>(
        &self,
        count: u32,
        input: &String,
        ticket: impl Fn() -> T + Sync,
        each: impl Fn(&mut T, String) + Sync,
    ) -> anyhow::Result<Duration> {
        let next = AtomicU32::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let work = || {
                let mut mine = ticket();
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    each(&mut mine, self.run(input)?);
                }
                anyhow::Ok(())
            };
            let running: Vec<_> = (0..threads()).map(|_| scope.spawn(work)).collect();
            running.into_iter().try_for_each(|thread| thread.join().ok().context("a thread of the floor panicked")?)
        })?;
        Ok(begun.elapsed())
    }
}

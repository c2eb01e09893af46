//! The two engines that guests run on, and what the machine allows.
//!
//! *Pooled* keeps slots of memory, table and stack ready, which makes a small
//! guest cost microseconds. *On demand* takes everything from the operating
//! system, for guests that do not fit a slot and when no slot is free. Both
//! compile to the same code, so that one cached file serves both.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::GuestLimits;
use crate::error::Error;

/// What stays resident in a slot between two guests, so that the next finds it
/// without a page fault. It pays only where the kernel can say which pages were
/// touched (`PAGEMAP_SCAN`, Linux 6.7); without, it costs more than it saves. Of a
/// stack, so much is cleared after each guest whether it was touched or not; guests in
/// Rust have been seen to touch 4 to 12 KiB.
const MEMORY_KEPT: usize = 1 << 20;
const STACK_KEPT: usize = 16 << 10;
const TABLE_KEPT: usize = 16 << 10;

/// What one slot of the pool holds; a guest that needs more runs on demand.
const SLOT_MEMORIES: u32 = 1;
const SLOT_TABLES: u32 = 4;
pub(crate) const SLOT_TABLE_ELEMENTS: usize = 10_000;
const SLOT_CORE_INSTANCES: u32 = 16;

/// Fewer slots than this are not worth a pool.
const FEWEST_SLOTS: u32 = 16;

/// A guest's stack, and the part of it that its own functions may use: the rest
/// is for the host's functions that it calls.
const STACK_BYTES: usize = 1 << 20;
const WASM_STACK_BYTES: usize = 512 << 10;

/// All that a 32-bit memory can address: no access needs a bounds check.
const FULL_RESERVATION: u64 = 4 << 30;

/// Memory mappings that one live guest takes: 7 on demand, and in the pool 2 for
/// the slot and 4 more while it is in use, measured with copy-on-write images;
/// and how many are left to the rest of the process.
const MAPPINGS_A_GUEST: usize = 8;
const MAPPINGS_KEPT: usize = 8_192;

/// The engines, made once for each sandbox.
pub(crate) struct Engines {
    pub(crate) on_demand: Engine,
    pub(crate) pool: Option<Pool>,
}

/// The pooled engine and its free slots.
pub(crate) struct Pool {
    pub(crate) engine: Engine,
    free: Arc<Semaphore>,
    limits: GuestLimits,
}

/// A slot of the pool, free again when this is dropped: after the store.
pub(crate) struct Slot {
    _held: OwnedSemaphorePermit,
}

impl Engines {
    pub(crate) fn new(limits: &GuestLimits, slots: u32) -> Result<Self, Error> {
        let bounded = address_space_is_bounded();
        let config = base_config(limits, bounded);
        let on_demand = Engine::new(&config)
            .map_err(|e| Error::Setup { what: "configuring the WebAssembly engine", why: format!("{e:#}") })?;
        // A pool reserves 4 GiB of addresses a slot.
        let pool = if bounded {
            tracing::info!("the address space is limited, so guests run without a pool: each costs more to start");
            None
        } else {
            Pool::largest(&config, limits, slots)
        };
        Ok(Self { on_demand, pool })
    }

    pub(crate) fn all(&self) -> Vec<Engine> {
        let pooled = self.pool.iter().map(|pool| pool.engine.clone());
        pooled.chain([self.on_demand.clone()]).collect()
    }
}

impl Pool {
    /// A pool of `slots`, or of as many as the machine lets it have.
    fn largest(config: &Config, limits: &GuestLimits, slots: u32) -> Option<Self> {
        let mut count = slots;
        while count >= FEWEST_SLOTS {
            match Self::with_slots(config, limits, count) {
                Ok(pool) => return Some(pool),
                Err(error) => {
                    tracing::warn!(slots = count, "no pool of this size, trying half: {error:#}");
                    count /= 2;
                }
            }
        }
        None
    }

    fn with_slots(config: &Config, limits: &GuestLimits, slots: u32) -> wasmtime::Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(slots)
            .total_core_instances(slots.saturating_mul(SLOT_CORE_INSTANCES))
            .max_core_instances_per_component(SLOT_CORE_INSTANCES)
            .total_memories(slots)
            .max_memories_per_component(SLOT_MEMORIES)
            .max_memory_size(limits.memory_bytes)
            .total_tables(slots.saturating_mul(SLOT_TABLES))
            .max_tables_per_component(SLOT_TABLES)
            .max_tables_per_module(SLOT_TABLES)
            .table_elements(SLOT_TABLE_ELEMENTS.min(limits.table_elements))
            .total_stacks(slots);
        if PoolingAllocationConfig::is_pagemap_scan_available() {
            pool.pagemap_scan(Enabled::Yes)
                .linear_memory_keep_resident(MEMORY_KEPT)
                .async_stack_keep_resident(STACK_KEPT)
                .table_keep_resident(TABLE_KEPT);
        } else {
            tracing::info!("no PAGEMAP_SCAN on this kernel (Linux 6.7 has it): starting a guest costs more");
        }
        let mut config = config.clone();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let free = Arc::new(Semaphore::new(slots as usize));
        Ok(Self { engine: Engine::new(&config)?, free, limits: *limits })
    }

    /// A free slot, if there is one.
    pub(crate) fn slot(&self) -> Option<Slot> {
        self.free.clone().try_acquire_owned().ok().map(|held| Slot { _held: held })
    }

    /// Whether what a component says that it needs fits a slot.
    pub(crate) fn fits(&self, component: &Component) -> bool {
        let memory = (self.limits.memory_bytes >> 16) as u64;
        component.resources_required().is_some_and(|needs| {
            needs.num_memories <= SLOT_MEMORIES
                && needs.num_tables <= SLOT_TABLES
                && needs.max_initial_memory_size.is_none_or(|pages| pages <= memory)
                && needs.max_initial_table_size.is_none_or(|elements| elements <= SLOT_TABLE_ELEMENTS as u64)
        })
    }
}

fn base_config(limits: &GuestLimits, bounded: bool) -> Config {
    let reservation = if bounded { limits.memory_bytes as u64 } else { FULL_RESERVATION };
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        // A guest never sees what another left on the stack.
        .async_stack_zeroing(true)
        .memory_reservation(reservation)
        .memory_may_move(false);
    config
}

/// Whether the process was given less than all addresses (`ulimit -v`).
fn address_space_is_bounded() -> bool {
    std::fs::read_to_string("/proc/self/limits").is_ok_and(|limits| {
        limits
            .lines()
            .find_map(|line| line.strip_prefix("Max address space"))
            .and_then(|rest| rest.split_whitespace().next())
            .is_some_and(|soft| soft != "unlimited")
    })
}

/// How many guests can be live before the kernel refuses memory mappings.
pub(crate) fn most_live_guests() -> usize {
    let Ok(text) = std::fs::read_to_string("/proc/sys/vm/max_map_count") else {
        return usize::MAX;
    };
    let mappings: usize = text.trim().parse().unwrap_or(65_530);
    (mappings.saturating_sub(MAPPINGS_KEPT) / MAPPINGS_A_GUEST).max(1)
}

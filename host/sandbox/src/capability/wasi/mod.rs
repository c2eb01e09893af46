//! WASI 0.2 with nothing in it, so that guests of any language start: no
//! arguments, no environment, no files, no sockets, a closed input, and an
//! output that goes to the host's log.
//!
//! Time and chance are ours: the run's logical clock and its seed, so that a
//! replay sees the same. So is waiting, see `poll.rs`, and what a guest prints,
//! see `print.rs`. `wasi:http` is not linked.

mod poll;
mod print;

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::io;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::print::{Lines, Printed};
use crate::guest::Guest;

/// Resources that a guest can hold at once: streams, pollables, errors.
const MOST_RESOURCES: usize = 4_096;

/// Random bytes in one call.
const MOST_RANDOM_BYTES: u64 = 1 << 20;

/// What clocks of WASI count in.
const RESOLUTION_NANOS: u32 = 1_000;

/// What WASI keeps for one guest.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    /// The instants at which pollables ring, by their place in the table. Every
    /// other pollable is ready whenever it is asked.
    alarms: BTreeMap<u32, u64>,
    lines: Lines,
    random_blocks: u64,
}

impl Wasi {
    fn new() -> Self {
        let ctx = WasiCtx::builder()
            .stdout(Printed)
            .stderr(Printed)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        Self { ctx, table, alarms: BTreeMap::new(), lines: Lines::default(), random_blocks: 0 }
    }
}

impl Guest {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new()))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Links all of WASI 0.2 but HTTP, with clocks, randomness, waiting and streams
/// replaced.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    monotonic_clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    random::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    insecure::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    insecure_seed::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    io::poll::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    io::streams::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = Duration::from_nanos(self.calls.look_at_clock());
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NANOS })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.calls.look_at_elapsed())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NANOS.into())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.alarm(when)
    }

    fn subscribe_duration(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.calls.look_at_elapsed();
        self.alarm(now.saturating_add(nanos))
    }
}

impl Guest {
    /// SHA-256 in counter mode over the run's seed.
    fn random_block(&mut self) -> [u8; 32] {
        let seed = self.calls.seed();
        let wasi = self.wasi();
        wasi.random_blocks += 1;
        let block = wasi.random_blocks;
        Sha256::new_with_prefix(b"pleach random")
            .chain_update(seed.to_le_bytes())
            .chain_update(block.to_le_bytes())
            .finalize()
            .into()
    }

    fn random_u64(&mut self) -> u64 {
        let block = self.random_block();
        block.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MOST_RANDOM_BYTES {
            wasmtime::bail!("{length} random bytes in one call; at most {MOST_RANDOM_BYTES} are given");
        }
        let length = usize::try_from(length)?;
        let mut bytes = Vec::with_capacity(length + 32);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.random_block());
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_u64())
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random_u64())
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_u64(), self.random_u64()))
    }
}

//! WASI 0.2 with nothing in it, so that guests of any language start: no
//! arguments, no environment, no files, no sockets, a closed input, and an
//! output that goes to the host's log.
//!
//! Time and chance are ours: the run's logical clock and its seed, so that a
//! replay sees the same. `wasi:http` is not linked.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pleach_kernel::Lineage;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::log;
use crate::bindings::log::Level;
use crate::guest::Guest;
use crate::rate::Rate;
use crate::vitals::Vitals;

/// Resources that a guest can hold at once: streams, pollables, errors.
const MOST_RESOURCES: usize = 4_096;

/// Random bytes in one call.
const MOST_RANDOM_BYTES: u64 = 1 << 20;

/// The longest line of a guest's output; a longer one becomes several.
const LINE_BYTES: usize = 4 << 10;

/// What clocks of WASI count in.
const RESOLUTION_NANOS: u32 = 1_000;

/// What WASI keeps for one guest.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
    random_blocks: u64,
}

impl Wasi {
    fn new(lineage: &Lineage) -> Self {
        let output = Output { lineage: lineage.clone().into(), lines: Arc::default() };
        let ctx = WasiCtx::builder()
            .stdout(output.clone())
            .stderr(output)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_RESOURCES);
        Self { ctx, table, random_blocks: 0 }
    }
}

impl Guest {
    fn wasi(&mut self) -> &mut Wasi {
        self.wasi.get_or_insert_with(|| Box::new(Wasi::new(&self.identity.lineage)))
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Links all of WASI 0.2 but HTTP, with clocks and randomness replaced.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    monotonic_clock::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    random::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    insecure::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    insecure_seed::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

impl wall_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = Duration::from_nanos(self.vitals.look_at_clock());
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: RESOLUTION_NANOS })
    }
}

impl monotonic_clock::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.vitals.look_at_elapsed())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NANOS.into())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.vitals.look_at_elapsed();
        self.alarm(when, when.saturating_sub(now))
    }

    fn subscribe_duration(&mut self, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let now = self.vitals.look_at_elapsed();
        self.alarm(now.saturating_add(nanos), nanos)
    }
}

impl Guest {
    fn alarm(&mut self, when: u64, nanos: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let rings_at = tokio::time::Instant::now().checked_add(Duration::from_nanos(nanos));
        let alarm = Alarm { vitals: self.vitals.clone(), when, rings_at };
        let table = &mut self.wasi().table;
        let alarm = table.push(alarm)?;
        subscribe(table, alarm)
    }
}

/// Rings on the host's timer and moves the logical clock on to its time, so
/// that a guest which looks at the clock then does not wait once more.
struct Alarm {
    vitals: Arc<Vitals>,
    when: u64,
    /// None: too far off to ever ring.
    rings_at: Option<tokio::time::Instant>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        let ring = async {
            match self.rings_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // WASI has no word for a cancelled sleep: the sleeper wakes early,
            // as far as it can tell on time, and hears of it in its next call.
            () = self.vitals.cancelled() => {}
            () = ring => {}
        }
        self.vitals.advance_to_elapsed(self.when);
        // A guest that polls in a loop lets others have their turn.
        tokio::task::yield_now().await;
    }
}

impl Guest {
    /// SHA-256 in counter mode over the run's seed.
    fn random_block(&mut self) -> [u8; 32] {
        let seed = self.identity.seed;
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

/// A guest's output and error output, which share their lines and their rate.
#[derive(Clone)]
struct Output {
    lineage: Arc<Lineage>,
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    unfinished: Vec<u8>,
    rate: Rate,
}

impl Default for Lines {
    fn default() -> Self {
        Self { unfinished: Vec::new(), rate: log::rate() }
    }
}

impl Lines {
    fn write(&mut self, lineage: &Lineage, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.unfinished.push(*byte);
            }
            if *byte == b'\n' || self.unfinished.len() == LINE_BYTES {
                let line = std::mem::take(&mut self.unfinished);
                log::write(&mut self.rate, lineage, Level::Debug, &String::from_utf8_lossy(&line));
            }
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.write(&self.lineage, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

//! `wasi:io/poll`: waiting, by the run's logical clock alone.
//!
//! An alarm is due when that clock says so. Where nothing is ready, the guest
//! sleeps until the first alarm, which is one numbered call like any sleep. What
//! is no alarm is always ready: the input is closed, the output takes
//! everything, and there is nothing else to wait for.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::poll::{Host, HostPollable};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use crate::guest::Guest;
use crate::workers::give_way;

/// What stands in the table for an alarm; when it rings stands beside it.
struct Alarm;

#[wasmtime_wasi::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {}
}

impl Guest {
    /// A pollable that is ready once the clock shows `elapsed` since the start.
    pub(super) fn alarm(&mut self, elapsed: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let instant = self.calls.instant(elapsed);
        let wasi = self.wasi();
        let alarm = wasi.table.push(Alarm)?;
        let pollable = subscribe(&mut wasi.table, alarm)?;
        wasi.alarms.insert(pollable.rep(), instant);
        Ok(pollable)
    }

    /// When a pollable is ready; 0: always.
    fn due_at(&mut self, pollable: &Resource<DynPollable>) -> wasmtime::Result<u64> {
        let wasi = self.wasi();
        wasi.table.get(pollable)?;
        Ok(wasi.alarms.get(&pollable.rep()).copied().unwrap_or(0))
    }

    /// Waits until the first of `due` has come, and says which have.
    async fn wait(&mut self, due: &[u64]) -> Vec<u32> {
        // A guest that polls in a loop lets others have their turn.
        give_way().await;
        let mut now = self.calls.look_at_clock();
        let first = due.iter().copied().min().unwrap_or(0);
        if first > now {
            self.calls.off_stack(move |calls| Box::pin(calls.sleep_until(first))).await;
            now = self.calls.look_at_clock();
        }
        let ready = due.iter().enumerate().filter(|(_, due)| **due <= now);
        ready.filter_map(|(at, _)| u32::try_from(at).ok()).collect()
    }
}

impl Host for Guest {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        if pollables.is_empty() {
            wasmtime::bail!("a poll of nothing would never end");
        }
        let due = pollables.iter().map(|pollable| self.due_at(pollable)).collect::<wasmtime::Result<Vec<_>>>()?;
        Ok(self.wait(&due).await)
    }
}

impl HostPollable for Guest {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let due = self.due_at(&pollable)?;
        self.wait(&[due]).await;
        Ok(())
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        let due = self.due_at(&pollable)?;
        Ok(due <= self.calls.look_at_clock())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let wasi = self.wasi();
        wasi.alarms.remove(&pollable.rep());
        HostPollable::drop(&mut wasi.table, pollable)
    }
}

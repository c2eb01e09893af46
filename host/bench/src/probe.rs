//! Probes: what can only be seen from a process of its own, such as its memory,
//! or the time from its start. The benchmark runs itself with these.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use pleach_engine::Host;
use serde_json::json;

use crate::counts::work::{CHILDREN, Work};
use crate::floor::waiting::Waiting;
use crate::workloads::storm::{NAP_MS, asleep};
use crate::{guests, ours};

/// What a process of its own is asked for. It prints one number.
#[derive(Clone, Debug, Subcommand)]
pub enum Probe {
    /// Bytes that one sleeping guest of bare wasmtime takes
    FloorResidents { count: u32 },
    /// Bytes that one sleeping guest takes
    Residents { count: u32 },
    /// Bytes that one parked guest takes
    Parked { count: u32 },
    /// Loads compiled code and runs it once
    FloorStart { code: PathBuf },
    /// Starts a host and runs a plugin that it has compiled before
    Start { folder: PathBuf },
    /// Does one kind of the kernel's work, for callgrind, and says for how many runs
    KernelWork { work: Work },
}

impl Probe {
    /// Asks a process of its own.
    pub fn ask(arguments: &[&str]) -> anyhow::Result<f64> {
        let program = std::env::current_exe().context("finding this program")?;
        let output = Command::new(program).arg("probe").args(arguments).output().context("starting a probe")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "probe {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        said.trim().parse().with_context(|| format!("probe {arguments:?} said `{said}`"))
    }

    pub async fn answer(self) -> anyhow::Result<f64> {
        match self {
            Self::FloorResidents { count } => floor_residents(count).await,
            Self::Residents { count } => residents(count).await,
            Self::Parked { count } => parked(count).await,
            Self::FloorStart { code } => floor_start(&code).await,
            Self::Start { folder } => start(&folder).await,
            Self::KernelWork { work } => work.run().map(|()| f64::from(CHILDREN)),
        }
    }
}

/// Memory of this process that is in use, in bytes.
pub fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading this process's memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in it")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes << 10)
}

/// What an allocator holds on to for a while has gone back by then: a second in this
/// program, see `.cargo/config.toml`.
const SETTLES: Duration = Duration::from_millis(2_500);

/// The same once nothing is left of what came before. As a baseline it would else be too
/// high, and each guest too cheap.
async fn settled_bytes() -> anyhow::Result<u64> {
    tokio::time::sleep(SETTLES).await;
    resident_bytes()
}

fn each(before: u64, after: u64, count: u32) -> f64 {
    after.saturating_sub(before) as f64 / f64::from(count)
}

async fn floor_residents(count: u32) -> anyhow::Result<f64> {
    let floor = Waiting::new(&guests::component("sleeper")?, count)?;
    let nap = json!({ "ms": NAP_MS }).to_string();
    let before = settled_bytes().await?;
    for _ in 0..count {
        let (floor, nap) = (floor.clone(), nap.clone());
        tokio::spawn(async move { floor.run(1, &nap, None).await });
    }
    tokio::time::sleep(Duration::from_millis(500 + u64::from(count) / 5)).await;
    Ok(each(before, settled_bytes().await?, count))
}

async fn residents(count: u32) -> anyhow::Result<f64> {
    let host = ours::host(ours::in_memory(), &["sleeper", "fan-out"]).await?;
    // What a host takes once, however many guests there are.
    let _few = asleep(&host, 100).await?;
    let before = settled_bytes().await?;
    let _run = asleep(&host, count).await?;
    Ok(each(before, settled_bytes().await?, count))
}

/// Few live at once, so that what is seen is not the memory of guests that were
/// live before they were parked; and the log on disk, which is where it is for
/// whoever parks.
async fn parked(count: u32) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let builder = ours::on_disk(folder.path()).park_after(Duration::from_millis(50)).max_live(64);
    let host = ours::host(builder, &["sleeper", "fan-out"]).await?;
    // What the host takes once: another tree of as many is parked by then, and stays.
    let _first = asleep(&host, count).await?;
    let before = settled_bytes().await?;
    let _second = asleep(&host, count).await?;
    let _third = asleep(&host, count).await?;
    Ok(each(before, settled_bytes().await?, 2 * count))
}

async fn floor_start(code: &Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let output = crate::floor::Bare::of_code(code)?.run(&"1".to_owned())?;
    ensure!(output == "1", "the guest answered {output}");
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

async fn start(folder: &Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let host: Host = ours::on_disk(folder).build().await?;
    let ended = host.submit(ours::submission("echo", &json!(1))?).await?.wait().await?;
    if ours::output(&ended)? != 1 {
        bail!("the guest answered something else");
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

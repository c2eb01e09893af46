//! Pleach's side: a host as its users embed it, with its checks, its log and its
//! limits on.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pleach_engine::kernel::{Grant, Limits, Payload, Policy, Scope};
use pleach_engine::{Ended, Host, HostBuilder, Publish, Submission};
use serde_json::{Value, json};

use crate::guests;

/// A host with a store of its own and the guests that a workload needs.
pub async fn host(builder: HostBuilder, guests: &[&str]) -> anyhow::Result<Host> {
    let host = builder.build().await.context("starting the host")?;
    for guest in guests {
        host.publish(guests::component(guest)?, Publish::default()).await?;
    }
    Ok(host)
}

/// A host that keeps everything in memory.
pub fn in_memory() -> HostBuilder {
    Host::builder().store("memory:").park_after(Duration::from_secs(3_600))
}

/// A host whose log is a file in `folder`.
pub fn on_disk(folder: &Path) -> HostBuilder {
    let store = format!("sqlite:{}", folder.join("pleach.db").display());
    in_memory().store(&store).code_cache(folder.join("cache"))
}

/// A run that may spawn whatever it likes, within the built-in ceilings.
pub fn submission(agent: &str, input: &Value) -> anyhow::Result<Submission> {
    let scopes = vec!["spawn:*".parse::<Scope>()?];
    let mut submission = Submission::new(agent, Payload::of(input)?);
    submission.grant = Grant::new(scopes.clone(), scopes.clone());
    submission.policy =
        Some(Policy { targets: vec!["*".into()], scopes, limits: Limits::CEILING, ..Policy::default() });
    Ok(submission)
}

/// What the guest `fan-out` is asked to do.
pub fn fan_out_of(target: &str, count: u32, input: &Value) -> Value {
    json!({"target": target, "count": count, "input": input, "timeout_ms": 600_000})
}

/// From the submission of a parent of `count` no-op children to its result.
pub async fn fan_out(host: &Host, count: u32) -> anyhow::Result<Duration> {
    let input = fan_out_of("echo", count, &guests::hundred_bytes());
    let begun = Instant::now();
    let ended = host.submit(submission("fan-out", &input)?).await?.wait().await?;
    let took = begun.elapsed();
    joined(&ended, count)?;
    Ok(took)
}

/// Fails unless all children of a fan-out completed.
pub fn joined(ended: &Ended, count: u32) -> anyhow::Result<()> {
    let output = output(ended)?;
    ensure!(output["joined"]["success_count"] == count, "not every child completed: {output}");
    Ok(())
}

/// The output of a run that has to have completed.
pub fn output(ended: &Ended) -> anyhow::Result<Value> {
    let error = || ended.error.as_ref().map_or_else(String::new, |error| error.message.clone());
    let output = ended.output.as_ref().with_context(|| format!("the run is {}: {}", ended.status.as_str(), error()))?;
    Ok(serde_json::from_str(output.as_str())?)
}

/// Ends the host and everything in it.
pub async fn close(host: Host) -> anyhow::Result<()> {
    Ok(host.shutdown(Duration::from_secs(10)).await?)
}

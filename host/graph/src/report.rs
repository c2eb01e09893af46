//! Report: the result of a graph's run, task by task, and what it came to.
//!
//! Read off the tree of the run and its log, as pictures are (`draw/observe.rs`).
//! `gathered.rs` goes through the log, `skipped.rs` says why a node had no turn, and
//! `merge.rs` makes one document of what the last tasks gave.

mod gathered;
mod skipped;

use std::sync::Arc;

use pleach_kernel::{Event, Payload, RunError, RunId, RunStatus, RunView, Timestamp};
use serde::Serialize;
use serde_json::Value as Json;

use crate::draw::links::{in_order, links};
use crate::draw::observe::round;
use crate::draw::{Happened, NodeStatus};
use crate::merge::{Conflict, Given, Merged, merge};
use crate::plan::{Kind, NodeIx, Plan};
use gathered::Gathered;

/// What became of a graph.
#[derive(Clone, Debug, Serialize)]
pub struct GraphReport {
    pub run_id: RunId,
    pub name: Arc<str>,
    pub status: RunStatus,
    /// Where it completed.
    pub output: Option<Payload>,
    /// Where it did not.
    pub error: Option<RunError>,
    /// Every node, in the order of the file.
    pub tasks: Vec<TaskReport>,
    /// From the start of the graph to its end; to its newest event while it runs.
    pub wall_ms: u64,
    /// How long its runs took, each from its start to its end, one after the other.
    pub serial_ms: u64,
    /// None where nothing took any time.
    pub speedup_vs_serial: Option<f64>,
    pub cost: Cost,
    /// What the last tasks gave, merged; see `merge.rs`.
    pub summary: Json,
    pub conflicts: Vec<Conflict>,
    #[serde(skip_serializing_if = "is_zero")]
    pub conflicts_omitted: u32,
}

/// What the graph and all below it have spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    pub tokens: u64,
    pub cost_microusd: u64,
    pub cpu_ms: u64,
    pub host_calls: u64,
}

/// What became of one node. One that runs no agent has no `agent`, and no runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskReport {
    pub id: Arc<str>,
    /// As the file names it; several, where a group has them.
    pub agent: Option<String>,
    /// As the file calls it: `spawn_run`, `join`, …
    pub kind: &'static str,
    pub status: NodeStatus,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// The most tries that one of its runs took.
    pub attempts: u32,
    pub runs: RunCounts,
    /// The handle that it went on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handle: Option<Arc<str>>,
    /// The artifacts of its output: of its runs' outputs, in their order.
    pub artifacts: Vec<Artifact>,
    /// Every try that failed, also of a task that completed, and every refusal.
    pub errors: Vec<TaskError>,
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_omitted: u32,
    /// Why it was skipped or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

impl TaskReport {
    /// From its start to its end.
    pub fn duration_ms(&self) -> Option<u64> {
        Some(self.finished_at?.since_ms(self.started_at?))
    }
}

/// The runs of a node, over all rounds of a loop, by how they have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RunCounts {
    pub total: u32,
    pub completed: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub timed_out: u32,
}

/// A file that an agent has made: an entry of the list `artifacts` of its output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Artifact {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Of the content, as text.
    pub bytes: u64,
    pub content: Json,
}

/// Something that went wrong with a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskError {
    pub code: Arc<str>,
    pub message: String,
    /// None of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl GraphReport {
    /// The report of a plan's run. `run` is the graph's own run with its children,
    /// and `events` is its tree's log up to there, in order.
    pub fn of(plan: &Plan, run: &RunView, events: &[Event]) -> Self {
        let happened = Happened::of(plan, run, events);
        let mut gathered = Gathered::of(plan, run, events);
        let now = run.finished_at.or(events.last().map(|event| event.at));
        let took = |run: &RunView| match (run.started_at, run.finished_at.or(now)) {
            (Some(start), Some(end)) => end.since_ms(start),
            (_, _) => 0,
        };
        let (wall_ms, serial_ms) = (took(run), gathered.runs.iter().flatten().map(|run| took(run)).sum());
        let Merged { summary, conflicts, conflicts_omitted } = merge(last_outputs(plan, &happened, &gathered));
        let why = skipped::why(plan, &happened);
        Self {
            run_id: run.run_id,
            name: plan.name.clone(),
            status: run.status,
            output: gathered.outputs.get(&run.run_id).cloned(),
            error: run.error.clone(),
            tasks: why
                .into_iter()
                .enumerate()
                .map(|(node, why)| task(plan, &happened, &mut gathered, node, why))
                .collect(),
            wall_ms,
            serial_ms,
            speedup_vs_serial: speed_up(serial_ms, wall_ms),
            cost: gathered.cost(),
            summary,
            conflicts,
            conflicts_omitted,
        }
    }
}

/// To two digits after the point; what took less than a clock tick took one.
fn speed_up(serial_ms: u64, wall_ms: u64) -> Option<f64> {
    let times = serial_ms as f64 / wall_ms.max(1) as f64;
    (serial_ms > 0).then_some((times * 100.0).round() / 100.0)
}

fn task(plan: &Plan, happened: &Happened, gathered: &mut Gathered, node: NodeIx, why: Option<Arc<str>>) -> TaskReport {
    let (planned, told) = (&plan.nodes[node], &happened.nodes[node]);
    let runs = &gathered.runs[node];
    let cancelled = || runs.iter().rev().find_map(|run| run.error.as_ref()).map(|error| error.message.as_str().into());
    let reason = why.or_else(|| cancelled().filter(|_| told.status == NodeStatus::Cancelled));
    let (errors, errors_omitted) = gathered.errors.remove(&node).unwrap_or_default();
    TaskReport {
        id: planned.id.clone(),
        agent: agent(&planned.kind),
        kind: planned.kind.name(),
        status: told.status,
        started_at: told.started_at,
        finished_at: told.finished_at,
        attempts: told.attempts,
        runs: counts(runs),
        handle: told.handle.map(|handle| planned.handles[handle].clone()),
        artifacts: outputs(gathered, node).flat_map(artifacts).collect(),
        errors,
        errors_omitted,
        reason,
    }
}

/// The targets of a node, each once.
fn agent(kind: &Kind) -> Option<String> {
    let replanner = match kind {
        Kind::Replan(replan) => replan.target.as_ref().map(|(target, _)| &**target),
        Kind::SpawnRun { .. }
        | Kind::AgentCall { .. }
        | Kind::SpawnGroup { .. }
        | Kind::Map { .. }
        | Kind::Join { .. }
        | Kind::Router(_)
        | Kind::Judge(_)
        | Kind::CancelSubtree { .. }
        | Kind::Output(_) => None,
    };
    let mut targets: Vec<&str> = kind.runs().iter().map(|run| &*run.target).chain(replanner).collect();
    let mut seen = std::collections::HashSet::new();
    targets.retain(|target| seen.insert(*target));
    (!targets.is_empty()).then(|| targets.join(", "))
}

fn counts(runs: &[&RunView]) -> RunCounts {
    let mut counts = RunCounts { total: runs.len() as u32, ..RunCounts::default() };
    for run in runs {
        match run.status {
            RunStatus::Queued | RunStatus::Running | RunStatus::Paused => {}
            RunStatus::Completed => counts.completed += 1,
            RunStatus::Failed => counts.failed += 1,
            RunStatus::Cancelled => counts.cancelled += 1,
            RunStatus::TimedOut => counts.timed_out += 1,
        }
    }
    counts
}

/// What the runs of a node's last round gave, in the order of spawning.
fn outputs<'a>(gathered: &'a Gathered, node: NodeIx) -> impl Iterator<Item = &'a Payload> {
    let runs = &gathered.runs[node];
    let last = runs.iter().map(|run| round(run)).max();
    let of_last = runs.iter().filter(move |run| Some(round(run)) == last && !gathered.planners.contains(&run.run_id));
    of_last.filter_map(|run| gathered.outputs.get(&run.run_id))
}

fn read(output: &Payload) -> Option<Json> {
    serde_json::from_str(output.as_str()).ok()
}

fn artifacts(output: &Payload) -> Vec<Artifact> {
    // Most outputs have none, and need not be read for that.
    let output =
        Some(output).filter(|output| output.as_str().contains("\"artifacts\"")).and_then(read).unwrap_or_default();
    let entry = |entry: &Json| {
        let (name, content) = (entry.get("name")?.as_str()?.to_owned(), entry.get("content")?.clone());
        let media_type = entry.get("media_type").and_then(Json::as_str).map(str::to_owned);
        let bytes = content.as_str().map_or_else(|| content.to_string().len(), str::len) as u64;
        Some(Artifact { name, media_type, bytes, content })
    };
    output.get("artifacts").and_then(Json::as_array).into_iter().flatten().filter_map(entry).collect()
}

/// The outputs of the tasks that completed and that no completed task came after. A
/// group gives the list of what its members gave; what judges and routers say is
/// about the result and no part of it.
fn last_outputs(plan: &Plan, happened: &Happened, gathered: &Gathered) -> Vec<Given> {
    let gives = |node: NodeIx| match plan.nodes[node].kind {
        Kind::SpawnRun { .. }
        | Kind::AgentCall { .. }
        | Kind::SpawnGroup { .. }
        | Kind::Map { .. }
        | Kind::Replan(_) => {
            happened.nodes[node].status == NodeStatus::Completed && outputs(gathered, node).next().is_some()
        }
        Kind::Join { .. } | Kind::Router(_) | Kind::Judge(_) | Kind::CancelSubtree { .. } | Kind::Output(_) => false,
    };
    let links = links(plan);
    let given: Vec<bool> = (0..plan.nodes.len()).map(gives).collect();
    let mut is_followed = vec![false; plan.nodes.len()];
    for (node, on) in in_order(plan.nodes.len(), &links).into_iter().rev() {
        is_followed[node] = on.iter().map(|link| links[*link].to).any(|to| given[to] || is_followed[to]);
    }
    let last = (0..plan.nodes.len()).filter(|node| given[*node] && !is_followed[*node]);
    let value = |node: NodeIx| {
        let mut outputs: Vec<Json> = outputs(gathered, node).filter_map(read).collect();
        let is_many = plan.nodes[node].kind.is_group() || matches!(plan.nodes[node].kind, Kind::Replan(_));
        if is_many { outputs.into() } else { outputs.pop().unwrap_or_default() }
    };
    last.map(|node| Given { task: plan.nodes[node].id.clone(), value: value(node) }).collect()
}

#[cfg(test)]
mod tests;

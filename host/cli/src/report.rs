//! The result of a run, as it is written: an object for programs, a summary
//! for people.
//!
//! The object is stable; docs/cli.md describes it.

use std::fmt::Write as _;

use pleach_engine::kernel::{Denial, Payload, RunError, RunStatus, Usage};
use pleach_engine::{Ended, GraphReport};
use serde::Serialize;
use serde_json::Value;

use crate::artifacts::{self, Artifact};
use crate::board::Counts;
use crate::{graph, text};

/// The artifact that is shown with the summary, where there is one.
const TABLE: &str = "report.txt";

/// A run's result as an object.
#[derive(Serialize)]
pub struct Report<'a> {
    run_id: Option<String>,
    status: &'static str,
    output: Option<&'a Payload>,
    error: Option<Failure<'a>>,
    /// What the whole tree has spent.
    usage: Spent,
    /// Of a graph: what became of it, task by task.
    #[serde(skip_serializing_if = "Option::is_none")]
    graph: Option<Value>,
}

/// Why there is no output.
#[derive(Serialize)]
#[serde(untagged)]
enum Failure<'a> {
    Run(&'a RunError),
    Denied(&'a Denial),
}

/// What was spent, every amount named.
#[derive(Serialize)]
struct Spent {
    tokens: u64,
    cost_microusd: u64,
    wall_ms: u64,
    cpu_us: u64,
    host_calls: u64,
}

impl From<&Usage> for Spent {
    fn from(usage: &Usage) -> Self {
        let Usage { tokens, cost_microusd, wall_ms, cpu_us, host_calls } = *usage;
        Self { tokens, cost_microusd, wall_ms, cpu_us, host_calls }
    }
}

impl<'a> Report<'a> {
    pub fn of(ended: &'a Ended, spent: &Usage) -> Self {
        Self {
            run_id: Some(ended.run_id.to_string()),
            status: ended.status.as_str(),
            output: ended.output.as_ref(),
            error: ended.error.as_ref().map(Failure::Run),
            usage: spent.into(),
            graph: None,
        }
    }

    /// The same, with what became of the graph if it was one.
    pub fn with_graph(self, graph: Option<&GraphReport>) -> anyhow::Result<Self> {
        Ok(Self { graph: graph.map(graph::json).transpose()?, ..self })
    }

    /// For a run that policy did not let start.
    pub fn denied(denial: &'a Denial) -> Self {
        let usage = (&Usage::default()).into();
        Self { run_id: None, status: "denied", output: None, error: Some(Failure::Denied(denial)), usage, graph: None }
    }
}

/// What a run gave back: its output, or the details of its error.
pub fn body(ended: &Ended) -> Value {
    let details = ended.error.as_ref().and_then(|error| error.details.as_ref());
    let given = ended.output.as_ref().or(details);
    given.and_then(|payload| serde_json::from_str(payload.as_str()).ok()).unwrap_or_default()
}

/// What a run says of itself, for people; nothing where that is nothing.
pub fn told(body: &Value) -> String {
    let mut out = String::new();
    match body.get("summary").and_then(Value::as_str) {
        Some(summary) => {
            writeln!(out, "{}\n", text::block(summary.trim_end())).ok();
            if let Some(Artifact { content, .. }) = artifacts::of_output(body).iter().find(|file| file.name == TABLE) {
                writeln!(out, "{}\n", text::block(content.trim_end())).ok();
            }
        }
        None if body.is_null() => {}
        None => {
            let pretty = serde_json::to_string_pretty(body).unwrap_or_default();
            writeln!(out, "{}\n", text::block(&pretty)).ok();
        }
    }
    out
}

/// A result for people: what the run says of itself, then how it went.
pub fn summary(ended: &Ended, body: &Value, counts: Counts, spent: &Usage) -> String {
    let mut out = told(body);
    let word = match ended.status {
        RunStatus::TimedOut => "timed out",
        other => other.as_str(),
    };
    let end = ended.finished_at.unwrap_or(ended.created_at);
    write!(out, "{word} after {}", text::duration(end.since_ms(ended.created_at))).ok();
    if let Some(error) = &ended.error {
        write!(out, " ({}): {}", text::line(&error.code), text::block(error.message.trim_end())).ok();
    }
    write!(out, "\nrun {}", ended.run_id).ok();
    if counts.total() > 1 {
        write!(out, " · {} ({})", text::count(counts.total(), "run"), counts.told()).ok();
    }
    let Usage { cpu_us, host_calls, tokens, cost_microusd, .. } = *spent;
    write!(out, " · {} cpu", text::duration(cpu_us / 1_000)).ok();
    for (amount, noun) in [(host_calls, "host call"), (tokens, "token")] {
        if amount > 0 {
            write!(out, " · {}", text::count(amount, noun)).ok();
        }
    }
    if cost_microusd > 0 {
        write!(out, " · ${:.4}", cost_microusd as f64 / 1e6).ok();
    }
    out
}

//! The result of a graph's run, as it is written: a table for people, an object for
//! programs.

use std::fmt::Write as _;

use anyhow::Context as _;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Table};
use pleach_engine::GraphReport;
use pleach_engine::graph::draw::NodeStatus;
use pleach_engine::graph::report::{Cost, RunCounts, TaskReport};
use pleach_engine::kernel::Timestamp;
use serde_json::Value;

use crate::text;

/// The most tasks that are shown; of more, those that did not complete come first.
const MAX_ROWS: usize = 50;

/// The widest that the last column becomes.
const WHY: usize = 72;

/// A result as an object, with its instants as text. What the report of the run says
/// already is left out.
pub fn json(graph: &GraphReport) -> anyhow::Result<Value> {
    let mut json = serde_json::to_value(graph).context("writing what became of the graph")?;
    if let Some(fields) = json.as_object_mut() {
        fields.remove("output");
        fields.remove("error");
    }
    for task in json.get_mut("tasks").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["started_at", "finished_at"] {
            if let Some(at) = task[name].as_u64() {
                task[name] = text::rfc3339(Timestamp(at)).into();
            }
        }
    }
    Ok(json)
}

/// A result for people: the tasks, and how long all of it took.
pub fn told(graph: &GraphReport) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["task", "agent", "status", "time", "tries", ""]);
    let shown = shown(&graph.tasks);
    for task in &shown {
        table.add_row(row(task));
    }
    let mut out = table.trim_fmt();
    let left = graph.tasks.len() - shown.len();
    if left > 0 {
        write!(out, "\n … and {} more; --format json has all of them", text::count(left as u64, "task")).ok();
    }
    let conflicts = graph.conflicts.len() as u64 + u64::from(graph.conflicts_omitted);
    if conflicts > 0 {
        write!(out, "\n\nThe last tasks disagree in {}:", text::count(conflicts, "place")).ok();
        for conflict in graph.conflicts.iter().take(MAX_ROWS) {
            let value = |value: &Value| text::line(&text::cut(&value.to_string(), WHY / 2)).into_owned();
            let (kept, dropped) = (&conflict.kept, &conflict.dropped);
            let path = if conflict.path.is_empty() { "the output" } else { conflict.path.as_str() };
            let (first, second) = (value(&kept.value), value(&dropped.value));
            write!(out, "\n  {}: {first} ({}), {second} ({})", text::line(path), kept.task, dropped.task).ok();
        }
    }
    write!(out, "\n\n{}", how_fast(graph)).ok();
    out
}

/// All tasks, or those that say most; in the order of the file.
fn shown(tasks: &[TaskReport]) -> Vec<&TaskReport> {
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|place| match tasks[*place].status {
        NodeStatus::Failed | NodeStatus::TimedOut => 0,
        NodeStatus::Cancelled | NodeStatus::Skipped | NodeStatus::Running | NodeStatus::Waiting => 1,
        NodeStatus::Completed => 2,
    });
    order.truncate(MAX_ROWS);
    order.sort_unstable();
    order.into_iter().map(|place| &tasks[place]).collect()
}

fn row(task: &TaskReport) -> Vec<Cell> {
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    let status = match task.status {
        NodeStatus::TimedOut => "timed out",
        other => other.as_str(),
    };
    let agent = task.agent.as_deref().map_or("-".into(), text::line);
    let tries = if task.attempts > 0 { task.attempts.to_string() } else { String::new() };
    let mut row = vec![
        Cell::new(text::line(&task.id)),
        Cell::new(agent),
        Cell::new(status),
        right(task.duration_ms().map(text::duration).unwrap_or_default()),
        right(tries),
    ];
    row.push(Cell::new(text::line(&text::cut(&note(task), WHY))));
    row
}

/// Why a task did not complete, or what else is to be said of it.
fn note(task: &TaskReport) -> String {
    if let Some(reason) = &task.reason {
        return reason.to_string();
    }
    let mut notes = Vec::new();
    if let Some(handle) = &task.handle {
        notes.push(format!("→ {handle}"));
    }
    let RunCounts { total, completed, failed, cancelled, timed_out } = task.runs;
    if total > 1 {
        let ended = [(completed, "completed"), (failed, "failed"), (cancelled, "cancelled"), (timed_out, "timed out")];
        let ended = ended.iter().filter(|(count, _)| *count > 0);
        let ended: Vec<String> =
            ended.map(|(count, how)| format!("{} {how}", text::thousands(u64::from(*count)))).collect();
        notes.push(format!("{}: {}", text::count(u64::from(total), "run"), ended.join(", ")));
    }
    if let Some(error) = task.errors.last().filter(|_| task.status != NodeStatus::Completed) {
        notes.push(format!("{}: {}", error.code, error.message));
    }
    notes.join("; ")
}

fn how_fast(graph: &GraphReport) -> String {
    let mut line = format!("wall {}", text::duration(graph.wall_ms));
    if let Some(times) = graph.speedup_vs_serial.filter(|times| *times >= 1.05) {
        write!(line, ", {times:.1} x faster than one after the other").ok();
    }
    let Cost { tokens, cost_microusd, cpu_ms, host_calls } = graph.cost;
    write!(line, ", cost {} cpu, {}", text::duration(cpu_ms), text::count(host_calls, "host call")).ok();
    if tokens > 0 {
        write!(line, ", {}", text::count(tokens, "token")).ok();
    }
    if cost_microusd > 0 {
        write!(line, ", ${:.4}", cost_microusd as f64 / 1e6).ok();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_engine::graph::report::TaskError;

    fn task(id: &str, status: NodeStatus) -> TaskReport {
        TaskReport {
            id: id.into(),
            agent: Some("worker".to_owned()),
            kind: "spawn_run",
            status,
            started_at: Some(Timestamp(1_000)),
            finished_at: Some(Timestamp(2_500)),
            attempts: 1,
            runs: RunCounts::default(),
            handle: None,
            artifacts: Vec::new(),
            errors: Vec::new(),
            errors_omitted: 0,
            reason: None,
        }
    }

    #[test]
    fn what_did_not_complete_is_shown_before_what_did() {
        let mut tasks: Vec<TaskReport> = (0..80).map(|n| task(&format!("t{n}"), NodeStatus::Completed)).collect();
        tasks[70].status = NodeStatus::Failed;
        tasks[75].status = NodeStatus::Skipped;
        let ids: Vec<&str> = shown(&tasks).iter().map(|task| &*task.id).collect();
        assert_eq!((ids.len(), &ids[47..]), (MAX_ROWS, ["t47", "t70", "t75"].as_slice()));
    }

    #[test]
    fn a_task_says_why_it_did_not_complete() {
        let mut one = task("a", NodeStatus::Failed);
        let error = |attempt| TaskError { code: "busy".into(), message: "no\nroom".into(), run_id: None, attempt };
        one.errors = vec![error(Some(1)), error(Some(2))];
        one.runs = RunCounts { total: 2_000, completed: 1_999, failed: 1, ..RunCounts::default() };
        assert_eq!(note(&one), "2,000 runs: 1,999 completed, 1 failed; busy: no\nroom");
        one.status = NodeStatus::Completed;
        one.runs.total = 1;
        one.handle = Some("pass".into());
        assert_eq!(note(&one), "→ pass", "what was mended is no reason");
        one.reason = Some("`b` failed".into());
        assert_eq!(note(&one), "`b` failed");
    }
}

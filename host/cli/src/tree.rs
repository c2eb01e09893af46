//! `pleach tree`: a run and everything below it, as it stands now.

use std::fmt::Write as _;

use clap::Args;
use pleach_engine::kernel::{Query, RunId, Timestamp};
use serde_json::Value;

use crate::exit::Exit;
use crate::narrate::short;
use crate::output::{Format, Output};
use crate::place::Place;
use crate::{amounts, select, stderr, text};

/// The fields that hold an instant.
const INSTANTS: [&str; 3] = ["created_at", "started_at", "finished_at"];

/// Show a run and everything below it.
#[derive(Args, Debug)]
pub struct Tree {
    /// The run: its id, or at least the first 8 characters of it.
    run: String,

    /// At most so many levels below the run.
    #[arg(long, value_name = "N", value_parser = amounts::whole::<u32>, allow_negative_numbers = true)]
    depth: Option<u32>,

    /// At most so many runs.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = amounts::positive, allow_negative_numbers = true)]
    nodes: u32,

    /// Leave out so many of the run's first children: the next page.
    #[arg(long, value_name = "N", default_value = "0", value_parser = amounts::whole::<u32>, allow_negative_numbers = true)]
    skip: u32,

    /// How the tree is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

impl Tree {
    pub async fn execute(self, place: &Place) -> anyhow::Result<Exit> {
        let host = place.look().await?;
        let id = select::run(&host, &self.run).await?;
        let query =
            Query { run_id: Some(id), max_depth: self.depth, max_nodes: Some(self.nodes), skip_children: self.skip };
        let run = host.run(id).await?;
        let abandoned = run.is_abandoned().await?;
        let mut json = serde_json::to_value(run.tree(query).await?)?;
        json["abandoned"] = abandoned.into();
        let mut output = Output::stdout();
        match self.format {
            Format::Text => {
                output.line(&picture(&json["tree"], abandoned))?;
                if abandoned {
                    stderr::line(&abandoned_note(id));
                }
            }
            Format::Json | Format::Ndjson => {
                write_instants(&mut json["tree"]);
                match self.format {
                    Format::Json => output.json(&json)?,
                    Format::Ndjson | Format::Text => output.json_line(&json)?,
                }
            }
        }
        Ok(Exit::Completed)
    }
}

/// Says that a tree stands still because its host is gone.
pub fn abandoned_note(run: RunId) -> String {
    let root = run.root;
    format!(
        "note: the host that ran this is gone, so nothing of it runs any more; `pleach resume {root}` goes on with it, \
         `pleach cancel {run}` ends it for good"
    )
}

/// Turns the instants of a node and of those below it into text. What a guest
/// wrote is not touched: only the fields that the kernel names are.
fn write_instants(node: &mut Value) {
    for name in INSTANTS {
        if let Some(at) = node.get(name).and_then(Value::as_u64) {
            node[name] = text::rfc3339(Timestamp(at)).into();
        }
    }
    for child in node.get_mut("children").and_then(Value::as_array_mut).into_iter().flatten() {
        write_instants(child);
    }
}

/// The tree in lines. Where its host is gone, what has not ended stands still.
fn picture(root: &Value, abandoned: bool) -> String {
    let mut out = label(root, root["run_id"].as_str().unwrap_or_default(), abandoned);
    below(root, "", abandoned, &mut out);
    out
}

fn below(node: &Value, indent: &str, abandoned: bool, out: &mut String) {
    let children: Vec<&Value> = node["children"].as_array().into_iter().flatten().collect();
    let omitted = node["children_omitted"].as_u64().unwrap_or(0);
    for (at, child) in children.iter().enumerate() {
        let last = at + 1 == children.len() && omitted == 0;
        let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let id = short(child["run_id"].as_str().unwrap_or_default());
        write!(out, "\n{indent}{branch}{}", label(child, id, abandoned)).ok();
        below(child, &format!("{indent}{trunk}"), abandoned, out);
    }
    if omitted > 0 {
        write!(out, "\n{indent}└─ … and {} more", text::thousands(omitted)).ok();
    }
}

fn label(node: &Value, id: &str, abandoned: bool) -> String {
    let text_of = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut out = format!("{} {}  {}", text::line(text_of("plugin")), text::line(id), text_of("status"));
    // As `pleach runs` has it.
    if abandoned && node.get("finished_at").is_none_or(Value::is_null) {
        out.push_str(", host gone");
    }
    let instant = |key: &str| node.get(key).and_then(Value::as_u64).map(Timestamp);
    if let (Some(start), Some(end)) = (instant("started_at").or(instant("created_at")), instant("finished_at")) {
        write!(out, "  {}", text::duration(end.since_ms(start))).ok();
    }
    if let Some(attempt) = node["attempt"].as_u64().filter(|attempt| *attempt > 1) {
        write!(out, "  attempt {attempt}").ok();
    }
    if let Some(error) = node.get("error").filter(|error| error.is_object()) {
        let part = |key: &str| error[key].as_str().unwrap_or_default();
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        write!(out, "  {}", text::line(&text::cut(&format!("{}: {}", part("code"), first(part("message"))), 120))).ok();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    const ROOT: &str = "01938f2e-7c00-7000-8000-000000000000";

    fn sample() -> Value {
        json!({"run_id": ROOT, "plugin": "lead", "status": "running", "created_at": 1, "started_at": 2, "children": [
            {"run_id": format!("{ROOT}.1"), "plugin": "reviewer", "status": "failed", "created_at": 1,
             "started_at": 1_000, "finished_at": 2_500, "attempt": 2, "error": {"code": "trap", "message": "x\u{7}"},
             "children": [{"run_id": format!("{ROOT}.3"), "plugin": "echo", "status": "queued", "children": []}]},
            {"run_id": format!("{ROOT}.2"), "plugin": "reviewer", "status": "cancelled", "children": [],
             "created_at": 1, "finished_at": 5},
        ], "children_omitted": 1_200})
    }

    #[test]
    fn a_tree_is_drawn_with_what_was_left_out() {
        expect![[r#"
            lead 01938f2e-7c00-7000-8000-000000000000  running
            ├─ reviewer .1  failed  1.5 s  attempt 2  trap: x�
            │  └─ echo .3  queued
            ├─ reviewer .2  cancelled  4 ms
            └─ … and 1,200 more"#]]
        .assert_eq(&picture(&sample(), false));
    }

    #[test]
    fn what_has_not_ended_and_has_no_host_is_not_said_to_run() {
        expect![[r#"
            lead 01938f2e-7c00-7000-8000-000000000000  running, host gone
            ├─ reviewer .1  failed  1.5 s  attempt 2  trap: x�
            │  └─ echo .3  queued, host gone
            ├─ reviewer .2  cancelled  4 ms
            └─ … and 1,200 more"#]]
        .assert_eq(&picture(&sample(), true));
    }

    #[test]
    fn instants_are_text_in_json() {
        let mut tree = sample();
        write_instants(&mut tree);
        assert_eq!(tree["started_at"], "1970-01-01T00:00:00.002Z");
        assert_eq!(tree["children"][0]["finished_at"], "1970-01-01T00:00:02.500Z");
    }
}

//! What came of a tree, without what may differ between two runs of it: ids,
//! times, and which of several things at once came first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::program::Desk;

/// Errors that no script asks for.
const NEVER: [&str; 6] =
    ["nondeterminism", "journal_unreadable", "journal_limit", "host_failure", "clock_went_back", "plugin_unavailable"];

#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// By the keys that lead to it, how each run ended and with what.
    pub runs: BTreeMap<String, Value>,
    /// Everything that was to happen once, with how often it did.
    pub facts: BTreeMap<String, u32>,
}

/// The outcome of a tree that has ended, and everything that is wrong with it.
pub fn of(desk: &Desk, root: &str, shown: &[Value]) -> (Outcome, Vec<String>) {
    let tree = desk.expect(0, &["tree", root, "--format", "json"]).json();
    let events = desk.expect(0, &["events", root, "--format", "ndjson"]).json_lines();
    let mut faults = Vec::new();
    for (event, seq) in events.iter().zip(1..) {
        if event["seq"] != json!(seq) {
            faults.push(format!("event {seq} is {}", event["seq"]));
        }
    }
    for event in shown.iter().filter(|event| event["root_run_id"] == root) {
        let there = event["seq"].as_u64().and_then(|seq| events.get(usize::try_from(seq).ok()?.checked_sub(1)?));
        if there != Some(event) {
            faults.push(format!("{event} was shown and {there:?} is on disk"));
        }
    }
    let mut reading = Reading { root, paths: BTreeMap::new(), nodes: BTreeMap::new(), faults };
    reading.place(&tree["tree"], String::new());
    let outcome = reading.read(&events);
    (outcome, reading.faults)
}

struct Reading<'a> {
    root: &'a str,
    /// By id.
    paths: BTreeMap<String, String>,
    nodes: BTreeMap<String, &'a Value>,
    faults: Vec<String>,
}

impl<'a> Reading<'a> {
    fn place(&mut self, node: &'a Value, path: String) {
        let mut taken = BTreeSet::new();
        for child in node["children"].as_array().into_iter().flatten() {
            let path = format!("{path}/{}", text(child, "spawn_key"));
            if !taken.insert(path.clone()) {
                self.faults.push(format!("{path} was spawned twice"));
            }
            self.place(child, path);
        }
        self.paths.insert(text(node, "run_id"), path);
        self.nodes.insert(text(node, "run_id"), node);
    }

    fn read(&mut self, events: &[Value]) -> Outcome {
        let mut facts = BTreeMap::new();
        let mut ends: BTreeMap<String, Value> = BTreeMap::new();
        let mut spent: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for event in events {
            let (name, data) = (text(event, "event"), &event["data"]);
            let asker = self.plain(&event["run_id"]);
            let fact = match name.trim_start_matches("orchestration.") {
                "child_lifecycle" => {
                    let run = text(data, "child_run_id");
                    let sum = spent.entry(run.clone()).or_default();
                    for (amount, used) in data["usage"].as_object().into_iter().flatten() {
                        *sum.entry(amount.clone()).or_default() += used.as_u64().unwrap_or(0);
                    }
                    if let Some(code) = data["error"]["code"].as_str().filter(|code| NEVER.contains(code)) {
                        self.faults.push(format!("{run}: {code}: {}", data["error"]["message"]));
                    }
                    if !matches!(data["status"].as_str(), Some("completed" | "failed" | "cancelled" | "timed_out")) {
                        continue;
                    }
                    let end = json!([data["status"], data["error"]["code"], self.plain(&data["output"])]);
                    ends.insert(run.clone(), end);
                    format!("{} ended", self.paths[&run])
                }
                "spawn_decision" => format!("{asker} spawned {}", self.plain(&data["spawned_run_ids"])),
                "join_decision" => format!("{asker} joined {} {}", data["mode"], data["status"]),
                "progress" => format!("{asker} reported {}", data["message"]),
                "policy_deny" => format!("{asker} denied {}", data["code"]),
                "cancellation_propagation" => {
                    format!("{asker} cancelled {}: {}", self.plain(&data["cancelled_run_ids"]), data["reason"])
                }
                "closing" => continue,
                other => format!("{asker} {other}"),
            };
            *facts.entry(fact).or_default() += 1;
        }
        let runs = self.nodes.iter().map(|(id, node)| {
            let end = ends.get(id).cloned().unwrap_or_default();
            (self.paths[id].clone(), json!([node["status"], node["attempt"], end]))
        });
        let runs = runs.collect();
        for (id, node) in &self.nodes {
            let told: BTreeMap<String, u64> = spent.remove(id).unwrap_or_default();
            let shown = node["usage"].as_object().into_iter().flatten();
            let shown: BTreeMap<String, u64> =
                shown.map(|(amount, used)| (amount.clone(), used.as_u64().unwrap_or(0))).collect();
            if told != shown {
                self.faults.push(format!("{id} spent {told:?} by its events, and {shown:?} in the tree"));
            }
        }
        Outcome { runs, facts }
    }

    /// A value in which runs are the keys that lead to them.
    fn plain(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => match (self.paths.get(text), text.strip_prefix(self.root)) {
                (Some(path), _) => path.as_str().into(),
                (None, Some(_)) => "a group".into(),
                (None, None) => value.clone(),
            },
            Value::Array(items) => items.iter().map(|item| self.plain(item)).collect(),
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(name, _)| *name != "decided_at_seq");
                Value::Object(kept.map(|(name, field)| (name.clone(), self.plain(field))).collect())
            }
            plain => plain.clone(),
        }
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

//! One event, told as a line for people.
//!
//! Which events there are, and what their data says, is fixed by the event log;
//! this file only finds words, and has some for an event that it does not know.

use pleach_engine::EventRecord;
use pleach_engine::kernel::{Payload, RunId, Surface, Tenant, Timestamp, Visibility};
use serde::Serialize;
use serde_json::Value;

use crate::text;

/// The most characters of a message that a line shows.
const MESSAGE: usize = 200;

/// An event as it is shown and written.
#[derive(Clone, Debug)]
pub struct Shown {
    pub seq: u64,
    pub at: Timestamp,
    /// The run that it happened to or that asked, as text.
    pub run_id: String,
    /// The node of a graph that it is about or that asked.
    pub node_id: Option<String>,
    /// Without `orchestration.`, which all of them have.
    pub event: String,
    pub data: Value,
}

impl Shown {
    pub fn of(record: &EventRecord) -> Self {
        Self {
            seq: record.seq,
            at: record.at,
            run_id: record.run_id.to_string(),
            node_id: record.node_id.as_deref().map(str::to_owned),
            event: record.event.trim_start_matches("orchestration.").to_owned(),
            data: serde_json::from_str(record.data.as_str()).unwrap_or_default(),
        }
    }

    /// A text in the data; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.data.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The texts of a list in the data.
    pub fn texts(&self, key: &str) -> Vec<&str> {
        let list = self.data.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// How many entries a list in the data has.
    fn len(&self, key: &str) -> u64 {
        self.data.get(key).and_then(Value::as_array).map_or(0, |list| list.len() as u64)
    }

    /// Whether it is about `run`, or answers a call of it; for the root, all is.
    pub fn concerns(&self, run: RunId) -> bool {
        let id = run.to_string();
        run.index == 0 || self.run_id == id || self.text("child_run_id") == id
    }

    /// The number, the time, the run, and what happened.
    pub fn line(&self) -> String {
        let told = self.told();
        format!("{:>6}  {}  {:<6} {told}", self.seq, text::time(self.at), short(&self.run_id))
    }

    /// What happened, in words.
    pub fn told(&self) -> String {
        let told = match self.event.as_str() {
            "spawn_decision" => self.spawn(),
            "child_lifecycle" => self.lifecycle(),
            "join_decision" => self.join(),
            "policy_deny" => {
                format!("denied {} ({}): {}", self.text("action"), self.text("code"), self.text("message"))
            }
            "cancellation_propagation" => {
                let runs = text::count(self.len("cancelled_run_ids"), "run");
                format!("cancelled {runs}: {}", self.text("reason"))
            }
            "progress" => self.progress(),
            "route_decision" => self.verdict("routed to", "route"),
            "judge_verdict" => self.verdict("judged", "outcome"),
            "replan_decision" => self.replan(),
            "node_failure" => {
                let node = self.node_id.as_deref().unwrap_or_default();
                format!("node {node} failed: {}", self.error().unwrap_or_default())
            }
            "node_completion" => format!("node {} completed", self.node_id.as_deref().unwrap_or_default()),
            _ => format!("{} {}", self.event, self.data),
        };
        text::cut(&text::line(&told), MESSAGE).into_owned()
    }

    fn spawn(&self) -> String {
        let mut targets = self.texts("target");
        targets.dedup();
        let target = targets.join(", ");
        let again = if self.data["idempotent"] == true { " (again)" } else { "" };
        match self.len("spawned_run_ids") {
            0 | 1 => format!("spawned {target}{again}"),
            count => format!("spawned {} × {target}{again}", text::thousands(count)),
        }
    }

    fn lifecycle(&self) -> String {
        let child = short(self.text("child_run_id"));
        let late = self.data["late"].as_str().map(|status| format!(" (a late result was dropped: {status})"));
        let late = late.unwrap_or_default();
        let attempt = match self.data["attempt"].as_u64() {
            Some(attempt) if attempt > 1 => format!(" (attempt {attempt})"),
            _ => String::new(),
        };
        let error = self.error().map(|error| format!(": {error}")).unwrap_or_default();
        format!("{child} {}{attempt}{error}{late}", self.text("status"))
    }

    /// The error in the data, as `code: message`, without what follows its first
    /// line, such as a backtrace.
    pub fn error(&self) -> Option<String> {
        let error = self.data.get("error").filter(|error| !error.is_null())?;
        let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        Some(format!("{}: {}", part("code"), part("message").lines().next().unwrap_or_default()))
    }

    fn join(&self) -> String {
        let count = |key: &str| self.data["counts"][key].as_u64().unwrap_or(0);
        format!(
            "joined {} ({}): {}; {} completed, {} failed, {} cancelled, {} running",
            short(self.text("group_id")),
            self.text("mode"),
            self.text("status"),
            count("success"),
            count("failure"),
            count("cancelled"),
            count("running"),
        )
    }

    /// What a judge or a router has said, and which: a node, or a run of a plugin.
    fn verdict(&self, verb: &str, field: &str) -> String {
        let by = self.node_id.as_deref().unwrap_or_else(|| short(self.text("run_id")));
        let answer = &self.data["answer"];
        let why = answer["rationale"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        match (answer[field].as_str(), self.error()) {
            (Some(said), _) => format!("{by} {verb} {said}{why}"),
            (None, Some(error)) => format!("{by} gave no answer: {error}"),
            (None, None) => format!("{by} {verb} {answer}"),
        }
    }

    fn replan(&self) -> String {
        let failed = self.len("failed_run_ids") + self.len("failed_node_ids");
        let why = match self.text("reason") {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        let plan = self.data["plan"]["rationale"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let (used, most) = (&self.data["replans_used"], &self.data["max_replans"]);
        format!("replan: {failed} failed, {}{why}, {used} of {most} used{plan}", self.text("suggested_action"))
    }

    fn progress(&self) -> String {
        let percent = self.data["fraction"].as_f64().map(|part| format!("{:>3.0} % ", part.clamp(0.0, 1.0) * 100.0));
        format!("{}{}", percent.unwrap_or_default(), self.text("message"))
    }
}

/// An event as it is written in JSON: as it is in the log, with the time as text.
#[derive(Serialize)]
pub struct Written<'a> {
    seq: u64,
    at: String,
    tenant: &'a Tenant,
    root_run_id: RunId,
    run_id: RunId,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<&'a str>,
    event: &'a str,
    surface: Surface,
    visibility: Visibility,
    data: &'a Payload,
}

impl<'a> Written<'a> {
    pub fn of(record: &'a EventRecord) -> Self {
        Self {
            seq: record.seq,
            at: text::rfc3339(record.at),
            tenant: &record.tenant,
            root_run_id: record.root_run_id,
            run_id: record.run_id,
            node_id: record.node_id.as_deref(),
            event: &record.event,
            surface: record.surface,
            visibility: record.visibility,
            data: &record.data,
        }
    }
}

/// A run or group within its tree: `.3`, `.g0`; the root is `root`.
pub fn short(id: &str) -> &str {
    match id.find('.') {
        Some(dot) => &id[dot..],
        None if id.is_empty() => "",
        None => "root",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    const ROOT: &str = "01938f2e-7c00-7000-8000-000000000000";

    fn check(name: &str, data: Value, told: Expect) {
        let run_id = format!("{ROOT}.2");
        let node_id = Some("draft".to_owned());
        let event = Shown { seq: 7, at: Timestamp(1_700_000_000_001), run_id, node_id, event: name.into(), data };
        told.assert_eq(&event.line());
    }

    #[test]
    fn an_event_is_told_in_a_line() {
        let child = format!("{ROOT}.3");
        check(
            "spawn_decision",
            json!({"target": ["reviewer", "reviewer"], "spawned_run_ids": [child, "x"], "idempotent": false}),
            expect!["     7  22:13:20.001  .2     spawned 2 × reviewer"],
        );
        check(
            "child_lifecycle",
            json!({"child_run_id": child, "status": "failed", "attempt": 2, "error": {"code": "trap", "message": "m"}}),
            expect!["     7  22:13:20.001  .2     .3 failed (attempt 2): trap: m"],
        );
        check(
            "join_decision",
            json!({"group_id": format!("{ROOT}.g0"), "mode": "quorum", "status": "completed", "counts":
                {"success": 2, "failure": 0, "cancelled": 1, "running": 0}}),
            expect![
                "     7  22:13:20.001  .2     joined .g0 (quorum): completed; 2 completed, 0 failed, 1 cancelled, 0 running"
            ],
        );
        check(
            "policy_deny",
            json!({"action": "spawn_run", "code": "max_depth", "message": "too deep"}),
            expect!["     7  22:13:20.001  .2     denied spawn_run (max_depth): too deep"],
        );
        check(
            "progress",
            json!({"message": "half\u{1b}[31m way", "fraction": 0.5}),
            expect!["     7  22:13:20.001  .2      50 % half�[31m way"],
        );
        check(
            "route_decision",
            json!({"run_id": child, "answer": {"route": "quick", "rationale": "`input.n` is 1"}}),
            expect!["     7  22:13:20.001  .2     draft routed to quick: `input.n` is 1"],
        );
        check(
            "judge_verdict",
            json!({"run_id": child, "error": {"code": "trap", "message": "m"}}),
            expect!["     7  22:13:20.001  .2     draft gave no answer: trap: m"],
        );
        check(
            "replan_decision",
            json!({"run_id": child, "suggested_action": "replan", "failed_run_ids": ["x"], "failed_node_ids": ["draft"],
                "replans_used": 1, "max_replans": 3, "plan": {"rationale": "once more", "steps": []}}),
            expect!["     7  22:13:20.001  .2     replan: 2 failed, replan, 1 of 3 used: once more"],
        );
        check(
            "replan_decision",
            json!({"run_id": child, "suggested_action": "continue", "failed_run_ids": ["x"], "replans_used": 3,
                "max_replans": 3, "reason": "max_replans"}),
            expect!["     7  22:13:20.001  .2     replan: 1 failed, continue (max_replans), 3 of 3 used"],
        );
        check(
            "node_failure",
            json!({"error": {"code": "output_schema", "message": "m"}}),
            expect!["     7  22:13:20.001  .2     node draft failed: output_schema: m"],
        );
        check("node_completion", json!({}), expect!["     7  22:13:20.001  .2     node draft completed"]);
        check("from_later", json!({"a": 1}), expect![[r#"     7  22:13:20.001  .2     from_later {"a":1}"#]]);
    }
}

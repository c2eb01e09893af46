//! What is killed: one tree of scripts that does a little of everything, and
//! whose outcome is the same however it is timed. Whatever loses a race sleeps
//! for much longer than a test takes.

use serde_json::{Value, json};

use crate::program::{Desk, component, guest};

/// Longer than any of it takes, with all its hosts killed.
const LONG_MS: u64 = 3_600_000;

/// Publishes what the tree consists of, and puts down what it reads.
pub fn prepare(desk: &Desk) {
    let replanner = component("plugins/retry-replanner/retry-replanner.wasm");
    desk.expect(0, &["plugin", "publish", &guest("script"), &guest("flaky"), &guest("fan-out"), &replanner]);
    let policy = json!({
        "targets": ["script", "flaky", "fan-out", "retry-replanner"],
        "scopes": ["spawn:*", "run.cancel:*", "fs.read:docs/*"],
        "limits": {"max_depth": 6, "max_fanout": 100, "max_children_total": 100, "join_timeout_ms": LONG_MS},
        "budget": {"host_calls": 100_000},
    });
    desk.file("policy.json", &policy.to_string());
    desk.file("docs/a.txt", "alpha");
    desk.file("docs/b/c.txt", "gamma");
    desk.file("input.json", &root().to_string());
}

/// The arguments that start it.
pub const RUN: [&str; 16] = [
    "run",
    "--no-circuit-breaker",
    "script",
    "--input",
    "@input.json",
    "--policy",
    "policy.json",
    "--root",
    "docs=docs",
    "--grant",
    "spawn:*",
    "--grant",
    "run.cancel:*",
    "--grant",
    "fs.read:docs/*",
    "--quiet",
];

/// The arguments that go on with it.
pub const RESUME: [&str; 5] = ["resume", "--no-circuit-breaker", "--root", "docs=docs", "--quiet"];

fn root() -> Value {
    let nested = json!([
        {"op": "progress", "message": "about to call"},
        {"op": "call", "target": "script", "scopes": reads(), "input": [
            {"op": "call", "target": "script", "scopes": reads(), "input": [
                {"op": "read", "path": "docs/b/c.txt"}, {"op": "sleep", "ms": 15},
            ]},
            {"op": "read", "path": "docs/a.txt"},
        ]},
        {"op": "list", "path": "docs/b"},
    ]);
    // A script cannot name what an inner script was answered, so it is this one
    // that joins below the root.
    let joins = json!({"target": "script", "count": 3, "mode": "all", "key_prefix": "inner",
        "input": working(10)["input"], "timeout_ms": LONG_MS});
    let flaky = json!({"target": "flaky", "input": {"succeed_at": 3}, "retry": retry(4)});
    let hopeless = json!({"target": "flaky", "input": {"succeed_at": 9}, "retry": retry(2)});
    json!([
        {"op": "progress", "message": "begun"},
        {"op": "group", "key_prefix": "all", "join": {"mode": "best_effort"}, "members": [
            {"target": "script", "input": nested, "scopes": reads()},
            working(20), failing(5), flaky, hopeless,
            {"target": "fan-out", "input": joins, "scopes": reads()},
        ]},
        {"op": "group", "key_prefix": "quorum", "join": {"mode": "quorum", "quorum": 2}, "members": [
            working(10), long(), working(25), long(),
        ]},
        // One that fails first would not do: where both sleeps are over when the next
        // host begins, either may end first.
        {"op": "group", "key_prefix": "first", "join": {"mode": "first_success"}, "members": [
            long(), working(30), long(),
        ]},
        {"op": "group", "key_prefix": "fast", "join": {"mode": "fail_fast"}, "members": [
            long(), failing(30), long(),
        ]},
        {"op": "spawn", "spawn_key": "victim", "target": "script", "input": long()["input"]},
        {"op": "spawn", "target": "echo", "input": 1},
        {"op": "sleep", "ms": 30},
        {"op": "cancel", "run_id": "$5.run_id", "reason": "enough"},
        {"op": "cancel", "run_id": "$5.run_id", "reason": "again"},
        {"op": "progress", "message": "half", "fraction": 0.5},
        {"op": "join", "group": "$1.group_id"},
        {"op": "join", "group": "$2.group_id"},
        {"op": "join", "group": "$3.group_id"},
        {"op": "join", "group": "$4.group_id"},
        {"op": "evaluate", "replanner": "retry-replanner", "config": {"max_rounds": 1}},
        {"op": "join", "group": "$15.plan.group_id"},
        {"op": "list", "path": "docs"},
        {"op": "stat", "path": "docs/a.txt"},
        {"op": "read", "path": "docs/a.txt"},
        {"op": "read", "path": "docs/none.txt"},
        {"op": "query"},
        {"op": "remaining_budget"},
        {"op": "now"},
        {"op": "join", "group": "$1.group_id"},
        {"op": "progress", "message": "done", "fraction": 1.0},
        {"op": "return", "value": {
            "denied": "$6.denied.code", "victim": "$5.run_id", "cancelled": "$8.cancelled_run_ids",
            "cancelled_again": "$9.cancelled_count", "best_effort": "$11", "quorum": "$12", "first_success": "$13",
            "fail_fast": "$14", "failed": "$15.failed_children", "plan": "$15.plan", "retried": "$16", "files": "$17",
            "read": "$19.text", "none": "$20.failed.code", "again": "$24",
        }},
    ])
}

fn all() -> Value {
    json!(["spawn:*", "fs.read:docs/*"])
}

/// What a run holds that spawns another, and that reads.
fn reads() -> Value {
    json!({"can_use": all(), "can_delegate": all()})
}

fn retry(tries: u32) -> Value {
    json!({"max_attempts": tries, "backoff": "fixed", "initial_ms": 10, "max_ms": 10, "jitter": 0.0})
}

fn working(ms: u64) -> Value {
    let steps = json!([
        {"op": "sleep", "ms": ms},
        {"op": "progress", "message": "slept"},
        {"op": "sleep", "ms": 5},
        {"op": "return", "value": ms},
    ]);
    json!({"target": "script", "input": steps})
}

fn failing(ms: u64) -> Value {
    let steps = json!([
        {"op": "sleep", "ms": ms},
        {"op": "fail", "code": "planned", "message": "as planned", "retryable": true},
    ]);
    json!({"target": "script", "input": steps})
}

fn long() -> Value {
    json!({"target": "script", "input": [{"op": "sleep", "ms": LONG_MS}]})
}

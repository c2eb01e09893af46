//! Orchestration: what a guest asks reaches the kernel whole, and so do the
//! answers the guest.

use std::sync::{Arc, Mutex};

use pleach_kernel::{
    Budget, Cancelled, ChildCounts, Code, Denial, Evaluation, FailedChild, GroupId, JoinMode, JoinResult, JoinStatus,
    Limits, MemberOutcome, Payload, PolicySnapshot, RootId, RunError, RunId, RunStatus, Spawned, SpawnedGroup,
    SuggestedAction,
};
use pleach_sandbox::{Call, CallError, FailureCode, GuestLimits};
use serde_json::{Value, json};

use crate::fake::{Fake, component, grant, job, lineage, load, output, sandbox};

const CHILD: RunId = RunId { root: RootId(7), index: 1 };
const GROUP: GroupId = GroupId { root: RootId(7), index: 0 };

fn spawned(run_id: RunId) -> Spawned {
    let policy_snapshot = PolicySnapshot { policy_version: 3, limits: Limits::SEED };
    Spawned {
        run_id,
        idempotent: false,
        lineage: lineage(run_id),
        effective_scopes: grant(&["fs.read:a/*"]),
        policy_snapshot,
    }
}

fn outcome() -> MemberOutcome {
    let error = RunError { retryable: true, details: Some(Payload::null()), ..RunError::new("odd", "why") };
    MemberOutcome { ordinal: 0, run_id: CHILD, status: RunStatus::Failed, output: None, error: Some(error) }
}

fn joined() -> JoinResult {
    JoinResult {
        group_id: GROUP,
        mode: JoinMode::Quorum,
        status: JoinStatus::CompletedWithErrors,
        complete: true,
        outputs: vec![outcome()],
        success_count: 1,
        failure_count: 2,
        cancelled_count: 3,
        running_count: 4,
        reason: "all_ended".into(),
        decided_at_seq: 9,
    }
}

fn evaluation() -> Evaluation {
    let failed = FailedChild {
        run_id: CHILD,
        target: "t".into(),
        spawn_key: Some("k".into()),
        status: RunStatus::TimedOut,
        error: None,
    };
    Evaluation {
        needs_replan: true,
        suggested_action: SuggestedAction::Replan,
        failed_children: vec![failed],
        counts: ChildCounts { total: 5, completed: 4, failed: 3, cancelled: 2, running: 1 },
        replans_used: 1,
        max_replans: 3,
        reason: None,
        plan: None,
    }
}

/// Answers every call, and keeps how each was asked.
fn answer_all(asked: &Arc<Mutex<Vec<String>>>) -> impl Fn(RunId, Call) + Send + Sync + 'static {
    let asked = asked.clone();
    move |_, call| {
        let ask = |text: String| asked.lock().unwrap().push(text);
        match call {
            Call::SpawnRun { request, site, reply } => {
                ask(format!("spawn {} {} {}", request.target, request.input.as_str(), site.keyless));
                reply.send(Ok(spawned(CHILD))).unwrap();
            }
            Call::SpawnGroup { members, key_prefix, join, site, reply } => {
                ask(format!("group {} {key_prefix:?} {:?} {}", members.len(), join.mode, site.keyless));
                let members = members.iter().map(|_| spawned(CHILD)).collect();
                let group = SpawnedGroup { group_id: GROUP, idempotent: true, members, warnings: vec!["w".into()] };
                reply.send(Ok(group)).unwrap();
            }
            Call::Join { group, reply, .. } => {
                ask(format!("join {group}"));
                reply.send(Ok(joined())).unwrap();
            }
            Call::Cancel { request, reply, .. } => {
                ask(format!("cancel {} {} {}", request.run_id, request.include_root, request.reason));
                let found = Cancelled {
                    run_id: CHILD,
                    cancelled_count: 1,
                    cancelled_run_ids: vec![CHILD],
                    scanned_count: 2,
                    include_root: true,
                    reason: "r".into(),
                };
                reply.send(Ok(found)).unwrap();
            }
            Call::Evaluate { run_id, replanner, config, reply, .. } => {
                ask(format!("evaluate {} {replanner:?} {}", run_id.is_none(), config.is_none()));
                reply.send(Ok(evaluation())).unwrap();
            }
            Call::Query { query, reply, .. } => {
                ask(format!("query {:?} {}", query.max_nodes, query.skip_children));
                reply.send(Ok(Payload::parse("{\"tree\":{}}".into()).unwrap())).unwrap();
            }
            Call::AgentCall { request, site, reply } => {
                ask(format!("call {} {:?} {}", request.target, request.timeout_ms, site.keyless));
                reply.send(Ok(outcome())).unwrap();
            }
            Call::RemainingBudget { reply, .. } => {
                ask("remaining".into());
                reply.send(Ok(Budget { tokens: Some(5), ..Budget::default() })).unwrap();
            }
            other => panic!("{other:?} is not asked here"),
        }
    }
}

/// What the script guest answers under a kernel that answers everything, and
/// what that kernel was asked.
pub async fn script(steps: Value) -> (Vec<Value>, Vec<String>, Vec<Call>) {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    let asked = Arc::default();
    let (fake, mut finishes) = Fake::new(answer_all(&asked));
    sandbox.start(&plugin, job(&sandbox, &steps, |_| {}), fake.clone());
    let Value::Array(answers) = output(finishes.next().await.outcome) else { panic!("a list") };
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    (answers, asked, fake.told())
}

#[tokio::test]
async fn every_primitive_reaches_the_kernel_and_its_answer_the_guest() {
    let (answers, asked, _) = script(json!([
        {"op": "spawn", "target": "a@^1", "input": {"x": 1}},
        {"op": "group", "members": [{"target": "b"}, {"target": "c"}], "join": {"mode": "fail_fast"}},
        {"op": "join", "group": "$1.group_id"},
        {"op": "cancel", "run_id": "$0.run_id", "include_root": false, "reason": "enough"},
        {"op": "evaluate"},
        {"op": "query", "max_nodes": 10, "skip_children": 2},
        {"op": "call", "target": "d"},
        {"op": "remaining_budget"},
    ]))
    .await;
    assert_eq!(
        asked,
        [
            "spawn a@^1 {\"x\":1} 0",
            "group 2 None FailFast 1",
            &format!("join {GROUP}"),
            &format!("cancel {CHILD} false enough"),
            "evaluate true None true",
            "query Some(10) 2",
            "call d Some(60000) 2",
            "remaining",
        ]
    );
    let ok = |at: usize| &answers[at]["ok"];
    assert_eq!(ok(0)["run_id"], json!(CHILD.to_string()));
    assert_eq!(ok(0)["policy_snapshot"]["max_fanout"], json!(8));
    assert_eq!(ok(0)["effective_scopes"]["can_use"], json!(["fs.read:a/*"]));
    assert_eq!((&ok(1)["idempotent"], &ok(1)["warnings"]), (&json!(true), &json!(["w"])));
    assert_eq!(ok(2)["status"], json!("completed_with_errors"));
    assert_eq!((&ok(2)["running_count"], &ok(2)["decided_at_seq"]), (&json!(4), &json!(9)));
    assert_eq!(ok(2)["outputs"][0]["error"]["code"], json!("odd"));
    assert_eq!(ok(3)["cancelled_run_ids"], json!([CHILD.to_string()]));
    assert_eq!(ok(4)["suggested_action"], json!("replan"));
    assert_eq!(ok(4)["failed_children"][0]["status"], json!("timed_out"));
    assert_eq!(ok(4)["counts"], json!({"total": 5, "completed": 4, "failed": 3, "cancelled": 2, "running": 1}));
    assert_eq!(ok(6)["status"], json!("failed"));
    assert_eq!(ok(7)["tokens"], json!(5));
}

#[tokio::test]
async fn spawns_with_a_key_of_their_own_are_not_counted() {
    let (_, asked, _) = script(json!([
        {"op": "spawn", "target": "a", "spawn_key": "k"},
        {"op": "spawn", "target": "b"},
        {"op": "group", "members": [], "key_prefix": "g"},
        {"op": "call", "target": "c"},
        {"op": "spawn", "target": "d"},
    ]))
    .await;
    assert_eq!(
        asked,
        [
            "spawn a null 0",
            "spawn b null 0",
            "group 0 Some(\"g\") BestEffort 1",
            "call c Some(60000) 1",
            "spawn d null 2"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_an_id_or_a_scope_is_denied_and_logged() {
    let (answers, asked, told) = script(json!([
        {"op": "join", "group": "nope"},
        {"op": "cancel", "run_id": "nope"},
        {"op": "query", "run_id": "nope"},
        {"op": "evaluate", "run_id": "nope"},
        {"op": "spawn", "target": "a", "scopes": {"can_use": ["fs.read:../x"], "can_delegate": []}},
    ]))
    .await;
    assert_eq!(asked, [""; 0]);
    let expected = ["group_not_found", "run_not_found", "run_not_found", "run_not_found", "scope_invalid"];
    let codes: Vec<&str> = answers.iter().map(|a| a["error"]["denied"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, expected);
    assert_eq!(answers[0]["error"]["denied"]["policy_version"], json!(3));
    let logged: Vec<_> = told
        .into_iter()
        .map(|call| match call {
            Call::Deny { denial } => (denial.code.as_str(), denial.caller_run_id.unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(logged, expected.map(|code| (code, RootId(7).run())));
}

#[tokio::test]
async fn what_is_too_long_fails_the_call_and_not_the_run() {
    let (answers, asked, _) = script(json!([
        {"op": "spawn", "target": "x".repeat(2_000)},
        {"op": "spawn", "target": "a", "spawn_key": "x".repeat(2_000)},
        {"op": "cancel", "run_id": CHILD.to_string(), "reason": "x".repeat(2_000)},
        {"op": "spawn", "target": "a"},
    ]))
    .await;
    for answer in &answers[..3] {
        assert_eq!(answer["error"]["failed"]["code"], json!("invalid_argument"), "{answer}");
    }
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn refusals_and_failures_of_the_kernel_reach_the_guest_apart() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    let (fake, mut finishes) = Fake::new(|_, call| match call {
        Call::SpawnRun { reply, .. } => {
            let mut denial = Denial::new(Code::MaxFanout, "spawn_run", "too many").of_target(&"a".into());
            denial.limit = Some(8);
            reply.send(Err(CallError::Denied(denial.into()))).unwrap();
        }
        Call::Join { reply, .. } => {
            let failed = CallError::Failed { code: FailureCode::Io, message: "disk".into(), retryable: true };
            reply.send(Err(failed)).unwrap();
        }
        // Nobody answers this one.
        other => drop(other),
    });
    let steps = json!([
        {"op": "spawn", "target": "a"}, {"op": "join", "group": GROUP.to_string()}, {"op": "query"}
    ]);
    sandbox.start(&plugin, job(&sandbox, &steps, |_| {}), fake.clone());
    let answers = output(finishes.next().await.outcome);
    let denied = &answers[0]["error"]["denied"];
    assert_eq!((&denied["code"], &denied["limit"], &denied["target"]), (&json!("max_fanout"), &json!(8), &json!("a")));
    let failed = json!({"code": "io", "message": "disk", "retryable": true});
    assert_eq!(answers[1]["error"]["failed"], failed);
    assert_eq!(answers[2]["error"]["failed"]["code"], json!("host_failure"));
    assert!(fake.told().is_empty(), "the kernel has its own denials in the log already");
}

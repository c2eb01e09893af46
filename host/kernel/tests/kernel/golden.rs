//! Golden texts: the stored form of every event and of every step of a life.
//!
//! A difference here is a change of what is on disk: add a field with a default,
//! and never rename one or take one away.

use std::sync::Arc;

use expect_test::{Expect, expect};
use pleach_kernel::*;

use crate::scene::*;

/// The text of an event is this one, and is read back as the same event.
fn check(fact: Fact, expected: Expect) {
    let event =
        Event { seq: 7, at: Timestamp(START), run_id: id(0), node_id: None, call: None, surface: Surface::Guest, fact };
    let text = serde_json::to_string(&event).unwrap();
    let read: Event = serde_json::from_str(&text).unwrap();
    assert_eq!(read, event);
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    // What is said begins on a line of its own, for whoever reads this.
    expected.assert_eq(&text.replacen(r#","data":{"#, ",\n\"data\":{", 1));
}

fn life(status: Step) -> ChildLifecycle {
    ChildLifecycle {
        child_run_id: id(1),
        status,
        group_id: None,
        attempt: 1,
        usage: None,
        output: None,
        error: None,
        reason: None,
        not_before: None,
        fate: None,
        guest_stopped: false,
        late: None,
        plugin: None,
        falls_back_to: None,
    }
}

fn error() -> RunError {
    RunError { code: "flaky".into(), message: "try again".into(), retryable: true, details: Some(json("[1]")) }
}

fn usage() -> Usage {
    Usage { tokens: 1, cost_microusd: 2, wall_ms: 3, cpu_us: 4, host_calls: 5 }
}

fn check_step(life: ChildLifecycle, expected: Expect) {
    check(Fact::ChildLifecycle(Box::new(life)), expected);
}

#[test]
fn every_step_of_a_life() {
    check_step(
        life(Step::Queued),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"queued","attempt":1}}"#]],
    );
    check_step(
        ChildLifecycle { group_id: Some(group_id(2)), ..life(Step::Started) },
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"started","group_id":"00000000-0000-feed-0000-000000000000.g2","attempt":1}}"#]],
    );
    check_step(
        life(Step::Paused),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"paused","attempt":1}}"#]],
    );
    check_step(
        life(Step::Resumed),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"resumed","attempt":1}}"#]],
    );
    let retrying = ChildLifecycle {
        usage: Some(usage()),
        error: Some(error()),
        not_before: Some(Timestamp(START + 5)),
        ..life(Step::Retrying)
    };
    check_step(
        retrying,
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"retrying","attempt":1,"usage":{"tokens":1,"cost_microusd":2,"wall_ms":3,"cpu_us":4,"host_calls":5},"error":{"code":"flaky","message":"try again","retryable":true,"details":[1]},"not_before":1000005}}"#]],
    );
    let closing = ChildLifecycle {
        output: Some(json(r#"{"a": 1}"#)),
        fate: Some(RunStatus::Completed),
        guest_stopped: true,
        ..life(Step::Closing)
    };
    check_step(
        closing,
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"internal",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"closing","attempt":1,"output":{"a": 1},"fate":"completed","guest_stopped":true}}"#]],
    );
    check_step(
        ChildLifecycle { output: Some(json("1")), usage: Some(usage()), ..life(Step::Completed) },
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"completed","attempt":1,"usage":{"tokens":1,"cost_microusd":2,"wall_ms":3,"cpu_us":4,"host_calls":5},"output":1}}"#]],
    );
    check_step(
        ChildLifecycle { error: Some(RunError::new("broken", "it broke")), ..life(Step::Failed) },
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"failed","attempt":1,"error":{"code":"broken","message":"it broke","retryable":false}}}"#]],
    );
    let late = Some(RunStatus::Completed);
    check_step(
        ChildLifecycle { reason: Some("enough".into()), late, ..life(Step::Cancelled) },
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"cancelled","attempt":1,"reason":"enough","late":"completed"}}"#]],
    );
    check_step(
        life(Step::TimedOut),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"timed_out","attempt":1}}"#]],
    );
}

#[test]
fn a_life_with_fallbacks() {
    let Resolution::Found(plugin) = found("b") else { panic!() };
    check_step(
        ChildLifecycle {
            error: Some(error()),
            not_before: Some(Timestamp(9)),
            falls_back_to: Some(1),
            plugin: Some(plugin),
            ..life(Step::Retrying)
        },
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client",
            "data":{"child_run_id":"00000000-0000-feed-0000-000000000000.1","status":"retrying","attempt":1,"error":{"code":"flaky","message":"try again","retryable":true,"details":[1]},"not_before":9,"plugin":{"name":"b","version":"1.0.0","digest":"sha256:00","role":"agent"},"falls_back_to":1}}"#]],
    );
}

fn spec() -> RunSpec {
    let Resolution::Found(plugin) = found("a") else { panic!() };
    let request = with(keyed("a@^1", "k"), |request| {
        request.input = json(r#"{"n": 1.0}"#);
        request.scopes = Grant::new(scopes(&["fs.read:x"]), scopes(&["llm:*"]));
        request.timeout_ms = Some(5);
        request.retry = Some(Retry {
            max_attempts: 3,
            backoff: Backoff::Exponential,
            initial_ms: 10,
            max_ms: Some(100),
            jitter: 0.1,
        });
        request.budget = Budget { tokens: Some(9), cpu_ms: Some(8), ..Budget::default() };
        request.parent_close = ParentClose::Wait;
        request.priority = Priority::Low;
    });
    let request = Arc::new(request);
    RunSpec { plugin, request, spawn_key: "k".into(), key_derived: true, limits: Limits::SEED, fallbacks: Vec::new() }
}

fn decision() -> SpawnDecision {
    SpawnDecision {
        target: vec!["a".into()],
        spawned_run_ids: vec![id(1)],
        group_id: None,
        idempotent: false,
        effective_scopes: vec![Grant::default()],
        runs: Vec::new(),
        group: None,
        agent_call: false,
        replans: None,
        tree: None,
    }
}

#[test]
fn a_spawn_decision() {
    let found_again = SpawnDecision { idempotent: true, ..decision() };
    check(
        Fact::SpawnDecision(Box::new(found_again)),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.spawn_decision","surface":"guest","visibility":"client",
            "data":{"target":["a"],"spawned_run_ids":["00000000-0000-feed-0000-000000000000.1"],"idempotent":true,"effective_scopes":[{"use":[],"delegate":[]}]}}"#]],
    );
    let group = GroupSpec {
        size: None,
        key_prefix: "g".into(),
        mode: JoinMode::Quorum,
        quorum: Some(1),
        timeout_ms: 60_000,
        warnings: vec!["mind".into()],
    };
    let spawned = SpawnDecision { runs: vec![spec()], group_id: Some(group_id(0)), group: Some(group), ..decision() };
    check(
        Fact::SpawnDecision(Box::new(spawned)),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.spawn_decision","surface":"guest","visibility":"client",
            "data":{"target":["a"],"spawned_run_ids":["00000000-0000-feed-0000-000000000000.1"],"group_id":"00000000-0000-feed-0000-000000000000.g0","idempotent":false,"effective_scopes":[{"use":[],"delegate":[]}],"runs":[{"plugin":{"name":"a","version":"1.0.0","digest":"sha256:00","role":"agent"},"request":{"target":"a@^1","input":{"n": 1.0},"spawn_key":"k","scopes":{"use":["fs.read:x"],"delegate":["llm:*"]},"timeout_ms":5,"retry":{"max_attempts":3,"backoff":"exponential","initial_ms":10,"max_ms":100,"jitter":0.1},"budget":{"tokens":9,"cpu_ms":8},"parent_close":"wait","priority":"low"},"spawn_key":"k","key_derived":true,"limits":{"max_depth":3,"max_fanout":8,"max_children_total":32,"max_concurrency":256,"join_timeout_ms":60000,"max_replans":3,"max_stalls":1}}],"group":{"key_prefix":"g","mode":"quorum","quorum":1,"timeout_ms":60000,"warnings":["mind"]}}}"#]],
    );
}

#[test]
fn a_spawn_decision_with_fallbacks_and_a_tree_where_the_shortest_goes_first() {
    let Resolution::Found(plugin) = found("b") else { panic!() };
    let request = with(child("a"), |request| request.fallbacks = vec!["b@^1".into()]);
    let run = RunSpec { request: request.into(), key_derived: false, fallbacks: vec![plugin], ..spec() };
    let (policy, budget) = (Arc::new(Policy::default()), Budget::default());
    let tree = TreeSpec { tenant: Tenant::default_tenant(), policy, budget, fairness: Fairness::ShortestFirst };
    check(
        Fact::SpawnDecision(Box::new(SpawnDecision { runs: vec![run], tree: Some(tree), ..decision() })),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.spawn_decision","surface":"guest","visibility":"client",
            "data":{"target":["a"],"spawned_run_ids":["00000000-0000-feed-0000-000000000000.1"],"idempotent":false,"effective_scopes":[{"use":[],"delegate":[]}],"runs":[{"plugin":{"name":"a","version":"1.0.0","digest":"sha256:00","role":"agent"},"request":{"target":"a","input":null,"scopes":{"use":[],"delegate":[]},"parent_close":"cancel","priority":"medium","fallbacks":["b@^1"]},"spawn_key":"k","limits":{"max_depth":3,"max_fanout":8,"max_children_total":32,"max_concurrency":256,"join_timeout_ms":60000,"max_replans":3,"max_stalls":1},"fallbacks":[{"name":"b","version":"1.0.0","digest":"sha256:00","role":"agent"}]}],"tree":{"tenant":"default","policy":{"version":0,"surfaces":{"graph":true,"guest":true,"api":true},"targets":[],"scopes":[],"limits":{"max_depth":3,"max_fanout":8,"max_children_total":32,"max_concurrency":256,"join_timeout_ms":60000,"max_replans":3,"max_stalls":1},"budget":{},"orchestrators":{},"quotas":{}},"fairness":"shortest_first"}}}"#]],
    );
}

#[test]
fn a_spawn_decision_that_opens_a_tree() {
    let mut policy = policy();
    policy.quotas.max_queued = Some(4);
    let entry = Orchestrator {
        targets: vec!["a*".into()],
        scopes: scopes(&["llm:*"]),
        limits: Tightening { max_depth: Some(1), ..Tightening::default() },
    };
    policy.orchestrators.insert("lead".into(), entry);
    let budget = Budget { wall_ms: Some(1), ..Budget::default() };
    let tree = Some(TreeSpec {
        tenant: Tenant::default_tenant(),
        policy: policy.into(),
        budget,
        fairness: Fairness::RoundRobin,
    });
    check(
        Fact::SpawnDecision(Box::new(SpawnDecision { tree, ..decision() })),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.spawn_decision","surface":"guest","visibility":"client",
            "data":{"target":["a"],"spawned_run_ids":["00000000-0000-feed-0000-000000000000.1"],"idempotent":false,"effective_scopes":[{"use":[],"delegate":[]}],"tree":{"tenant":"default","policy":{"version":3,"surfaces":{"graph":true,"guest":true,"api":true},"targets":["*"],"scopes":["fs.read:*","llm:*","run.abandon:*","run.cancel:*","secret:*","spawn:*"],"limits":{"max_depth":50,"max_fanout":10000,"max_children_total":100000,"max_concurrency":100000,"join_timeout_ms":60000,"max_replans":3,"max_stalls":1},"budget":{},"orchestrators":{"lead":{"targets":["a*"],"scopes":["llm:*"],"limits":{"max_depth":1}}},"quotas":{"max_queued":4}},"budget":{"wall_ms":1}}}}"#]],
    );
}

#[test]
fn a_join_decision() {
    let decision = JoinDecision {
        group_id: group_id(0),
        mode: JoinMode::FailFast,
        status: JoinStatus::CompletedWithErrors,
        complete: true,
        counts: JoinCounts { success: 1, failure: 2, cancelled: 3, running: 0 },
        reason: "all_ended".into(),
        trigger_run_id: Some(id(1)),
    };
    check(
        Fact::JoinDecision(decision),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.join_decision","surface":"guest","visibility":"client",
            "data":{"group_id":"00000000-0000-feed-0000-000000000000.g0","mode":"fail_fast","status":"completed_with_errors","complete":true,"counts":{"success":1,"failure":2,"cancelled":3,"running":0},"reason":"all_ended","trigger_run_id":"00000000-0000-feed-0000-000000000000.1"}}"#]],
    );
}

#[test]
fn a_policy_deny() {
    let mut denial = Denial::new(Code::MaxFanout, "spawn_run", "no more").of_target(&"a".into());
    (denial.limit, denial.requested, denial.current) = (Some(8), Some(1), Some(8));
    denial.caller_run_id = Some(id(0));
    denial.policy_version = 3;
    check(
        Fact::PolicyDeny(Box::new(denial)),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.policy_deny","surface":"guest","visibility":"client",
            "data":{"code":"max_fanout","action":"spawn_run","message":"no more","limit":8,"requested":1,"current":8,"caller_run_id":"00000000-0000-feed-0000-000000000000","target":"a","policy_version":3,"retryable":false}}"#]],
    );
}

#[test]
fn a_cancellation_propagation() {
    let cancel = CancellationPropagation {
        reason: "enough".into(),
        cancelled_run_ids: vec![id(1), id(2)],
        count: 2,
        include_root: true,
    };
    check(
        Fact::CancellationPropagation(cancel),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.cancellation_propagation","surface":"guest","visibility":"client",
            "data":{"reason":"enough","cancelled_run_ids":["00000000-0000-feed-0000-000000000000.1","00000000-0000-feed-0000-000000000000.2"],"count":2,"include_root":true}}"#]],
    );
}

#[test]
fn what_a_router_and_a_judge_have_answered() {
    let answered = PluginVerdict { run_id: id(1), answer: Some(json(r#"{"route":"on"}"#)), error: None };
    check(
        Fact::RouteDecision(answered),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.route_decision","surface":"guest","visibility":"client",
            "data":{"run_id":"00000000-0000-feed-0000-000000000000.1","answer":{"route":"on"}}}"#]],
    );
    let failed = PluginVerdict { run_id: id(1), answer: None, error: Some(RunError::new("trap", "it trapped")) };
    check(
        Fact::JudgeVerdict(failed),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.judge_verdict","surface":"guest","visibility":"client",
            "data":{"run_id":"00000000-0000-feed-0000-000000000000.1","error":{"code":"trap","message":"it trapped","retryable":false}}}"#]],
    );
}

#[test]
fn a_replan_decision() {
    let steps = vec![
        PlanStep { action: "retry".into(), run_id: Some(id(2)), replaces: Some(id(1)), denied: None },
        PlanStep {
            action: "cancel".into(),
            run_id: None,
            replaces: None,
            denied: Some(Denial::new(Code::RunNotFound, "evaluate_and_replan", "it is not there")),
        },
    ];
    let plan = AppliedPlan { rationale: "why".into(), steps, group_id: Some(group_id(0)), aborted: true };
    let decision = ReplanDecision {
        run_id: id(0),
        needs_replan: true,
        suggested_action: SuggestedAction::Replan,
        failed_run_ids: vec![id(1)],
        failed_node_ids: vec!["read".into()],
        completed_count: 4,
        replans_used: 1,
        max_replans: 3,
        reason: Some("max_stalls".into()),
        plan: Some(plan),
    };
    check(
        Fact::ReplanDecision(Box::new(decision)),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.replan_decision","surface":"guest","visibility":"client",
            "data":{"run_id":"00000000-0000-feed-0000-000000000000","needs_replan":true,"suggested_action":"replan","failed_run_ids":["00000000-0000-feed-0000-000000000000.1"],"failed_node_ids":["read"],"completed_count":4,"replans_used":1,"max_replans":3,"reason":"max_stalls","plan":{"rationale":"why","steps":[{"action":"retry","run_id":"00000000-0000-feed-0000-000000000000.2","replaces":"00000000-0000-feed-0000-000000000000.1"},{"action":"cancel","denied":{"code":"run_not_found","action":"evaluate_and_replan","message":"it is not there","policy_version":0,"retryable":false}}],"group_id":"00000000-0000-feed-0000-000000000000.g0","aborted":true}}}"#]],
    );
}

#[test]
fn a_failure_of_a_node() {
    let error = RunError { retryable: false, ..RunError::new("expression_failed", "there is no `x`") };
    check(
        Fact::NodeFailure(NodeFailure { error }),
        expect![[r#"
        {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.node_failure","surface":"guest","visibility":"client",
        "data":{"error":{"code":"expression_failed","message":"there is no `x`","retryable":false}}}"#]],
    );
}

#[test]
fn a_node_that_is_done() {
    check(
        Fact::NodeCompletion(NodeCompletion {}),
        expect![[r#"
        {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.node_completion","surface":"guest","visibility":"client",
        "data":{}}"#]],
    );
}

#[test]
fn a_progress_report() {
    let progress = Progress { message: "half".into(), fraction: Some(0.1), data: Some(json("{}")), dropped: 3 };
    check(
        Fact::Progress(progress),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.progress","surface":"guest","visibility":"client",
            "data":{"message":"half","fraction":0.1,"data":{},"dropped":3}}"#]],
    );
}

#[test]
fn a_budget_move() {
    let budget =
        Budget { tokens: Some(1), cost_microusd: Some(2), wall_ms: Some(3), cpu_ms: Some(4), host_calls: Some(5) };
    let moved = BudgetMove { reserved: budget, spent: usage(), refunded: budget, exhausted: true, settled: true };
    check(
        Fact::Budget(Box::new(moved)),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.budget","surface":"guest","visibility":"client",
            "data":{"reserved":{"tokens":1,"cost_microusd":2,"wall_ms":3,"cpu_ms":4,"host_calls":5},"spent":{"tokens":1,"cost_microusd":2,"wall_ms":3,"cpu_us":4,"host_calls":5},"refunded":{"tokens":1,"cost_microusd":2,"wall_ms":3,"cpu_ms":4,"host_calls":5},"exhausted":true,"settled":true}}"#]],
    );
    check(
        Fact::Budget(Box::default()),
        expect![[r#"
            {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","event":"orchestration.budget","surface":"guest","visibility":"client",
            "data":{}}"#]],
    );
}

/// What a replay has to find again names the host call that it answers.
#[test]
fn an_event_that_answers_a_call_names_it() {
    let check = |fact: Fact, expected: Expect| {
        let call = Some(12);
        let event =
            Event { seq: 7, at: Timestamp(START), run_id: id(0), node_id: None, call, surface: Surface::Guest, fact };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        expected.assert_eq(&text.replacen(r#","data":{"#, ",\n\"data\":{", 1));
    };
    let progress = Progress { message: "half".into(), fraction: None, data: None, dropped: 0 };
    check(
        Fact::Progress(progress),
        expect![[r#"
        {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","call":12,"event":"orchestration.progress","surface":"guest","visibility":"client",
        "data":{"message":"half"}}"#]],
    );
    let found_again = SpawnDecision { idempotent: true, ..decision() };
    let called = SpawnDecision { agent_call: true, group_id: Some(group_id(0)), ..found_again.clone() };
    check(
        Fact::SpawnDecision(Box::new(called)),
        expect![[r#"
        {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","call":12,"event":"orchestration.spawn_decision","surface":"guest","visibility":"client",
        "data":{"target":["a"],"spawned_run_ids":["00000000-0000-feed-0000-000000000000.1"],"group_id":"00000000-0000-feed-0000-000000000000.g0","idempotent":true,"effective_scopes":[{"use":[],"delegate":[]}],"agent_call":true}}"#]],
    );
    let asked = SpawnDecision { replans: Some(id(0)), ..found_again };
    check(
        Fact::SpawnDecision(Box::new(asked)),
        expect![[r#"
        {"seq":7,"at":1000000,"run_id":"00000000-0000-feed-0000-000000000000","call":12,"event":"orchestration.spawn_decision","surface":"guest","visibility":"client",
        "data":{"target":["a"],"spawned_run_ids":["00000000-0000-feed-0000-000000000000.1"],"idempotent":true,"effective_scopes":[{"use":[],"delegate":[]}],"replans":"00000000-0000-feed-0000-000000000000"}}"#]],
    );
}

#[test]
fn an_event_of_a_graphs_node_names_it() {
    let fact = Fact::ChildLifecycle(Box::new(life(Step::Started)));
    let node_id = Some("fan".into());
    let event = Event { seq: 1, at: Timestamp(0), run_id: id(1), node_id, call: None, surface: Surface::Graph, fact };
    let text = serde_json::to_string(&event).unwrap();
    assert!(text.contains(r#""node_id":"fan","event":"orchestration.child_lifecycle","surface":"graph""#), "{text}");
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
}

#[test]
fn an_event_that_is_not_known_fails_loudly() {
    let event = |name: &str, data: &str| {
        let text = format!(
            r#"{{"seq":9,"at":1,"run_id":"{}","event":"{name}","surface":"guest","visibility":"client","data":{data}}}"#,
            id(0)
        );
        serde_json::from_str::<Event>(&text).map_err(|error| error.to_string())
    };
    assert_eq!(event("orchestration.merge", "{}").unwrap_err(), "unknown event `orchestration.merge` at seq 9");
    let error = event("orchestration.progress", "{}").unwrap_err();
    assert!(error.starts_with("data of orchestration.progress at seq 9: missing field `message`"), "{error}");
    let error = event("orchestration.child_lifecycle", r#"{"child_run_id":"x","status":"started","attempt":1}"#);
    assert!(error.unwrap_err().contains("`x` is not a run id"));
    let error = event(
        "orchestration.child_lifecycle",
        &format!(r#"{{"child_run_id":"{}","status":"slept","attempt":1}}"#, id(1)),
    );
    assert!(error.unwrap_err().contains("unknown variant `slept`"));
}

/// What a newer host adds to an event must not keep an older one from reading
/// it, and what was left out then has its default.
#[test]
fn a_field_more_or_less_is_read() {
    let text = format!(
        r#"{{"seq":1,"at":1,"run_id":"{0}","event":"orchestration.child_lifecycle","surface":"guest","visibility":"client","new":1,"data":{{"child_run_id":"{0}","status":"started","attempt":1,"new":2}}}}"#,
        id(0)
    );
    let event: Event = serde_json::from_str(&text).unwrap();
    let Fact::ChildLifecycle(read) = event.fact else { panic!() };
    assert_eq!(*read, ChildLifecycle { child_run_id: id(0), ..life(Step::Started) });
}

#[test]
fn what_is_on_its_way_to_its_end_is_not_for_clients() {
    let of = |step| Fact::ChildLifecycle(Box::new(life(step))).visibility();
    assert_eq!((of(Step::Closing), of(Step::Completed)), (Visibility::Internal, Visibility::Client));
}

/// Earlier hosts wrote a digest of each request beside it.
#[test]
fn a_spawn_decision_with_a_fingerprint_is_still_read() {
    let spawned = SpawnDecision { runs: vec![spec()], ..decision() };
    let text = serde_json::to_string(&spawned).unwrap();
    let before = text.replacen("\"limits\":", "\"fingerprint\":\"a5a5\",\"limits\":", 1);
    assert_ne!(before, text);
    assert_eq!(serde_json::from_str::<SpawnDecision>(&before).unwrap(), spawned);
}

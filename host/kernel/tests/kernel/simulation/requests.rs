//! Random requests: what guests, planners and people might ask for.

use std::sync::Arc;

use pleach_kernel::{
    Action, Backoff, Budget, Evaluate, Fairness, Grant, JoinMode, JoinPolicy, Limits, Orchestrator, Outcome,
    ParentClose, Payload, Plan, Planned, PlannedSpawn, PluginRef, Policy, Priority, ReplanNode, Resolution, Retry,
    Role, RootId, RunError, RunId, Scope, Spawn, SpawnGroup, SpawnRequest, Submit, Surface, Tenant, Tightening,
    Timestamp, Tree, Usage,
};

use super::dice::Dice;

const SCOPES: [&str; 10] = [
    "spawn:*",
    "spawn:a*",
    "run.cancel:*",
    "run.abandon:*",
    "fs.read:*",
    "fs.read:a/*",
    "fs.read:a/b",
    "spawn:judge",
    "spawn:mend",
    "llm:small",
];

fn scope(text: &str) -> Scope {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The plugin of a name, in the role that the name says.
fn plugin(name: &str) -> Arc<PluginRef> {
    let role = match name {
        "judge" => Role::Judge,
        "router" => Role::Router,
        "mend" => Role::Replanner,
        _ => Role::Agent,
    };
    Arc::new(PluginRef { name: name.into(), version: "1.0.0".into(), digest: "sha256:0".into(), role })
}

fn grant(dice: &mut Dice, generous: bool) -> Grant {
    let mut list = |odds: u64| {
        let mut scopes: Vec<Scope> = Vec::new();
        for text in SCOPES {
            if dice.one_in(odds) != generous {
                scopes.push(scope(text));
            }
        }
        scopes
    };
    if generous { Grant::new(list(20), list(20)) } else { Grant::new(list(4), list(6)) }
}

fn budget(dice: &mut Dice, most: u64) -> Budget {
    Budget {
        tokens: dice.maybe(2, most),
        cost_microusd: dice.maybe(3, most),
        wall_ms: dice.maybe(3, most * 100),
        cpu_ms: dice.maybe(4, most),
        host_calls: dice.maybe(4, most),
    }
}

fn limits(dice: &mut Dice) -> Limits {
    Limits {
        max_depth: dice.below(8) as u32,
        max_fanout: dice.below(60) as u32,
        max_children_total: dice.below(200) as u32,
        max_concurrency: 1 + dice.below(20) as u32,
        join_timeout_ms: dice.below(3_000),
        max_replans: dice.below(5) as u32,
        max_stalls: dice.below(3) as u32,
    }
}

/// A tree with its root, which holds nearly everything.
pub fn open(dice: &mut Dice, now: Timestamp) -> Tree {
    let mut policy = Policy {
        version: 7,
        targets: vec!["*".into()],
        scopes: SCOPES.map(scope).into(),
        limits: limits(dice),
        budget: if dice.one_in(2) { Budget::default() } else { budget(dice, 2_000) },
        ..Policy::default()
    };
    policy.surfaces.api = !dice.one_in(10);
    let narrow = Orchestrator {
        targets: vec!["a".into(), "judge".into()],
        scopes: vec![scope("fs.read:*"), scope("spawn:a*")],
        limits: Tightening { max_fanout: Some(dice.below(9) as u32), ..Tightening::default() },
    };
    policy.orchestrators.insert("ab".into(), narrow);
    let mut request = SpawnRequest::new("lead", Payload::null());
    request.scopes = grant(dice, true);
    request.timeout_ms = dice.maybe(6, 20_000).map(|ms| ms + 1);
    let spawn = Spawn::new(request, Resolution::Found(plugin("lead")));
    let root = RootId(u128::from(dice.next()) << 64 | u128::from(dice.next()));
    let fairness = *dice.pick(&[Fairness::RoundRobin, Fairness::ShortestFirst]);
    let submit = Submit { spawn, limits: Limits::CEILING, fairness };
    Tree::open(now, root, Tenant::default_tenant(), Arc::new(policy), Surface::Guest, submit)
        .unwrap_or_else(|denial| panic!("the root is admitted: {denial}"))
}

fn resolution(dice: &mut Dice, target: &str) -> Resolution {
    match dice.below(40) {
        0 => Resolution::NotFound { hint: "there are others".into() },
        1 => Resolution::NotPublished,
        _ => Resolution::Found(plugin(target)),
    }
}

/// One child, now and then under a key that was used before: then mostly with
/// the same request.
pub fn keyed(dice: &mut Dice) -> Spawn {
    let Some(key) = dice.maybe(3, 8) else {
        return spawn(dice);
    };
    let mut same = Dice::new(key + 100 * u64::from(dice.one_in(8)));
    let mut spawn = spawn(&mut same);
    Arc::make_mut(&mut spawn.request).spawn_key = Some(format!("k{key}").into());
    spawn
}

/// A run without a key of its own.
pub fn spawn(dice: &mut Dice) -> Spawn {
    let target = *dice.pick(&["a", "a", "a", "ab", "b", "judge", "router", "mend"]);
    let input = Payload::of(&dice.below(3)).unwrap_or_else(|error| panic!("{error}"));
    let mut request = SpawnRequest::new(target, input);
    request.scopes = if dice.one_in(5) { Grant::default() } else { grant(dice, false) };
    request.timeout_ms = dice.maybe(5, 1_000);
    request.retry = dice.one_in(3).then(|| Retry {
        max_attempts: 1 + dice.below(4) as u32,
        backoff: *dice.pick(&[Backoff::Fixed, Backoff::Exponential]),
        initial_ms: dice.below(40),
        max_ms: dice.maybe(2, 100),
        jitter: dice.below(1_000) as f64 / 999.0,
    });
    request.budget = if dice.one_in(4) { budget(dice, 60) } else { Budget::default() };
    request.parent_close = *dice.pick(&[
        ParentClose::Cancel,
        ParentClose::Cancel,
        ParentClose::Wait,
        ParentClose::Wait,
        ParentClose::Abandon,
    ]);
    request.priority = *dice.pick(&[Priority::High, Priority::Medium, Priority::Low]);
    if dice.one_in(4) {
        request.fallbacks = (0..=dice.below(3)).map(|_| (*dice.pick(&["a", "ab", "b"])).into()).collect();
    }
    let mut found: Vec<Resolution> = Vec::new();
    for name in std::iter::once(target).chain(request.fallbacks.iter().map(|name| &**name)) {
        found.push(resolution(dice, name));
    }
    let fallbacks = found.split_off(1);
    let mut spawn = Spawn { fallbacks, ..Spawn::new(request, found.remove(0)) };
    spawn.node_id = dice.maybe(5, 3).map(|n| format!("node{n}").into());
    spawn
}

/// A group of up to five, now and then one that was asked for before.
pub fn group(dice: &mut Dice) -> SpawnGroup {
    match dice.maybe(3, 6) {
        Some(prefix) => {
            let mut same = Dice::new(prefix + 1_000 + 100 * u64::from(dice.one_in(8)));
            SpawnGroup { key_prefix: Some(format!("g{prefix}").into()), ..some_group(&mut same) }
        }
        None => some_group(dice),
    }
}

fn some_group(dice: &mut Dice) -> SpawnGroup {
    let members: Vec<Spawn> = (0..dice.below(6)).map(|_| spawn(dice)).collect();
    let members_of = members.len();
    let mode = *dice.pick(&[
        JoinMode::BestEffort,
        JoinMode::All,
        JoinMode::FailFast,
        JoinMode::Quorum,
        JoinMode::FirstSuccess,
    ]);
    let quorum = (mode == JoinMode::Quorum || dice.one_in(30)).then(|| dice.below(5) as u32);
    SpawnGroup {
        members,
        key_prefix: None,
        join: JoinPolicy { mode, quorum, timeout_ms: dice.maybe(2, 1_000) },
        size: dice.one_in(4).then(|| members_of as u32 + dice.below(4) as u32),
        node_id: None,
        agent_call: members_of == 1 && dice.one_in(2),
    }
}

pub fn outcome(dice: &mut Dice) -> Outcome {
    match dice.below(10) {
        0..5 => Outcome::Completed(Payload::of(&dice.below(100)).unwrap_or_else(|error| panic!("{error}"))),
        5 => Outcome::Failed(RunError::circuit_open("it has failed too often")),
        6 => Outcome::Failed(RunError { retryable: true, ..RunError::new("flaky", "try again") }),
        7..9 => Outcome::Failed(RunError::new("broken", "it is broken")),
        _ => Outcome::Stopped,
    }
}

pub fn usage(dice: &mut Dice, most: u64) -> Usage {
    Usage {
        tokens: dice.below(most),
        cost_microusd: dice.below(most),
        wall_ms: 0,
        cpu_us: dice.below(most * 500),
        host_calls: dice.below(most / 2),
    }
}

pub fn evaluate(dice: &mut Dice, tree: &Tree, run_id: Option<RunId>) -> Evaluate {
    let target = if dice.one_in(10) { "a" } else { "mend" };
    let asks = !dice.one_in(3);
    Evaluate {
        run_id,
        replanner: asks.then(|| (target.into(), resolution(dice, target))),
        config: None,
        node: dice.one_in(3).then(|| Arc::new(replan_node(dice, tree))),
    }
}

fn replan_node(dice: &mut Dice, tree: &Tree) -> ReplanNode {
    let runs = tree.runs().iter().map(|run| run.id);
    ReplanNode {
        id: ["again", "once more"][dice.below(2) as usize].into(),
        among: runs.filter(|_| !dice.one_in(3)).collect(),
        failed_node_ids: if dice.one_in(4) { vec!["read".into()] } else { Vec::new() },
        declines: dice.one_in(6).then(|| "rule".into()),
        max_replans: dice.one_in(3).then(|| dice.below(3) as u32),
        max_stalls: dice.one_in(3).then(|| dice.below(3) as u32),
    }
}

/// A plan for the children of a run, sensible or not.
pub fn plan(dice: &mut Dice, tree: &Tree, of: RunId) -> Result<Planned, String> {
    if dice.one_in(8) {
        return Err("it trapped".into());
    }
    let mut actions = Vec::new();
    let mut resolutions = Vec::new();
    for _ in 0..dice.below(5) {
        let run = RunId { root: of.root, index: dice.below(tree.runs().len() as u64 + 1) as u32 }.to_string();
        actions.push(match dice.below(12) {
            0..5 => Action::Retry(run),
            5..8 => {
                let target = *dice.pick(&["a", "b"]);
                resolutions.push(resolution(dice, target));
                Action::Spawn(PlannedSpawn {
                    target: target.into(),
                    input: Payload::null(),
                    spawn_key: dice.maybe(2, 6).map(|n| format!("k{n}").into()),
                    scopes: Grant::default(),
                    timeout_ms: dice.maybe(4, 100),
                })
            }
            8..10 => Action::Cancel(run),
            10 => Action::Accept(run),
            _ => Action::Abort("enough".into()),
        });
    }
    Ok(Planned { plan: Plan { actions, rationale: "as it seems best".into() }, resolutions })
}

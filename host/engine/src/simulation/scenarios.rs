//! What crash points are crossed with: every join mode, cancels, timeouts,
//! retries, replans, budgets, capability calls. Each comes to the same end
//! however often its host dies.

use pleach_kernel::{Fairness, JoinMode, ParentClose, Priority};

use super::plan::Plan;
use super::program::{Child, Op};

/// So long that whatever waits for it is ended by something else.
const LONG_MS: u64 = 100_000;

#[derive(Clone)]
pub(super) struct Scenario {
    pub name: &'static str,
    root: Vec<Op>,
    graph: Option<&'static str>,
    /// What else is to be changed about the plan.
    park_after_ms: u64,
    max_running: Option<u32>,
}

impl Scenario {
    fn new(name: &'static str, root: impl Into<Vec<Op>>) -> Self {
        Self { name, root: root.into(), graph: None, park_after_ms: 60_000, max_running: None }
    }

    /// One whose root is a graph.
    pub(super) fn of_graph(name: &'static str, text: &'static str) -> Self {
        Self { graph: Some(text), ..Self::new(name, []) }
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            // Only a graph that says so is tried again.
            roots: vec![Child { attempts: self.graph.map(|_| 2), ..Child::doing(self.root.clone()) }],
            graph: self.graph,
            lives_ms: Vec::new(),
            downtime_ms: 0,
            cancels: Vec::new(),
            write_delays: vec![1],
            lateness: vec![0],
            places: 100,
            max_running: self.max_running,
            max_concurrency: 100,
            park_after_ms: self.park_after_ms,
            snapshot_every: 5,
            fail_in: None,
            lie_at: None,
            circuit_breaker: None,
            fairness: Fairness::RoundRobin,
        }
    }
}

fn group(members: Vec<Child>, mode: JoinMode) -> Op {
    Op::Group { members, mode, quorum: None, timeout_ms: None, key: None }
}

fn ok() -> Child {
    Child::doing([Op::Recorded(1), Op::Sleep(10)])
}

fn failing() -> Child {
    Child::doing([Op::Sleep(5), Op::Fail])
}

fn long() -> Child {
    Child::doing([Op::Report, Op::Sleep(LONG_MS)])
}

pub(super) fn all() -> Vec<Scenario> {
    [joins(), ends(), limits(), crowded()].into_iter().flatten().collect()
}

/// Every way to join a group.
fn joins() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "best effort",
            [Op::Report, group(vec![ok(), failing(), ok()], JoinMode::BestEffort), Op::Join(0), Op::Join(0)],
        ),
        Scenario::new("fail fast", [group(vec![long(), failing(), long()], JoinMode::FailFast), Op::Join(0), Op::Now]),
        Scenario::new(
            "quorum",
            [
                Op::Group {
                    members: vec![ok(), ok(), long(), long()],
                    mode: JoinMode::Quorum,
                    quorum: Some(2),
                    timeout_ms: None,
                    key: Some("q".into()),
                },
                Op::Join(0),
                Op::Query,
            ],
        ),
        Scenario::new(
            "first success",
            [group(vec![failing(), ok(), long()], JoinMode::FirstSuccess), Op::Join(0), Op::Recorded(3)],
        ),
        Scenario::new(
            "a join that times out",
            [
                Op::Group {
                    members: vec![ok(), long()],
                    mode: JoinMode::BestEffort,
                    quorum: None,
                    timeout_ms: Some(200),
                    key: None,
                },
                Op::Join(0),
            ],
        ),
    ]
}

/// Runs that are ended, tried again, and mended.
fn ends() -> Vec<Scenario> {
    let flaky = Child { attempts: Some(3), ..Child::doing([Op::Recorded(2), Op::FailUntil(3), Op::Outside(2)]) };
    let handed_on = Child {
        attempts: Some(2),
        spare: true,
        ..Child::doing([Op::Recorded(1), Op::FailUntil(3), Op::Outside(1), Op::Sleep(5)])
    };
    let failing_twice = Child { spare: true, priority: Priority::High, ..failing() };
    vec![
        Scenario::new(
            "cancels",
            [
                Op::Spawn {
                    child: Child::doing([group(vec![long(), long()], JoinMode::BestEffort), Op::Join(0)]),
                    key: None,
                },
                Op::Sleep(50),
                Op::Cancel(0),
                Op::Cancel(0),
                Op::Spawn { child: ok(), key: Some("after".into()) },
                Op::Sleep(50),
            ],
        ),
        Scenario::new(
            "timeouts of runs, and parents that close",
            [
                Op::Call { child: Child { timeout_ms: Some(80), ..long() }, timeout_ms: Some(80) },
                Op::Spawn { child: Child { close: ParentClose::Wait, ..ok() }, key: None },
                Op::Spawn { child: Child { close: ParentClose::Abandon, ..ok() }, key: None },
                Op::Spawn { child: long(), key: None },
            ],
        ),
        Scenario::new(
            "retries",
            [group(vec![flaky.clone(), flaky], JoinMode::BestEffort), Op::Join(0), Op::Outside(1)],
        ),
        Scenario::new(
            "fallbacks",
            [group(vec![handed_on, failing_twice, ok()], JoinMode::BestEffort), Op::Join(0), Op::Recorded(1)],
        ),
        Scenario::new(
            "replans",
            [
                group(vec![failing(), ok()], JoinMode::BestEffort),
                Op::Join(0),
                Op::Evaluate { replanner: true },
                Op::Join(0),
                Op::Evaluate { replanner: false },
            ],
        ),
    ]
}

/// What is spent, what is refused, and what is asked of outside.
fn limits() -> Vec<Scenario> {
    vec![
        Scenario::new(
            "budgets",
            [
                group(
                    vec![
                        Child { host_calls: Some(3), ..Child::doing(vec![Op::Recorded(1); 6]) },
                        Child {
                            host_calls: Some(7),
                            ..Child::doing(
                                [
                                    vec![
                                        Op::Recorded(1),
                                        Op::Call { child: Child::doing([Op::Sleep(5)]), timeout_ms: None },
                                    ],
                                    vec![Op::Sleep(5), Op::Recorded(2), Op::Report, Op::Sleep(5)],
                                    vec![Op::Recorded(3); 4],
                                ]
                                .concat(),
                            )
                        },
                        Child { wall_ms: Some(70), ..long() },
                    ],
                    JoinMode::BestEffort,
                ),
                Op::Join(0),
                Op::RemainingBudget,
            ],
        ),
        Scenario::new(
            "calls of capabilities",
            [
                Op::Recorded(1),
                Op::Outside(1),
                Op::Now,
                Op::Recorded(2),
                Op::Report,
                Op::Outside(2),
                Op::Sleep(20),
                Op::Now,
            ],
        ),
        Scenario::new(
            "denials and conflicts",
            [
                Op::Spawn { child: ok(), key: Some("k".into()) },
                Op::Spawn { child: ok(), key: Some("k".into()) },
                Op::Spawn { child: failing(), key: Some("k".into()) },
                Op::Spawn { child: ok(), key: Some("~reserved".into()) },
                group(vec![ok(); 120], JoinMode::BestEffort),
                Op::Sleep(50),
            ],
        ),
    ]
}

/// Guests that have to make way.
fn crowded() -> Vec<Scenario> {
    let mut parked = Scenario::new(
        "guests that are parked as soon as they wait",
        [
            Op::Recorded(1),
            group(
                vec![Child::doing([Op::Call { child: ok(), timeout_ms: None }, Op::Sleep(300)]), ok()],
                JoinMode::BestEffort,
            ),
            Op::Sleep(200),
            Op::Join(0),
            Op::Recorded(2),
        ],
    );
    parked.park_after_ms = 0;
    let mut pressed = Scenario::new(
        "a tenant whose only place is taken by whoever waits",
        [
            Op::Call { child: Child::doing([Op::Call { child: ok(), timeout_ms: None }]), timeout_ms: None },
            Op::Recorded(1),
        ],
    );
    pressed.max_running = Some(1);
    vec![parked, pressed]
}

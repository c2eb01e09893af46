//! Hosts, one after the other, over one world, until everything has ended.

use std::sync::Arc;
use std::time::Duration;

use pleach_graph::source::Source;
use pleach_kernel::{Budget, Cancel, Limits, Payload, Policy, Quotas, RootId, Timestamp};
use pleach_store::PluginRow;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::checks;
use super::guests::{SimGuests, digest};
use super::plan::Plan;
use super::program::{AGENT, Child, REPLANNER, SPARE, everything};
use super::store::SimStore;
use super::world::{Cut, World, tenant};
use crate::clock::Clock;
use crate::error::Error;
use crate::habits::Habits;
use crate::host::Host;
use crate::submission::Submission;

/// The time of day at which every simulation begins.
const BEGINNING_NANOS: u64 = 1_800_000_000_000_000_000;

/// By then whatever still goes on hangs.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// What is left of a simulation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Left {
    /// Every tree: what became of each run, by the keys that lead to it.
    pub trees: Vec<Vec<String>>,
    /// All logs, byte by byte.
    pub logs: Vec<Vec<String>>,
    pub lied: bool,
    /// How often guests have spoken to a host.
    pub said: u64,
    /// Steps of each host.
    pub steps: Vec<u64>,
}

/// Plays a plan, and says what is left and what went wrong.
pub(super) fn live(plan: &Plan) -> (Left, Vec<String>) {
    let mut ends: Vec<End> = plan.lives_ms.iter().map(|ms| End::After(*ms)).collect();
    ends.push(End::Never);
    live_with(plan, &ends)
}

/// How the life of a host ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    After(u64),
    At(u64, Cut),
    /// It sees everything through.
    Never,
}

pub(super) fn live_with(plan: &Plan, ends: &[End]) -> (Left, Vec<String>) {
    let world = World::new(vec![row(AGENT, "agent"), row(SPARE, "agent"), row(REPLANNER, "replanner")]);
    {
        let mut inner = world.lock();
        (inner.fail_in, inner.lie_at) = (plan.fail_in, plan.lie_at);
    }
    let mut nanos = BEGINNING_NANOS;
    let mut steps = Vec::new();
    for end in ends {
        let runtime = runtime();
        nanos = runtime.block_on(life(plan, &world, *end, nanos));
        // Everything of that host goes with it.
        drop(runtime);
        steps.push(world.lock().steps);
        nanos += plan.downtime_ms * 1_000_000;
    }
    checks::check(&world, plan.roots.len(), steps)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// One host, from its start to its end; the time of day then.
async fn life(plan: &Plan, world: &Arc<World>, end: End, nanos: u64) -> u64 {
    let cut = match end {
        End::At(step, cut) => Some((step, cut)),
        End::After(_) | End::Never => None,
    };
    let number = world.begin(cut);
    let clock = Clock::from(nanos);
    let store = SimStore::open(world, number, plan.write_delays.clone());
    let guests = Arc::new(SimGuests::new(world, plan.places, plan.lateness.clone()));
    let habits = Habits {
        grace: Duration::from_millis(100),
        park_after: Duration::from_millis(plan.park_after_ms),
        snapshot_every: plan.snapshot_every,
        circuit_breaker: plan.circuit_breaker,
    };
    let host = Host::start(store, guests, Limits::CEILING, habits, clock);
    let time_is_up = async {
        match end {
            End::After(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            End::At(..) | End::Never => tokio::time::sleep(PATIENCE).await,
        }
    };
    tokio::select! {
        biased;
        () = world.ended() => {}
        () = see_through(plan, world, &host, number) => {}
        () = time_is_up => {
            if !matches!(end, End::After(_)) {
                world.lock().faults.push("something hangs".into());
            }
        }
    }
    world.end();
    clock.now_nanos()
}

/// Recovers what there is, submits what is not there yet, watches everything,
/// and waits until it has ended.
async fn see_through(plan: &Plan, world: &Arc<World>, host: &Host, life: u32) {
    host.recover().await.unwrap();
    let mut tasks = JoinSet::new();
    for (index, child) in plan.roots.iter().enumerate() {
        let (world, host) = (world.clone(), host.clone());
        let submission = submission(plan, child);
        tasks.spawn(async move {
            let root = root(index);
            let is_there = world.lock().disk.get(&root).is_some_and(|tree| tree.summary.is_some());
            if !is_there {
                match host.submit_as(root, submission).await {
                    Ok(_) => {
                        let there = world.lock().disk.get(&root).is_some_and(|tree| tree.summary.is_some());
                        if world.lives(life) && !there {
                            world.lock().faults.push(format!("{root} was acknowledged and is not on disk"));
                        }
                    }
                    // The disk refused its first append: it never was.
                    Err(Error::TreeStopped { .. }) => return,
                    Err(error) => panic!("{error}"),
                }
            }
            watch(&world, &host, root, life).await;
        });
    }
    for (after_ms, index, run) in plan.cancels.iter().copied() {
        let (host, count) = (host.clone(), plan.roots.len());
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            let mut id = root(index % count).run();
            id.index = run;
            if let Some(mailbox) = host.live(id.root) {
                let cancel = Cancel::of(id);
                let _ = mailbox.ask(|reply| crate::mailbox::Ask::Cancel { cancel, reply }).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Watches a tree to its end, taking it up again where the disk refused it.
async fn watch(world: &Arc<World>, host: &Host, root: RootId, life: u32) {
    loop {
        let run = match host.run(root.run()).await {
            Ok(run) => run,
            Err(error) => return world.lock().faults.push(error.to_string()),
        };
        let mut events = run.events(1);
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => return world.lock().faults.push(error.to_string()),
            };
            world.show(life, root, event.seq, format!("{} {}", event.event, event.data.as_str()));
        }
        match run.wait().await {
            Ok(ended) => {
                let said = format!("{:?} {:?}", ended.status, ended.output.map(|output| output.as_str().to_owned()));
                checks::told(world, life, root, &said);
                // Runs that were abandoned may go on after the root.
                let tree = world.lock().disk.get(&root).and_then(|tree| tree.summary.clone());
                if tree.is_some_and(|tree| tree.finished_at.is_some()) {
                    return;
                }
                host.recover().await.unwrap();
            }
            Err(Error::TreeStopped { .. } | Error::Detached { .. }) => {
                host.recover().await.unwrap();
            }
            Err(error) => return world.lock().faults.push(error.to_string()),
        }
    }
}

/// The roots of every simulation have the same ids.
pub(super) fn root(index: usize) -> RootId {
    RootId(0x0190_0000_0000_7000_8000_0000_0000_0000 + index as u128)
}

fn submission(plan: &Plan, child: &Child) -> Submission {
    let request = child.request();
    let mut submission = match plan.graph {
        Some(text) => Submission::of_graph(Source::new("graph.yaml", text), Payload::of(&json!({})).unwrap()),
        None => Submission::new(AGENT, Payload::of(&child.ops).unwrap()),
    };
    submission.grant = everything();
    submission.retry = request.retry;
    submission.priority = request.priority;
    submission.fairness = plan.fairness;
    // The spare one reads what the agents read, and not what a graph is given.
    if plan.graph.is_none() {
        submission.fallbacks = request.fallbacks.iter().map(ToString::to_string).collect();
    }
    submission.budget = Budget { host_calls: None, ..request.budget };
    submission.policy = Some(Policy {
        targets: vec!["*".into()],
        scopes: everything().can_use().to_vec(),
        limits: Limits {
            max_depth: 10,
            max_fanout: 100,
            max_children_total: 60,
            max_concurrency: plan.max_concurrency,
            ..Limits::SEED
        },
        quotas: Quotas { max_running: plan.max_running, ..Quotas::default() },
        ..Policy::default()
    });
    submission
}

fn row(name: &str, role: &str) -> PluginRow {
    PluginRow {
        tenant: tenant(),
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        digest: digest(name).to_string(),
        role: role.to_owned(),
        description: String::new(),
        size: 0,
        published_at: Timestamp(0),
        published: true,
    }
}

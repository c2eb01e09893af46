//! The guests of a simulation: a list of operations, carried out through the
//! same host calls that a component makes.

use std::sync::Arc;

use pleach_kernel::{
    Backoff, Budget, Cancel, Grant, GroupId, JoinMode, JoinPolicy, MemberOutcome, ParentClose, Payload, Priority,
    Query, Retry, RunError, RunId, Scope, SpawnRequest,
};
use pleach_sandbox::{CallError, HostCalls, Program, Running, journal};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::world::World;

/// What the plugins are called.
pub(super) const AGENT: &str = "sim";
pub(super) const SPARE: &str = "sim-spare";
pub(super) const REPLANNER: &str = "sim-replanner";

/// What a guest does, one after the other. Its output is a list of what it was
/// told, without what depends on the time of day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Op {
    Spawn {
        child: Child,
        key: Option<String>,
    },
    Group {
        members: Vec<Child>,
        mode: JoinMode,
        quorum: Option<u32>,
        timeout_ms: Option<u64>,
        key: Option<String>,
    },
    /// Joins the group that was spawned so many groups ago.
    Join(usize),
    Call {
        child: Child,
        timeout_ms: Option<u64>,
    },
    Sleep(u64),
    /// Cancels the run that was spawned so many spawns ago.
    Cancel(usize),
    Evaluate {
        replanner: bool,
    },
    Query,
    RemainingBudget,
    Now,
    Report,
    /// An answer from outside, and an effect on it.
    Recorded(u32),
    Outside(u32),
    /// Says which try it is.
    Tries,
    /// Fails until this try.
    FailUntil(u32),
    Fail,
}

/// A run to spawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Child {
    pub ops: Vec<Op>,
    #[serde(default)]
    pub attempts: Option<u32>,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    #[serde(default)]
    pub host_calls: Option<u64>,
    #[serde(default)]
    pub wall_ms: Option<u64>,
    #[serde(default)]
    pub close: ParentClose,
    #[serde(default)]
    pub priority: Priority,
    /// Whether another plugin, which does the same, goes on with it.
    #[serde(default)]
    pub spare: bool,
}

impl Child {
    pub(super) fn doing(ops: impl Into<Vec<Op>>) -> Self {
        Self { ops: ops.into(), ..Self::default() }
    }

    pub(super) fn request(&self) -> SpawnRequest {
        let retry = self.attempts.map(|max_attempts| Retry {
            max_attempts,
            backoff: Backoff::Exponential,
            initial_ms: 20,
            max_ms: Some(1_000),
            jitter: 0.5,
        });
        SpawnRequest {
            scopes: everything(),
            timeout_ms: self.timeout_ms,
            retry,
            budget: Budget { host_calls: self.host_calls, wall_ms: self.wall_ms, ..Budget::default() },
            parent_close: self.close,
            priority: self.priority,
            fallbacks: self.spare.then(|| SPARE.into()).into_iter().collect(),
            ..SpawnRequest::new(AGENT, Payload::of(&self.ops).unwrap())
        }
    }
}

pub(super) fn everything() -> Grant {
    let scopes = ["spawn:*", "run.cancel:*", "run.abandon:*"].map(|scope| scope.parse::<Scope>().unwrap());
    Grant::new(scopes.clone(), scopes)
}

/// Carries out what its input lists.
pub(super) struct Agent(pub Arc<World>);

impl Program for Agent {
    fn run(&self, calls: HostCalls, input: Payload) -> Running {
        let world = self.0.clone();
        Box::pin(async move {
            let ops: Vec<Op> = serde_json::from_str(input.as_str()).unwrap();
            let generation = world.generation(calls.run_id().root);
            let (said, runs, groups) = (Vec::new(), Vec::new(), Vec::new());
            let execution = Execution { calls, world, said, runs, groups, noted: 0, generation };
            let said = execution.carry_out(ops).await?;
            Ok(Payload::of(&said).unwrap())
        })
    }
}

/// Tries everything that failed once more.
pub(super) struct Replanner;

impl Program for Replanner {
    fn run(&self, _: HostCalls, input: Payload) -> Running {
        Box::pin(async move {
            let request: serde_json::Value = serde_json::from_str(input.as_str()).unwrap();
            let failed = request["failed"].as_array().unwrap();
            let actions: Vec<_> = failed.iter().map(|child| json!({"retry": child["run_id"]})).collect();
            Ok(Payload::of(&json!({"actions": actions, "rationale": "once more"})).unwrap())
        })
    }
}

struct Execution {
    calls: HostCalls,
    world: Arc<World>,
    said: Vec<String>,
    runs: Vec<RunId>,
    groups: Vec<GroupId>,
    /// Answers that came from outside or that later state would change.
    noted: usize,
    generation: u64,
}

impl Execution {
    async fn carry_out(mut self, ops: Vec<Op>) -> Result<Vec<String>, RunError> {
        for op in ops {
            let said = match self.step(op).await? {
                Ok(said) => said,
                Err(CallError::Denied(denial)) => format!("denied {}", denial.code.as_str()),
                Err(CallError::Failed { code, .. }) => format!("failed {code}"),
            };
            self.said.push(said);
        }
        Ok(self.said)
    }

    /// One operation; the outer error ends the run.
    async fn step(&mut self, op: Op) -> Result<Result<String, CallError>, RunError> {
        let calls = &mut self.calls;
        Ok(match op {
            Op::Spawn { child, key } => {
                let request = SpawnRequest { spawn_key: key.map(Arc::from), ..child.request() };
                calls.spawn_run(request).await.map(|spawned| {
                    self.runs.push(spawned.run_id);
                    format!("spawned{}", if spawned.idempotent { " before" } else { "" })
                })
            }
            Op::Group { members, mode, quorum, timeout_ms, key } => {
                let members = members.iter().map(Child::request).collect();
                let join = JoinPolicy { mode, quorum, timeout_ms };
                calls.spawn_group(members, key.map(Arc::from), join).await.map(|spawned| {
                    self.groups.push(spawned.group_id);
                    format!("group of {}{}", spawned.members.len(), if spawned.idempotent { " before" } else { "" })
                })
            }
            Op::Join(ago) => match ago_of(&self.groups, ago) {
                Some(group) => calls.join(group).await.map(|joined| {
                    let members: Vec<String> = joined.outputs.iter().map(told).collect();
                    format!("{:?} {} [{}]", joined.status, joined.reason, members.join(", "))
                }),
                None => Ok("no group".into()),
            },
            Op::Call { child, timeout_ms } => {
                let request = SpawnRequest { timeout_ms, ..child.request() };
                calls.agent_call(request).await.map(|outcome| told(&outcome))
            }
            Op::Sleep(ms) => calls.sleep_ms(ms).await.map(|()| "slept".into()),
            Op::Cancel(ago) => match ago_of(&self.runs, ago) {
                Some(run) => calls.cancel(Cancel::of(run)).await.map(|cancelled| {
                    self.noted += 1;
                    self.world.note(
                        calls.lineage(),
                        self.generation,
                        self.noted,
                        cancelled.cancelled_count.to_string(),
                    );
                    "cancelled".into()
                }),
                None => Ok("no run".into()),
            },
            Op::Evaluate { replanner } => {
                let replanner = replanner.then(|| REPLANNER.into());
                calls.evaluate(None, replanner, None).await.map(|answer| {
                    if let Some(group) = answer.plan.and_then(|plan| plan.group_id) {
                        self.groups.push(group);
                    }
                    format!("{:?}", answer.suggested_action)
                })
            }
            Op::Query => calls.query(Query::default()).await.map(|_| "looked".into()),
            Op::RemainingBudget => {
                calls.remaining_budget().await;
                Ok("counted".into())
            }
            Op::Now => {
                let now = calls.now_ms();
                let later = calls.now_ms();
                if later < now {
                    return Err(RunError::new("clock_went_back", format!("{later} after {now}")));
                }
                Ok("now".into())
            }
            Op::Report => {
                calls.report("so far", None, None);
                Ok("reported".into())
            }
            Op::Recorded(what) => {
                let answer = self.world.answer();
                let recorded = calls.recorded("sim.recorded", journal::hash(&what), || async move { Ok(answer) }).await;
                recorded.map(|bytes| {
                    // Whatever came of it, this is what the guest goes on with.
                    let bytes = String::from_utf8(bytes).unwrap();
                    self.noted += 1;
                    self.world.note(calls.lineage(), self.generation, self.noted, bytes);
                    "answered".into()
                })
            }
            Op::Outside(what) => {
                let (world, lineage) = (self.world.clone(), calls.lineage().clone());
                let effect = |key: Arc<str>| async move { world.effect(&lineage, key).await };
                let outside = calls.outside("sim.outside", journal::hash(&what), effect).await;
                outside.map(|_| "done outside".into())
            }
            Op::Tries => Ok(format!("try {}", calls.lineage().attempt)),
            Op::FailUntil(attempt) => {
                if calls.lineage().attempt < attempt {
                    let mut error = RunError::new("flaky", "not yet");
                    error.retryable = true;
                    return Err(error);
                }
                Ok("steady".into())
            }
            Op::Fail => return Err(RunError::new("failing", "as told")),
        })
    }
}

fn ago_of<T: Copy>(list: &[T], ago: usize) -> Option<T> {
    list.iter().rev().nth(ago).copied()
}

/// A member without what is different in each simulation.
fn told(member: &MemberOutcome) -> String {
    let output = member.output.as_ref().map_or(String::new(), |output| output.as_str().to_owned());
    let error = member.error.as_ref().map_or(String::new(), |error| error.code.to_string());
    format!("{} {output}{error}", member.status.as_str())
}

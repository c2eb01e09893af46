//! A native program that does the steps of a list, one host call each, and keeps
//! what each was answered.

use std::sync::{Arc, Mutex};

use pleach_kernel::{
    Cancel, GroupId, JoinPolicy, Payload, Query, Role, RootId, RunError, RunId, SpawnRequest, Timestamp,
};
use pleach_sandbox::{CallError, FailureCode, HostCalls, Job, Plugin, Program, Replay, Running, start_native};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fake::{grant, lineage};
use crate::ledger::{End, Ledger, REFUSED};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Spawn { keyed: bool },
    SpawnRefused,
    Group,
    GroupRefused,
    Join,
    JoinRefused,
    AgentCall,
    Cancel,
    Evaluate,
    Replan,
    Query { length: u32 },
    RemainingBudget,
    Sleep { ms: u64 },
    Now,
    Report,
    Read { length: usize },
    ReadFails,
    ReadRefused,
    Effect,
    EffectFails,
    Fail,
}

/// Each step, its answer, and how many facts the ledger had then.
pub type Transcript = Vec<(String, usize)>;

pub struct Walker {
    steps: Vec<Step>,
    ledger: Arc<Ledger>,
    transcript: Mutex<Transcript>,
    /// The idempotency keys of the effects that were begun.
    effects: Mutex<Vec<String>>,
    /// Effects do not come to an end.
    is_stuck: bool,
}

impl Walker {
    pub fn new(steps: &[Step], ledger: &Arc<Ledger>) -> Self {
        let (transcript, effects) = (Mutex::default(), Mutex::default());
        Self { steps: steps.into(), ledger: ledger.clone(), transcript, effects, is_stuck: false }
    }

    /// A walker whose effects do not come to an end.
    pub fn stuck(steps: &[Step], ledger: &Arc<Ledger>) -> Self {
        Self { is_stuck: true, ..Self::new(steps, ledger) }
    }

    pub fn transcript(&self) -> Transcript {
        self.transcript.lock().unwrap().clone()
    }

    /// The steps with their answers alone.
    pub fn answers(&self) -> Vec<String> {
        self.transcript().into_iter().map(|(line, _)| line).collect()
    }

    pub fn effects(&self) -> Vec<String> {
        self.effects.lock().unwrap().clone()
    }
}

pub struct Walk(pub Arc<Walker>);

impl Program for Walk {
    fn run(&self, mut calls: HostCalls, input: Payload) -> Running {
        let walker = self.0.clone();
        Box::pin(async move {
            for step in walker.steps.clone() {
                let answer = walker.step(&mut calls, step).await;
                let known = walker.ledger.facts().len();
                walker.transcript.lock().unwrap().push((format!("{step:?}: {answer}"), known));
                if step == Step::Fail {
                    return Err(RunError::new("own", "as it was told"));
                }
            }
            Ok(input)
        })
    }
}

fn request(target: &str) -> SpawnRequest {
    SpawnRequest::new(target, Payload::null())
}

impl Walker {
    async fn step(&self, calls: &mut HostCalls, step: Step) -> String {
        let group = GroupId { root: RootId(7), index: 3 };
        match step {
            Step::Spawn { keyed } => {
                let mut request = request("a");
                request.spawn_key = keyed.then(|| "key".into());
                shown(calls.spawn_run(request).await)
            }
            Step::SpawnRefused => shown(calls.spawn_run(request(REFUSED)).await),
            Step::Group => shown(calls.spawn_group(vec![request("a"); 2], None, JoinPolicy::default()).await),
            Step::GroupRefused => {
                shown(calls.spawn_group(vec![request(REFUSED)], Some("p".into()), JoinPolicy::default()).await)
            }
            Step::Join => shown(calls.join(group).await),
            Step::JoinRefused => shown(calls.join(GroupId { index: u32::MAX, ..group }).await),
            Step::AgentCall => shown(calls.agent_call(request("a")).await),
            Step::Cancel => shown(calls.cancel(Cancel::of(RunId { root: RootId(7), index: 1 })).await),
            Step::Evaluate => shown(calls.evaluate(None, None, None).await),
            Step::Replan => shown(calls.evaluate(None, Some("r".into()), Some(Payload::null())).await),
            Step::Query { length } => shown(calls.query(Query { skip_children: length, ..Query::default() }).await),
            Step::RemainingBudget => format!("{:?}", calls.remaining_budget().await),
            Step::Sleep { ms } => shown(calls.sleep_ms(ms).await),
            Step::Now => calls.look_at_clock().to_string(),
            Step::Report => {
                calls.report("so far", Some(0.5), None);
                String::new()
            }
            Step::Read { length } => {
                let bytes = vec![self.ledger.facts().len() as u8; length];
                shown(calls.recorded("test.read", length as u64, || async { Ok(bytes) }).await)
            }
            Step::ReadFails => {
                let failed = CallError::failed(FailureCode::Io, format!("try {}", self.ledger.facts().len()));
                shown(calls.recorded("test.read", 0, || async { Err(failed) }).await)
            }
            Step::ReadRefused => {
                let denial = pleach_kernel::Denial::new(pleach_kernel::Code::ScopeRequired, "test.read", "no");
                shown(calls.recorded("test.read", 1, || async { Err(CallError::Denied(denial.into())) }).await)
            }
            Step::Effect => shown(calls.outside("test.effect", 1, |key| self.effect(key, true)).await),
            Step::EffectFails => shown(calls.outside("test.effect", 2, |key| self.effect(key, false)).await),
            Step::Fail => String::new(),
        }
    }

    async fn effect(&self, key: Arc<str>, works: bool) -> Result<Vec<u8>, CallError> {
        self.effects.lock().unwrap().push(key.to_string());
        if self.is_stuck {
            std::future::pending().await
        }
        if works {
            Ok(format!("effect {}", self.ledger.facts().len()).into_bytes())
        } else {
            Err(CallError::failed(FailureCode::Io, "no such effect"))
        }
    }
}

fn shown<T: std::fmt::Debug>(answer: Result<T, CallError>) -> String {
    format!("{answer:?}")
}

pub fn plugin(walker: &Arc<Walker>) -> Arc<Plugin> {
    Plugin::native("native:walker", Role::Agent, Arc::new(Walk(walker.clone())))
}

pub fn native_job(ledger: &Ledger, replay: Replay) -> Job {
    Job {
        lineage: lineage(RootId(7).run()),
        asked_by: None,
        grant: grant(&[]),
        input: Payload::null(),
        deadline: None,
        started_at: Timestamp(1_700_000_000_000),
        seed: 42,
        policy_version: 3,
        accounts: None,
        permit: ledger.permit(),
        replay,
    }
}

/// Walks the steps to their end with what the ledger knows.
pub async fn walk(steps: &[Step], ledger: &Arc<Ledger>, ends: &mut UnboundedReceiver<End>) -> (Arc<Walker>, End) {
    let walker = Arc::new(Walker::new(steps, ledger));
    let (_, task) = start_native(&plugin(&walker), native_job(ledger, ledger.replay()), ledger.clone());
    task.await;
    let end = ends.try_recv().expect("an end is told before the task ends");
    assert!(ends.try_recv().is_err(), "and only one");
    (walker, end)
}

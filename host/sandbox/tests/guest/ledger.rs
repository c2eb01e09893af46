//! A kernel that keeps a ledger of what it decides, as the engine does: it can be
//! asked for what a replay needs, cut short as by a crash, and told to leave calls
//! unanswered. Its time is its own, and no answer of its is the same twice, so
//! that an answer which was replayed can be told from one that was made anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use pleach_kernel::{
    Budget, CallSite, Cancelled, ChildCounts, Code, Denial, Evaluation, Finish, GroupId, JoinMode, JoinPolicy,
    JoinResult, JoinStatus, Limits, MemberOutcome, Payload, PolicySnapshot, RootId, RunId, RunStatus, SpawnRequest,
    Spawned, SpawnedGroup, SuggestedAction, Timestamp,
};
use pleach_sandbox::journal::{self, what};
use pleach_sandbox::{Answer, Asked, Call, CallError, Encoded, Kernel, Live, LivePermit, Parked, Replay};
use tokio::sync::mpsc;

use crate::fake::{grant, lineage};

/// Whatever is spawned with this name is refused.
pub const REFUSED: &str = "refused";

const TREE: RootId = RootId(7);

#[derive(Clone, Debug)]
pub enum Fact {
    Made { call: u32, what: &'static str },
    Entry(Encoded),
    Progress { call: u32 },
    Denied,
}

impl Fact {
    fn call(&self) -> Option<u32> {
        match self {
            Self::Made { call, .. } | Self::Progress { call, .. } => Some(*call),
            Self::Entry(entry) => Some(journal::decode(&entry.body).unwrap().call),
            Self::Denied => None,
        }
    }
}

#[derive(Debug, PartialEq)]
pub enum End {
    Finished(Finish),
    Parked(Parked),
}

pub struct Ledger {
    state: Mutex<State>,
    ends: mpsc::UnboundedSender<End>,
    live: Live,
}

struct State {
    facts: Vec<Fact>,
    /// What was known when the guest was started.
    reached: u32,
    /// What should not have been asked.
    violations: Vec<String>,
    /// Grows with everything that is asked, and is part of every answer.
    ticks: u64,
    nanos: u64,
    /// Calls of this name are not answered.
    held_back: Option<&'static str>,
    held: Vec<Call>,
    was_held: Arc<tokio::sync::Notify>,
    fetched: u32,
}

impl Ledger {
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<End>) {
        Self::with(Vec::new(), 1_000)
    }

    /// A host that starts over with what was on disk.
    pub fn with(facts: Vec<Fact>, ticks: u64) -> (Arc<Self>, mpsc::UnboundedReceiver<End>) {
        let (ends, receiver) = mpsc::unbounded_channel();
        let state = State {
            reached: reached(&facts),
            facts,
            violations: Vec::new(),
            ticks,
            nanos: 1_700_000_000_000_000_000 + ticks * 1_000_000_000,
            held_back: None,
            held: Vec::new(),
            was_held: Arc::default(),
            fetched: 0,
        };
        (Arc::new(Self { state: Mutex::new(state), ends, live: Live::new(1) }), receiver)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn permit(&self) -> LivePermit {
        self.live.try_acquire().expect("the place of the guest before was given back")
    }

    pub fn facts(&self) -> Vec<Fact> {
        self.state().facts.clone()
    }

    pub fn recorded(&self) -> u64 {
        self.facts().iter().filter(|fact| matches!(fact, Fact::Entry(_))).count() as u64
    }

    /// What a guest that is started now did before. From here on a message that
    /// the journal could have answered is a violation.
    pub fn replay(&self) -> Replay {
        let mut state = self.state();
        state.reached = reached(&state.facts);
        let mut replay = Replay { reached: state.reached, ..Replay::default() };
        for fact in &state.facts {
            match fact {
                Fact::Made { call, what } => replay.made.push((*call, what)),
                Fact::Entry(entry) => replay.entries.push(journal::decode(&entry.body).unwrap()),
                Fact::Progress { .. } | Fact::Denied => {}
            }
        }
        replay
    }

    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    pub fn fetched(&self) -> u32 {
        self.state().fetched
    }

    pub fn hold_back(&self, what: Option<&'static str>) -> Arc<tokio::sync::Notify> {
        let mut state = self.state();
        state.held_back = what;
        state.was_held.clone()
    }

    /// Forgets the calls that were held back, and who waits for them.
    pub fn drop_held(&self) {
        self.state().held.clear();
    }
}

fn reached(facts: &[Fact]) -> u32 {
    facts.iter().filter_map(Fact::call).max().map_or(0, |call| call + 1)
}

impl Kernel for Ledger {
    fn call(&self, _: RunId, call: Call) {
        let mut state = self.state();
        state.check(&call);
        if state.held_back.is_some_and(|what| name(&call) == what) {
            if let Call::Sleep { duration_ms, until: None, asked, .. } = &call {
                state.fall_asleep(*duration_ms, *asked);
            }
            state.held.push(call);
            state.was_held.notify_one();
            return;
        }
        state.ticks += 1;
        state.nanos += 1_000_000_000;
        state.answer(call);
    }

    fn finished(&self, finish: Finish) {
        let _ = self.ends.send(End::Finished(finish));
    }

    fn parked(&self, parked: Parked) {
        let _ = self.ends.send(End::Parked(parked));
    }

    fn now_nanos(&self) -> u64 {
        let mut state = self.state();
        state.nanos += 1_000_000;
        state.nanos
    }
}

pub fn name(call: &Call) -> &'static str {
    match call {
        Call::SpawnRun { .. } => what::SPAWN_RUN,
        Call::SpawnGroup { .. } => what::SPAWN_GROUP,
        Call::Join { .. } => what::JOIN,
        Call::AgentCall { .. } => what::AGENT_CALL,
        Call::Cancel { asked, .. }
        | Call::Evaluate { asked, .. }
        | Call::Query { asked, .. }
        | Call::RemainingBudget { asked, .. }
        | Call::Sleep { asked, .. } => asked.what,
        Call::Progress { .. } => what::REPORT,
        Call::Deny { .. } => "deny",
        Call::Record { .. } => "record",
        Call::Intend { .. } => "intend",
        Call::Fetch { .. } => "fetch",
        Call::NodeRuns { .. } | Call::Node { .. } | Call::Next { .. } => unreachable!("components cannot ask this"),
    }
}

impl State {
    /// Notes what a guest asks although its journal has the answer.
    fn check(&mut self, call: &Call) {
        let last = self.reached.checked_sub(1);
        let is_made =
            |call: u32| self.facts.iter().any(|fact| matches!(fact, Fact::Made { call: c, .. } if *c == call));
        let is_fine = match call {
            Call::SpawnRun { site, .. } | Call::SpawnGroup { site, .. } | Call::AgentCall { site, .. } => {
                site.call >= self.reached || is_made(site.call)
            }
            Call::Evaluate { site, .. } => site.call >= self.reached || is_made(site.call),
            Call::Join { .. } | Call::Fetch { .. } | Call::Deny { .. } => true,
            Call::NodeRuns { .. } | Call::Node { .. } | Call::Next { .. } => false,
            Call::Sleep { until: Some(_), asked, .. } => Some(asked.call) == last,
            Call::Cancel { asked, .. }
            | Call::Query { asked, .. }
            | Call::RemainingBudget { asked, .. }
            | Call::Sleep { asked, .. } => asked.call >= self.reached,
            Call::Progress { call, .. } => *call >= self.reached,
            Call::Intend { entry, .. } => journal::decode(&entry.body).unwrap().call >= self.reached,
            Call::Record { entry } => {
                let call = journal::decode(&entry.body).unwrap().call;
                call >= self.reached || matches!(self.recorded(call), Some(Answer::Intended { .. }))
            }
        };
        if !is_fine {
            self.violations.push(format!("{call:?} with {} reached", self.reached));
        }
    }

    fn recorded(&self, call: u32) -> Option<Answer> {
        let entries = self.facts.iter().rev().filter_map(|fact| match fact {
            Fact::Entry(entry) => journal::decode(&entry.body).ok(),
            _ => None,
        });
        entries.into_iter().find(|entry| entry.call == call).map(|entry| entry.answer)
    }

    fn fall_asleep(&mut self, duration_ms: u64, asked: Asked) -> Timestamp {
        let woken_at = Timestamp(self.nanos / 1_000_000).plus_ms(duration_ms);
        self.facts.push(Fact::Entry(asked.entry(&Ok(woken_at))));
        woken_at
    }

    /// The run, or group, that a call made: the same for the same call.
    fn make(&mut self, site: CallSite, what: &'static str) -> u32 {
        let made: BTreeMap<u32, usize> = self
            .facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Made { call, .. } => Some(*call),
                _ => None,
            })
            .enumerate()
            .map(|(index, call)| (call, index))
            .collect();
        let index = made.get(&site.call).copied().unwrap_or_else(|| {
            self.facts.push(Fact::Made { call: site.call, what });
            made.len()
        });
        index as u32 + 1
    }

    fn refuse<T>(&mut self, asked: Asked) -> Result<T, CallError> {
        let denial = Denial::new(Code::MaxFanout, asked.what, format!("the {}th thing asked", self.ticks));
        let refused = Err(CallError::Denied(denial.into()));
        self.facts.push(Fact::Entry(asked.entry::<()>(&refused)));
        refused.map(|()| unreachable!())
    }

    fn answer(&mut self, call: Call) {
        let ticks = self.ticks;
        match call {
            Call::NodeRuns { .. } | Call::Node { .. } | Call::Next { .. } => unreachable!("components cannot ask this"),
            Call::SpawnRun { request, site, reply } if refused(&request) => {
                let _ = reply.send(self.refuse(Asked::spawn_run(site.call, &request)));
            }
            Call::SpawnRun { site, reply, .. } => {
                let index = self.make(site, what::SPAWN_RUN);
                let _ = reply.send(Ok(spawned(index, site.keyless)));
            }
            Call::SpawnGroup { members, key_prefix, join, site, reply }
                if members.iter().any(|member| refused(member)) =>
            {
                let asked = Asked::spawn_group(site.call, &members, key_prefix.as_deref(), &join);
                let _ = reply.send(self.refuse(asked));
            }
            Call::SpawnGroup { members, site, join, reply, .. } => {
                let index = self.make(site, what::SPAWN_GROUP);
                let _ = reply.send(Ok(group(index, members.len(), join, site.keyless)));
            }
            Call::AgentCall { request, site, reply } if refused(&request) => {
                let _ = reply.send(self.refuse(Asked::agent_call(site.call, &request)));
            }
            Call::AgentCall { site, reply, .. } => {
                let index = self.make(site, what::AGENT_CALL);
                let _ = reply.send(Ok(member(index)));
            }
            Call::Join { group, call, reply } if group.index == u32::MAX => {
                let _ = reply.send(self.refuse(Asked::join(call, group)));
            }
            Call::Join { group, reply, .. } => {
                let _ = reply.send(Ok(joined(group)));
            }
            Call::Cancel { request, asked, reply } => {
                let found = Cancelled {
                    run_id: request.run_id,
                    cancelled_count: 0,
                    cancelled_run_ids: Vec::new(),
                    scanned_count: ticks as u32,
                    include_root: request.include_root,
                    reason: request.reason,
                };
                let _ = reply.send(self.record(asked, Ok(found)));
            }
            Call::Evaluate { replanner, site, asked, reply, .. } => {
                if replanner.is_some() {
                    self.make(site, what::EVALUATE);
                }
                let _ = reply.send(self.record(asked, Ok(evaluation(ticks))));
            }
            Call::Query { query, asked, reply } => {
                let text = "x".repeat(query.skip_children as usize);
                let tree = Payload::of(&(ticks, text)).unwrap();
                let _ = reply.send(self.record(asked, Ok(tree)));
            }
            Call::RemainingBudget { asked, reply } => {
                let budget = Budget { tokens: Some(ticks), ..Budget::default() };
                let _ = reply.send(self.record(asked, Ok(budget)));
            }
            Call::Sleep { duration_ms, until, asked, reply } => {
                let woken_at = until.unwrap_or_else(|| self.fall_asleep(duration_ms, asked));
                self.nanos = self.nanos.max(woken_at.0 * 1_000_000);
                let _ = reply.send(Ok(woken_at));
            }
            Call::Progress { call, .. } => self.facts.push(Fact::Progress { call }),
            Call::Deny { .. } => self.facts.push(Fact::Denied),
            Call::Record { entry } => self.facts.push(Fact::Entry(entry)),
            Call::Intend { entry, reply } => {
                self.facts.push(Fact::Entry(entry));
                let _ = reply.send(Ok(()));
            }
            Call::Fetch { digest, reply } => {
                self.fetched += 1;
                let blobs = self.facts.iter().filter_map(|fact| match fact {
                    Fact::Entry(entry) => entry.blob.clone(),
                    _ => None,
                });
                let found = blobs.into_iter().find(|(name, _)| *name == digest);
                let _ = reply.send(Ok(found.expect("a blob of this journal").1));
            }
        }
    }

    fn record<T: serde::Serialize>(&mut self, asked: Asked, answer: Result<T, CallError>) -> Result<T, CallError> {
        self.facts.push(Fact::Entry(asked.entry(&answer)));
        answer
    }
}

fn refused(request: &SpawnRequest) -> bool {
    &*request.target == REFUSED
}

fn run(index: u32) -> RunId {
    RunId { root: TREE, index }
}

fn spawned(index: u32, keyless: u32) -> Spawned {
    let policy_snapshot = PolicySnapshot { policy_version: keyless.into(), limits: Limits::SEED };
    Spawned {
        run_id: run(index),
        idempotent: false,
        lineage: lineage(run(index)),
        effective_scopes: grant(&[]),
        policy_snapshot,
    }
}

fn group(index: u32, members: usize, _: JoinPolicy, keyless: u32) -> SpawnedGroup {
    let members = (0..members).map(|_| spawned(index, keyless)).collect();
    SpawnedGroup { group_id: GroupId { root: TREE, index }, idempotent: false, members, warnings: Vec::new() }
}

fn member(index: u32) -> MemberOutcome {
    let output = Some(Payload::of(&index).unwrap());
    MemberOutcome { ordinal: 0, run_id: run(index), status: RunStatus::Completed, output, error: None }
}

fn joined(group_id: GroupId) -> JoinResult {
    JoinResult {
        group_id,
        mode: JoinMode::BestEffort,
        status: JoinStatus::Completed,
        complete: true,
        outputs: vec![member(group_id.index)],
        success_count: 1,
        failure_count: 0,
        cancelled_count: 0,
        running_count: 0,
        reason: "all_ended".into(),
        decided_at_seq: 9,
    }
}

fn evaluation(ticks: u64) -> Evaluation {
    Evaluation {
        needs_replan: false,
        suggested_action: SuggestedAction::Continue,
        failed_children: Vec::new(),
        counts: ChildCounts { total: ticks as u32, completed: 0, failed: 0, cancelled: 0, running: 0 },
        replans_used: 0,
        max_replans: 3,
        reason: None,
        plan: None,
    }
}

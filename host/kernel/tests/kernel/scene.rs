//! A scene: a tree with a generous policy, and few words to play on it.
//!
//! Whatever is played is audited, and the tree has to equal the fold of its log,
//! as JSON, after every decision. Runs are called by their number; the root is 0.

use std::sync::Arc;

use pleach_kernel::*;

use crate::simulation::auditor::Auditor;
use crate::telling::tell;

/// When every scene begins.
pub const START: u64 = 1_000_000;

pub struct Scene {
    pub tree: Tree,
    pub now: u64,
    pub calls: u32,
    log: Vec<Event>,
    shown: usize,
    auditor: Auditor,
}

pub fn scope(text: &str) -> Scope {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

pub fn scopes(texts: &[&str]) -> Vec<Scope> {
    texts.iter().map(|text| scope(text)).collect()
}

/// What the root of a scene may use and delegate.
const EVERYTHING: [&str; 6] = ["fs.read:*", "llm:*", "run.abandon:*", "run.cancel:*", "secret:*", "spawn:*"];

pub fn everything() -> Grant {
    Grant::new(scopes(&EVERYTHING), scopes(&EVERYTHING))
}

pub fn json(text: &str) -> Payload {
    Payload::parse(text.into()).unwrap_or_else(|error| panic!("{error}"))
}

/// A request for a child that may do nothing.
pub fn child(target: &str) -> SpawnRequest {
    SpawnRequest::new(target, Payload::null())
}

/// A request for a child that may do what the root may.
pub fn boss() -> SpawnRequest {
    with(child("boss"), |request| request.scopes = everything())
}

pub fn keyed(target: &str, key: &str) -> SpawnRequest {
    with(child(target), |request| request.spawn_key = Some(key.into()))
}

pub fn closing(parent_close: ParentClose) -> SpawnRequest {
    with(child("a"), |request| request.parent_close = parent_close)
}

pub fn retrying(max_attempts: u32, initial_ms: u64) -> SpawnRequest {
    let retry = Retry { max_attempts, backoff: Backoff::Fixed, initial_ms, max_ms: None, jitter: 0.0 };
    with(child("a"), |request| request.retry = Some(retry))
}

pub fn with(mut request: SpawnRequest, change: impl FnOnce(&mut SpawnRequest)) -> SpawnRequest {
    change(&mut request);
    request
}

/// Finds every plugin; its role is in its name.
pub fn found(target: &str) -> Resolution {
    let name = target.split('@').next().unwrap_or(target);
    let role = match name {
        "judge" => Role::Judge,
        "router" => Role::Router,
        "mend" => Role::Replanner,
        _ => Role::Agent,
    };
    let plugin = PluginRef { name: name.into(), version: "1.0.0".into(), digest: "sha256:00".into(), role };
    Resolution::Found(Arc::new(plugin))
}

pub fn ready(request: SpawnRequest) -> Spawn {
    Spawn::resolved(request.into(), found)
}

pub fn members(requests: impl IntoIterator<Item = SpawnRequest>) -> SpawnGroup {
    let members = requests.into_iter().map(ready).collect();
    SpawnGroup { members, key_prefix: None, join: JoinPolicy::default(), size: None, node_id: None, agent_call: false }
}

/// The host call of this number, before which as many came without a key.
pub fn site(call: u32) -> CallSite {
    CallSite { call, keyless: call }
}

pub fn policy() -> Policy {
    Policy {
        version: 3,
        targets: vec!["*".into()],
        scopes: scopes(&EVERYTHING),
        limits: Limits {
            max_depth: 50,
            max_fanout: 10_000,
            max_children_total: 100_000,
            max_concurrency: 100_000,
            ..Limits::SEED
        },
        ..Policy::default()
    }
}

pub fn root() -> RootId {
    RootId(0xfeed << 64)
}

pub fn id(index: u32) -> RunId {
    RunId { root: root(), index }
}

pub fn group_id(index: u32) -> GroupId {
    GroupId { root: root(), index }
}

impl Scene {
    pub fn new() -> Self {
        Self::under(|_, _| ())
    }

    /// With another policy, or another request for the root.
    pub fn under(change: impl FnOnce(&mut Policy, &mut SpawnRequest)) -> Self {
        Self::fairly(Fairness::default(), change)
    }

    /// As [`Scene::under`], with its own word on who goes first.
    pub fn fairly(fairness: Fairness, change: impl FnOnce(&mut Policy, &mut SpawnRequest)) -> Self {
        let (mut policy, mut request) = (policy(), SpawnRequest::new("lead", Payload::null()));
        request.scopes = everything();
        change(&mut policy, &mut request);
        let submit = Submit { spawn: ready(request), limits: Limits::CEILING, fairness };
        let tree =
            Tree::open(Timestamp(START), root(), Tenant::default_tenant(), Arc::new(policy), Surface::Guest, submit)
                .unwrap_or_else(|denial| panic!("{denial}"));
        let auditor = Auditor::new();
        let mut scene = Self { tree, now: START, calls: 0, log: Vec::new(), shown: 0, auditor };
        scene.take();
        scene.start(0);
        scene.shown = scene.log.len();
        scene
    }

    pub fn at(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Takes what was decided, and checks what holds of any decision.
    pub fn take(&mut self) {
        for event in self.tree.take_events() {
            self.auditor.observe(&event).unwrap_or_else(|rule| panic!("{rule}: {event:?}"));
            let text = serde_json::to_string(&event).unwrap_or_else(|error| panic!("{error}"));
            self.log.push(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")));
            assert_eq!(self.log.last(), Some(&event), "an event is read back as it was written");
        }
        let settled = self.auditor.between_decisions().and_then(|()| self.auditor.agrees_with(&self.tree));
        settled.unwrap_or_else(|rule| panic!("{rule}, after:\n{}", self.story()));
        // Folding a long log after each of its decisions takes too long.
        if self.log.len() < 200 {
            let folded = Tree::fold(self.tree.id(), self.log.clone()).unwrap_or_else(|error| panic!("{error}"));
            assert!(folded == self.tree, "the fold of the log equals the state");
            let restored = Tree::restore(root(), &self.tree.snapshot()).unwrap_or_else(|error| panic!("{error}"));
            assert!(restored == self.tree, "what is restored from a snapshot equals the state");
        }
    }

    pub fn log(&self) -> &[Event] {
        &self.log
    }

    pub fn last(&self) -> &Event {
        self.log.last().unwrap_or_else(|| panic!("nothing was decided"))
    }

    /// Time passes, and what is due happens.
    pub fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.tree.tick(self.at());
        self.take();
    }

    pub fn try_spawn(&mut self, caller: u32, request: SpawnRequest) -> Result<Spawned, Box<Denial>> {
        self.try_ready(caller, ready(request))
    }

    pub fn try_ready(&mut self, caller: u32, spawn: Spawn) -> Result<Spawned, Box<Denial>> {
        self.calls += 1;
        let answer = self.tree.spawn_run(self.at(), id(caller), Surface::Guest, spawn, site(self.calls));
        self.take();
        answer
    }

    pub fn spawn(&mut self, caller: u32, request: SpawnRequest) -> u32 {
        self.try_spawn(caller, request).unwrap_or_else(|denial| panic!("{denial}")).run_id.index
    }

    /// A child that runs.
    pub fn live(&mut self, caller: u32, request: SpawnRequest) -> u32 {
        let run = self.spawn(caller, request);
        self.start(run);
        run
    }

    pub fn try_group(&mut self, caller: u32, group: SpawnGroup) -> Result<SpawnedGroup, Box<Denial>> {
        self.calls += 1;
        let answer = self.tree.spawn_group(self.at(), id(caller), Surface::Guest, group, site(self.calls));
        self.take();
        answer
    }

    /// A group whose members run; gives the first one.
    pub fn group(&mut self, caller: u32, join: JoinPolicy, requests: impl IntoIterator<Item = SpawnRequest>) -> u32 {
        let group = SpawnGroup { join, ..members(requests) };
        let first = self.tree.runs().len() as u32;
        let spawned = self.try_group(caller, group).unwrap_or_else(|denial| panic!("{denial}"));
        for member in &spawned.members {
            self.start(member.run_id.index);
        }
        first
    }

    pub fn start(&mut self, run: u32) {
        assert!(self.tree.start(self.at(), id(run)), "run {run} is ready");
        self.take();
    }

    pub fn finish(&mut self, run: u32, outcome: Outcome, usage: Usage) {
        let attempt = self.tree.run(id(run)).map_or(1, |run| run.attempt);
        self.tree.finish(self.at(), Finish { run_id: id(run), attempt, outcome, usage });
        self.take();
    }

    pub fn ok(&mut self, run: u32) {
        self.finish(run, Outcome::Completed(json(&run.to_string())), Usage::default());
    }

    pub fn fail(&mut self, run: u32) {
        self.finish(run, Outcome::Failed(RunError::new("broken", "it broke")), Usage::default());
    }

    /// Fails in a way that another try may mend.
    pub fn flake(&mut self, run: u32) {
        let error = RunError { retryable: true, ..RunError::new("flaky", "try again") };
        self.finish(run, Outcome::Failed(error), Usage::default());
    }

    pub fn stop(&mut self, run: u32) {
        self.finish(run, Outcome::Stopped, Usage::default());
    }

    pub fn cancel(&mut self, caller: Caller, ask: Cancel) -> Result<Cancelled, Box<Denial>> {
        let answer = self.tree.cancel_subtree(self.at(), caller, Surface::Guest, &ask);
        self.take();
        answer
    }

    pub fn status(&self, run: u32) -> RunStatus {
        self.tree.runs()[run as usize].status
    }

    pub fn statuses(&self) -> String {
        let words: Vec<&str> = self.tree.runs().iter().map(|run| run.status.as_str()).collect();
        words.join(" ")
    }

    /// What was decided since the last time it was told, a line each.
    pub fn told(&mut self) -> String {
        let lines = self.log[self.shown..].iter().map(tell);
        let text = lines.map(|line| line + "\n").collect();
        self.shown = self.log.len();
        text
    }

    fn story(&self) -> String {
        self.log.iter().map(|event| tell(event) + "\n").collect()
    }

    /// Lets go of what was decided so far.
    pub fn skip(&mut self) {
        self.shown = self.log.len();
    }
}

/// All children of a run.
pub fn about(of: u32) -> About {
    About { of: id(of), node: None }
}

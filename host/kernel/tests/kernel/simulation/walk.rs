//! The walk: one random command after the other, on one tree.

use std::sync::Arc;

use pleach_kernel::{
    About, CallSite, Caller, Cancel, Code, Denial, Finish, GroupId, JoinAnswer, Progress, Query, ReplanNode,
    Replanning, RunId, Surface, Timestamp, Tree,
};

use super::auditor::Auditor;
use super::dice::Dice;
use super::replays::{Answered, Exchange};
use super::{Report, Sabotage, requests};

/// A tree is left to end after so many steps.
const STEPS_PER_TREE: u64 = 400;

/// A planner that was asked and has not been heard yet.
#[derive(Clone)]
struct Asked {
    caller: RunId,
    planner: RunId,
    of: RunId,
    node: Option<Arc<ReplanNode>>,
}

/// One tree, and those who ask things of it.
pub struct Simulation<'a> {
    pub(super) dice: &'a mut Dice,
    pub(super) report: &'a mut Report,
    pub(super) sabotage: Option<Sabotage>,
    pub(super) now: u64,
    pub(super) tree: Tree,
    pub(super) log: Vec<String>,
    pub(super) auditor: Auditor,
    asked: Vec<Asked>,
    pub(super) decided: Vec<(GroupId, String)>,
    groups: u32,
    /// Groups, and who has spawned them.
    owners: Vec<(GroupId, RunId)>,
    calls: u32,
    pub(super) answered: Vec<Answered>,
    /// A snapshot, and how much of the log came before it.
    pub(super) kept: Option<(Vec<u8>, usize)>,
}

pub type Finding = Result<(), String>;

impl<'a> Simulation<'a> {
    pub fn open(dice: &'a mut Dice, report: &'a mut Report, sabotage: Option<Sabotage>) -> Self {
        let now = 1_700_000_000_000 + dice.below(1_000);
        report.trees += 1;
        let tree = requests::open(dice, Timestamp(now));
        let auditor = Auditor::new();
        let (log, asked, decided) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            dice,
            report,
            sabotage,
            now,
            tree,
            log,
            auditor,
            asked,
            decided,
            groups: 0,
            owners: Vec::new(),
            calls: 0,
            answered: Vec::new(),
            kept: None,
        }
    }

    pub fn live(&mut self, steps: u64) -> Finding {
        self.take("open")?;
        for _ in 0..STEPS_PER_TREE {
            if self.report.steps >= steps || self.tree.is_ended() && self.dice.one_in(8) {
                break;
            }
            self.report.steps += 1;
            let what = self.step();
            self.take(what)?;
            self.ask_again();
            self.restore_now()?;
            if self.dice.one_in(100) {
                self.refold()?;
            }
        }
        self.drain()?;
        self.refold()?;
        self.look()
    }

    /// One random command; gives its name.
    fn step(&mut self) -> &'static str {
        self.now += self.dice.below(4);
        match self.dice.below(100) {
            0..22 => self.start(),
            22..36 => self.finish(),
            36..56 => self.spawn(),
            56..62 => self.spawn_group(),
            62..66 => self.extend_group(),
            66 => self.give_up_group(),
            67..70 => self.join(),
            70..72 => self.cancel(),
            72..79 => self.evaluate(),
            79..84 => self.apply_plan(),
            84..88 => self.spend(),
            88..94 => self.tick(),
            94..96 => self.query(),
            _ => self.note(),
        }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.now)
    }

    fn surface(&mut self) -> Surface {
        *self.dice.pick(&[Surface::Guest, Surface::Guest, Surface::Guest, Surface::Graph, Surface::Graph, Surface::Api])
    }

    /// Mostly a run whose guest runs, now and then any, or one of another tree.
    fn caller(&mut self) -> RunId {
        let active: Vec<RunId> =
            self.tree.runs().iter().map(|run| run.id).filter(|id| self.tree.guest_active(*id)).collect();
        if !active.is_empty() && !self.dice.one_in(12) {
            return *self.dice.pick(&active);
        }
        self.any_run()
    }

    fn any_run(&mut self) -> RunId {
        let beyond = u64::from(self.dice.one_in(40));
        let index = self.dice.below(self.tree.runs().len() as u64 + beyond) as u32;
        RunId { root: self.tree.id(), index }
    }

    /// The next call of a guest; now and then one that asks for what an earlier
    /// one has asked for without a key.
    fn site(&mut self) -> CallSite {
        self.calls += 1;
        CallSite { call: self.calls, keyless: self.dice.below(60) as u32 }
    }

    fn start(&mut self) -> &'static str {
        let ready: Vec<RunId> = self.tree.ready().collect();
        if self.tree.room(0) == 0 || ready.is_empty() || self.dice.one_in(30) {
            let run = self.any_run();
            if !ready.contains(&run) {
                assert!(!self.tree.start(self.at(), run), "what is not ready does not start");
            }
            return "start what is not ready";
        }
        let run = *self.dice.pick(&ready);
        assert!(self.tree.start(self.at(), run), "what is ready starts");
        "start"
    }

    fn finish(&mut self) -> &'static str {
        let run_id = self.caller();
        // A tree whose root has ended has not much left to tell.
        let stays = |run: &&pleach_kernel::Run| run.depth > 0 || self.tree.stops(0).any(|stop| stop == run.id);
        let Some(run) = self.tree.run(run_id).filter(|run| stays(run) || self.dice.one_in(40)) else {
            return "finish nothing";
        };
        let attempt = if self.dice.one_in(20) { self.dice.below(4) as u32 } else { run.attempt };
        let outcome = requests::outcome(self.dice);
        let usage = requests::usage(self.dice, 20);
        self.tree.finish(self.at(), Finish { run_id, attempt, outcome, usage });
        "finish"
    }

    fn spawn(&mut self) -> &'static str {
        let (caller, surface) = (self.caller(), self.surface());
        let spawn = requests::keyed(self.dice);
        let site = self.site();
        match self.tree.spawn_run(self.at(), caller, surface, spawn.clone(), site) {
            Ok(spawned) => self.answered(caller, site.call, Exchange::Spawn(Box::new(spawn), Box::new(spawned))),
            Err(denial) => self.denied(&denial),
        }
        "spawn_run"
    }

    fn spawn_group(&mut self) -> &'static str {
        let (caller, surface) = (self.caller(), self.surface());
        let group = requests::group(self.dice);
        let (members, site) = (group.members.len(), self.site());
        let before = self.tree.runs().len();
        match self.tree.spawn_group(self.at(), caller, surface, group.clone(), site) {
            Ok(spawned) => {
                assert_eq!(spawned.members.len(), members, "a group is all of its members");
                self.groups = self.groups.max(spawned.group_id.index + 1);
                self.owners.push((spawned.group_id, caller));
                self.answered(caller, site.call, Exchange::Group(group, spawned));
            }
            Err(denial) => {
                assert_eq!(self.tree.runs().len(), before, "a group that is denied spawns none");
                self.denied(&denial);
            }
        }
        "spawn_group"
    }

    fn extend_group(&mut self) -> &'static str {
        let surface = self.surface();
        if self.owners.is_empty() {
            return "extend nothing";
        }
        let (group, owner) = *self.dice.pick(&self.owners);
        let caller = if self.dice.one_in(12) { self.caller() } else { owner };
        let members = (0..self.dice.below(3)).map(|_| requests::spawn(self.dice)).collect::<Vec<_>>();
        let (before, asked) = (self.tree.runs().len(), members.len());
        let first = self.dice.below(4) as u32;
        match self.tree.extend_group(self.at(), caller, surface, group, first, members) {
            Ok(added) => {
                let new = self.tree.runs().len() - before;
                assert!(new <= added.len() && added.len() <= asked, "{new} of {added:?}");
                assert!(new == 0 || added.len() == asked, "all of them are added, or none");
            }
            Err(denial) => {
                assert_eq!(self.tree.runs().len(), before, "what is denied adds none");
                self.denied(&denial);
            }
        }
        "extend_group"
    }

    fn give_up_group(&mut self) -> &'static str {
        let surface = self.surface();
        if self.owners.is_empty() {
            return "give up nothing";
        }
        let (group, owner) = *self.dice.pick(&self.owners);
        let caller = if self.dice.one_in(12) { self.caller() } else { owner };
        if let Err(denial) = self.tree.give_up_group(self.at(), caller, surface, group) {
            self.denied(&denial);
        }
        "give_up_group"
    }

    fn join(&mut self) -> &'static str {
        let (caller, surface) = (self.caller(), self.surface());
        let group = GroupId { root: self.tree.id(), index: self.dice.below(u64::from(self.groups) + 1) as u32 };
        match self.tree.join(self.at(), Caller::Run(caller), surface, group) {
            Ok(JoinAnswer::Decided(result)) => {
                assert_eq!(self.tree.join_result(group).as_ref(), Some(&*result));
            }
            Ok(JoinAnswer::Waiting) => assert!(self.tree.join_result(group).is_none()),
            Err(denial) => self.denied(&denial),
        }
        "join"
    }

    fn cancel(&mut self) -> &'static str {
        let (caller, surface, run_id) = (self.caller(), self.surface(), self.any_run());
        let caller = if self.dice.one_in(3) { Caller::Operator } else { Caller::Run(caller) };
        let spared = run_id.index == 0 && !self.dice.one_in(10) || self.dice.one_in(3);
        let ask = Cancel { include_root: !spared, ..Cancel::of(run_id) };
        match self.tree.cancel_subtree(self.at(), caller, surface, &ask) {
            Ok(answer) => {
                assert_eq!(answer.cancelled_count as usize, answer.cancelled_run_ids.len());
                let again = self.tree.cancel_subtree(self.at(), Caller::Operator, surface, &ask);
                assert_eq!(again.map(|again| again.cancelled_count), Ok(0), "asking twice returns 0");
            }
            Err(denial) => self.denied(&denial),
        }
        "cancel_subtree"
    }

    fn evaluate(&mut self) -> &'static str {
        let (caller, surface) = (self.caller(), self.surface());
        let of = self.dice.one_in(5).then(|| self.any_run());
        let (ask, site) = (requests::evaluate(self.dice, &self.tree, of), self.site());
        let asked = ask.clone();
        match self.tree.evaluate(self.at(), caller, surface, ask, site) {
            Ok(Replanning::Asked { planner, of }) => {
                self.asked.push(Asked { caller, planner, of, node: asked.node.clone() });
                self.answered(caller, site.call, Exchange::Planner(Box::new(asked), planner, of));
            }
            Ok(Replanning::Answered(answer)) => assert!(answer.replans_used <= answer.max_replans),
            Err(denial) => self.denied(&denial),
        }
        "evaluate"
    }

    fn apply_plan(&mut self) -> &'static str {
        if self.asked.is_empty() {
            return "no plan";
        }
        let place = self.dice.below(self.asked.len() as u64) as usize;
        let asked = self.asked[place].clone();
        if self.tree.guest_active(asked.planner) && !self.dice.one_in(4) {
            return "no plan yet";
        }
        self.asked.swap_remove(place);
        let surface = self.surface();
        let plan = requests::plan(self.dice, &self.tree, asked.of);
        let about = About { of: asked.of, node: asked.node };
        match self.tree.apply_plan(self.at(), asked.caller, surface, &about, plan) {
            Ok(answer) => {
                let groups = answer.plan.iter().filter_map(|plan| plan.group_id);
                self.groups = groups.map(|group| group.index + 1).fold(self.groups, u32::max);
            }
            Err(denial) => self.denied(&denial),
        }
        "apply_plan"
    }

    fn spend(&mut self) -> &'static str {
        let caller = self.caller();
        let usage = requests::usage(self.dice, 40);
        self.tree.spend(self.at(), caller, usage);
        "spend"
    }

    fn tick(&mut self) -> &'static str {
        self.now = match (self.dice.below(4), self.tree.next_timer()) {
            (0, Some(due)) => due.0.max(self.now),
            (1, Some(due)) => due.0.saturating_sub(1).max(self.now),
            (2, _) if self.dice.one_in(10) => self.now + 100_000,
            _ => self.now + self.dice.below(60),
        };
        self.tree.tick(self.at());
        let due = self.tree.next_timer();
        assert!(due.is_none_or(|due| due > self.at()), "after a tick nothing is overdue: {due:?}");
        "tick"
    }

    fn query(&mut self) -> &'static str {
        let (caller, surface) = (self.caller(), self.surface());
        let run_id = Some(self.any_run());
        let query = Query {
            run_id,
            max_depth: self.dice.maybe(2, 4).map(|n| n as u32),
            max_nodes: self.dice.maybe(2, 12).map(|n| n as u32),
            skip_children: self.dice.below(3) as u32,
        };
        match self.tree.query(self.at(), Caller::Run(caller), surface, &query) {
            Ok(view) => {
                fn nodes(view: &pleach_kernel::RunView) -> u32 {
                    1 + view.children.iter().map(nodes).sum::<u32>()
                }
                assert_eq!(nodes(&view.tree), view.node_count);
                assert!(view.node_count <= query.max_nodes.unwrap_or(u32::MAX).max(1));
            }
            Err(denial) => self.denied(&denial),
        }
        "query_tree"
    }

    fn note(&mut self) -> &'static str {
        let caller = self.caller();
        if self.dice.one_in(2) {
            let message = "half way".into();
            let progress =
                Progress { message, fraction: Some(0.1 * self.dice.below(11) as f64), data: None, dropped: 0 };
            let call = self.site().call;
            self.tree.record_progress(self.at(), caller, call, progress);
            return "progress";
        }
        let denial = Denial::new(Code::ScopeRequired, "files.read", "not granted");
        self.tree.record_denial(self.at(), caller, denial);
        "deny"
    }

    fn denied(&mut self, denial: &Denial) {
        *self.report.denials.entry(denial.code.as_str()).or_default() += 1;
    }
}

//! Properties over random trees: what holds however the calls interleave.
//!
//! Every play is audited, and folded from JSON after every decision, by the
//! scene itself; each property here looks at the whole once more, in its own way.

use std::collections::BTreeMap;

use pleach_kernel::*;
use proptest::prelude::*;

use crate::scene::*;

/// One thing that somebody does. Numbers stand for runs, modulo how many there
/// are, so that any list of these makes sense.
#[derive(Clone, Debug)]
enum Op {
    Spawn { caller: u32, key: Option<u8>, kind: Kind },
    Group { caller: u32, mode: u8, timeout_ms: u64, kinds: Vec<Kind> },
    Start { nth: usize },
    Finish { run: u32, how: u8, tokens: u64 },
    Cancel { run: u32, include_root: bool },
    Spend { run: u32, tokens: u64 },
    Wait { ms: u64 },
}

/// What a child is asked to be.
#[derive(Clone, Debug)]
struct Kind {
    /// One bit for each of [`HELD`], to use and to delegate.
    can_use: u8,
    can_delegate: u8,
    tokens: Option<u64>,
    timeout_ms: Option<u64>,
    tries: u32,
    close: u8,
}

const HELD: [&str; 8] =
    ["spawn:*", "spawn:a", "fs.read:*", "fs.read:x/*", "fs.read:x/y", "llm:*", "run.abandon:*", "run.cancel:*"];

fn list(bits: u8) -> Vec<Scope> {
    HELD.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, text)| scope(text)).collect()
}

impl Kind {
    fn request(&self) -> SpawnRequest {
        with(child("a"), |request| {
            request.scopes = Grant::new(list(self.can_use), list(self.can_delegate));
            request.budget.tokens = self.tokens;
            request.timeout_ms = self.timeout_ms;
            request.retry = (self.tries > 1).then(|| retrying(self.tries, 7).retry).flatten();
            request.parent_close =
                [ParentClose::Cancel, ParentClose::Wait, ParentClose::Abandon][usize::from(self.close % 3)];
        })
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    // Mostly generous, so that trees grow deep.
    let bits = || prop_oneof![3 => Just(0xff_u8), 2 => any::<u8>()];
    let tokens = proptest::option::weighted(0.3, 0..40_u64);
    let timeout_ms = proptest::option::weighted(0.3, 1..60_u64);
    (bits(), bits(), tokens, timeout_ms, 1..4_u32, any::<u8>()).prop_map(
        |(can_use, can_delegate, tokens, timeout_ms, tries, close)| Kind {
            can_use,
            can_delegate,
            tokens,
            timeout_ms,
            tries,
            close,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (any::<u32>(), proptest::option::weighted(0.3, 0..3_u8), kind())
            .prop_map(|(caller, key, kind)| Op::Spawn { caller, key, kind }),
        3 => (any::<u32>(), any::<u8>(), 1..90_u64, proptest::collection::vec(kind(), 0..5))
            .prop_map(|(caller, mode, timeout_ms, kinds)| Op::Group { caller, mode, timeout_ms, kinds }),
        8 => any::<usize>().prop_map(|nth| Op::Start { nth }),
        6 => (any::<u32>(), any::<u8>(), 0..9_u64).prop_map(|(run, how, tokens)| Op::Finish { run, how, tokens }),
        1 => (any::<u32>(), any::<bool>()).prop_map(|(run, include_root)| Op::Cancel { run, include_root }),
        2 => (any::<u32>(), 0..9_u64).prop_map(|(run, tokens)| Op::Spend { run, tokens }),
        2 => (0..40_u64).prop_map(|ms| Op::Wait { ms }),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(), 1..60)
}

fn do_it(scene: &mut Scene, op: &Op) {
    let count = scene.tree.runs().len() as u32;
    match op {
        Op::Spawn { caller, key, kind } => {
            let request = with(kind.request(), |request| request.spawn_key = key.map(|key| format!("k{key}").into()));
            let _ = scene.try_spawn(caller % count, request);
        }
        Op::Group { caller, mode, timeout_ms, kinds } => {
            let modes = [JoinMode::BestEffort, JoinMode::FailFast, JoinMode::Quorum, JoinMode::FirstSuccess];
            let mode = modes[usize::from(mode % 4)];
            let quorum = (mode == JoinMode::Quorum).then_some(kinds.len() as u32 / 2);
            let join = JoinPolicy { mode, quorum, timeout_ms: Some(*timeout_ms) };
            let _ = scene.try_group(caller % count, SpawnGroup { join, ..members(kinds.iter().map(Kind::request)) });
        }
        Op::Start { nth } => {
            let ready: Vec<RunId> = scene.tree.ready().collect();
            if scene.tree.room(0) > 0 && !ready.is_empty() {
                scene.start(ready[nth % ready.len()].index);
            }
        }
        Op::Finish { run, how, tokens } => {
            let flaky = RunError { retryable: true, ..RunError::new("flaky", "") };
            let outcome = match how % 5 {
                0 | 1 => Outcome::Completed(json("1")),
                2 => Outcome::Failed(flaky),
                3 => Outcome::Failed(RunError::new("broken", "")),
                _ => Outcome::Stopped,
            };
            scene.finish(run % count, outcome, Usage { tokens: *tokens, ..Usage::default() });
        }
        Op::Cancel { run, include_root } => {
            let ask = Cancel { include_root: *include_root, ..Cancel::of(id(run % count)) };
            let _ = scene.cancel(Caller::Operator, ask);
        }
        Op::Spend { run, tokens } => {
            scene.tree.spend(scene.at(), id(run % count), Usage { tokens: *tokens, ..Usage::default() });
            scene.take();
        }
        Op::Wait { ms } => scene.wait(*ms),
    }
}

/// Lets everything end that has not.
fn drain(scene: &mut Scene) {
    let mut patience = 10_000;
    while !scene.tree.is_ended() {
        patience -= 1;
        assert!(patience > 0, "a tree that nobody holds up ends");
        let running = scene.tree.runs().iter().find(|run| scene.tree.guest_active(run.id)).map(|run| run.id.index);
        let ready = scene.tree.ready().next();
        match (running, ready, scene.tree.next_timer()) {
            (Some(run), _, _) => scene.ok(run),
            (None, Some(run), _) => scene.start(run.index),
            (None, None, Some(due)) => scene.wait(due.since_ms(scene.at())),
            (None, None, None) => panic!("nothing is left to happen, and the tree has not ended"),
        }
    }
}

fn play(scene: &mut Scene, ops: &[Op]) {
    ops.iter().for_each(|op| do_it(scene, op));
    drain(scene);
}

fn stage(fanout: u32, total: u32, depth: u32, concurrency: u32, tokens: Option<u64>) -> Scene {
    Scene::under(|policy, request| {
        policy.limits.max_fanout = fanout;
        policy.limits.max_children_total = total;
        policy.limits.max_depth = depth;
        policy.limits.max_concurrency = concurrency;
        request.budget.tokens = tokens;
    })
}

/// All that the engine reads off a tree to know what to do.
#[derive(Debug, PartialEq)]
struct Outstanding {
    ready: Vec<RunId>,
    active: Vec<(RunId, bool, u32)>,
    stops: Vec<RunId>,
    decisions: Vec<GroupId>,
    next_timer: Option<Timestamp>,
    is_ended: bool,
}

fn outstanding(tree: &Tree) -> Outstanding {
    let active = tree.active_guests().map(|run| (run, tree.is_closing(run), tree.calls_reached(run)));
    Outstanding {
        ready: tree.ready().collect(),
        active: active.collect(),
        stops: tree.stops(0).collect(),
        decisions: tree.decisions(0).collect(),
        next_timer: tree.next_timer(),
        is_ended: tree.is_ended(),
    }
}

fn parent_of(scene: &Scene, run: &Run) -> Option<u32> {
    scene.tree.lineage(run).parent_run_id.map(|parent| parent.index)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a run holds was in the hands of each of its ancestors, and of policy.
    #[test]
    fn authority_never_grows_on_the_way_down(ops in ops()) {
        let mut scene = stage(9, 60, 9, 99, None);
        play(&mut scene, &ops);
        for run in &scene.tree.runs()[1..] {
            let mut at = parent_of(&scene, run);
            while let Some(ancestor) = at {
                let ancestor = &scene.tree.runs()[ancestor as usize];
                for held in run.spec.request.scopes.scopes() {
                    prop_assert!(ancestor.spec.request.scopes.hands_on(held), "{held} of {}", run.id);
                    prop_assert!(covered(&scene.tree.policy().scopes, held));
                }
                at = parent_of(&scene, ancestor);
            }
        }
    }

    #[test]
    fn limits_are_never_exceeded_under_any_interleaving(
        ops in ops(), fanout in 0..6_u32, total in 0..12_u32, depth in 0..5_u32, concurrency in 1..4_u32,
    ) {
        let mut scene = stage(fanout, total, depth, concurrency, None);
        for op in &ops {
            do_it(&mut scene, op);
            prop_assert!(scene.tree.active() <= concurrency);
            prop_assert!(scene.tree.runs().len() as u32 - 1 <= total);
        }
        drain(&mut scene);
        let mut children: BTreeMap<u32, u32> = BTreeMap::new();
        for run in scene.tree.runs() {
            prop_assert!(run.depth <= depth);
            parent_of(&scene, run).into_iter().for_each(|parent| *children.entry(parent).or_default() += 1);
        }
        prop_assert!(children.values().all(|count| *count <= fanout));
        // And nobody is refused below a limit.
        for event in scene.log() {
            let Fact::PolicyDeny(denial) = &event.fact else { continue };
            if let (Code::MaxFanout | Code::MaxChildrenTotal, Some(limit), Some(requested), Some(current)) =
                (denial.code, denial.limit, denial.requested, denial.current)
            {
                prop_assert!(current + requested > limit);
            }
        }
    }

    /// The scene compares after each decision; here a tree is killed in the
    /// middle, and what follows is the same with it and without.
    #[test]
    fn a_tree_that_is_folded_anew_goes_on_as_if_nothing_had_been(ops in ops(), cut in 0..60_usize) {
        let mut whole = stage(9, 60, 9, 9, Some(90));
        let mut killed = stage(9, 60, 9, 9, Some(90));
        for (step, op) in ops.iter().enumerate() {
            do_it(&mut whole, op);
            do_it(&mut killed, op);
            if step == cut {
                let lines: Vec<String> = killed.log().iter().map(|event| serde_json::to_string(event).unwrap()).collect();
                let events = lines.iter().map(|line| serde_json::from_str(line).unwrap());
                killed.tree = Tree::fold(root(), events).unwrap();
            }
        }
        prop_assert_eq!(whole.log(), killed.log());
        prop_assert!(whole.tree == killed.tree);
    }

    /// A host that starts over reads off the log, however much of it there is,
    /// what the host before it had to do.
    #[test]
    fn what_there_is_to_do_follows_from_any_prefix_of_the_log(ops in ops()) {
        let mut scene = stage(9, 60, 9, 9, Some(90));
        let mut seen = BTreeMap::from([(scene.tree.seq(), outstanding(&scene.tree))]);
        for op in &ops {
            do_it(&mut scene, op);
            seen.insert(scene.tree.seq(), outstanding(&scene.tree));
        }
        let mut tree = Tree::fold(root(), scene.log()[..1].iter().cloned()).unwrap();
        for event in &scene.log()[1..] {
            tree.fold_on([event.clone()]).unwrap();
            prop_assert!(seen.get(&tree.seq()).is_none_or(|seen| *seen == outstanding(&tree)));
            let restored = Tree::restore(root(), &tree.snapshot()).unwrap();
            prop_assert_eq!(outstanding(&restored), outstanding(&tree));
            prop_assert!(restored == tree);
        }
    }

    #[test]
    fn every_run_ends_exactly_once(ops in ops()) {
        let mut scene = stage(9, 60, 9, 9, Some(60));
        play(&mut scene, &ops);
        let mut ends: BTreeMap<u32, u32> = BTreeMap::new();
        let mut ended = Vec::new();
        for event in scene.log() {
            let Fact::ChildLifecycle(life) = &event.fact else { continue };
            let last = matches!(life.status, Step::Completed | Step::Failed | Step::Cancelled | Step::TimedOut);
            let run = life.child_run_id.index;
            if last && !(life.late.is_some() && ended.contains(&run)) {
                *ends.entry(run).or_default() += 1;
                ended.push(run);
            }
        }
        prop_assert_eq!(ends.len(), scene.tree.runs().len());
        prop_assert!(ends.values().all(|count| *count == 1), "{:?}", ends);
    }

    #[test]
    fn a_decided_join_never_changes(ops in ops()) {
        let mut scene = stage(20, 90, 9, 99, None);
        let mut decided: BTreeMap<u32, String> = BTreeMap::new();
        let mut look = |scene: &Scene| {
            for group in 0.. {
                let Some(result) = scene.tree.join_result(group_id(group)) else {
                    // A later group may be decided before this one.
                    if group as usize > scene.log().len() { break } else { continue }
                };
                let text = serde_json::to_string(&result).unwrap();
                let first = decided.entry(group).or_insert_with(|| text.clone());
                assert_eq!(*first, text);
            }
        };
        for op in &ops {
            do_it(&mut scene, op);
            look(&scene);
        }
        drain(&mut scene);
        look(&scene);
        let groups = scene.log().iter().filter(|event| matches!(&event.fact, Fact::SpawnDecision(d) if d.group.is_some()));
        prop_assert_eq!(groups.count(), decided.len(), "and every group is decided in the end");
    }

    #[test]
    fn nothing_starts_in_a_cancelled_subtree(ops in ops(), at in 0..40_usize, root in any::<u32>()) {
        let mut scene = stage(9, 60, 9, 99, None);
        let (before, after) = ops.split_at(at.min(ops.len()));
        before.iter().for_each(|op| do_it(&mut scene, op));
        let root = root % scene.tree.runs().len() as u32;
        scene.cancel(Caller::Operator, Cancel::of(id(root))).unwrap();
        let seq = scene.tree.seq();
        let below = |scene: &Scene, run: u32| {
            let mut at = Some(run);
            while let Some(run) = at.filter(|run| *run != root) {
                at = parent_of(scene, &scene.tree.runs()[run as usize]);
            }
            at == Some(root)
        };
        after.iter().for_each(|op| do_it(&mut scene, op));
        drain(&mut scene);
        for event in scene.log().iter().filter(|event| event.seq > seq) {
            match &event.fact {
                Fact::ChildLifecycle(life) if life.status == Step::Started => {
                    prop_assert!(!below(&scene, life.child_run_id.index), "{:?}", event);
                }
                Fact::SpawnDecision(decision) if !decision.idempotent => {
                    prop_assert!(!below(&scene, event.run_id.index), "{:?}", event);
                }
                _ => {}
            }
        }
    }

    /// Each run may go over by what it had under way, and by no more.
    #[test]
    fn budgets_add_up_and_are_overspent_by_one_call_a_run_at_most(ops in ops(), granted in 0..200_u64) {
        let mut scene = stage(9, 60, 9, 99, Some(granted));
        play(&mut scene, &ops);
        let mut total = 0;
        let mut after_the_end: BTreeMap<u32, u32> = BTreeMap::new();
        for event in scene.log() {
            let (run, spent) = match &event.fact {
                Fact::ChildLifecycle(life) => (life.child_run_id.index, life.usage.map_or(0, |usage| usage.tokens)),
                Fact::Budget(moved) => (event.run_id.index, moved.spent.tokens),
                _ => continue,
            };
            // Where it has crossed, what still comes in was under way: the end
            // of each guest, and calls that its host had made.
            if total > granted && spent > 0 && matches!(event.fact, Fact::ChildLifecycle(_)) {
                *after_the_end.entry(run).or_default() += 1;
            }
            total += spent;
        }
        prop_assert_eq!(scene.tree.usage().tokens, total);
        prop_assert_eq!(scene.tree.remaining_budget(id(0)).tokens, Some(granted.saturating_sub(total)));
        prop_assert!(after_the_end.values().all(|count| *count == 1), "{:?}", after_the_end);
    }
}

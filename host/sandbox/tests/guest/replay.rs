//! Running a guest again: it is answered as it was, nothing happens twice, and
//! where it does something else its run fails.

use std::sync::{Arc, Mutex};

use pleach_kernel::{Budget, Outcome, Payload, RunError};
use pleach_sandbox::journal::what;
use pleach_sandbox::{GuestLimits, HostCalls, Job, Plugin, Program, Replay, Running, start_native};
use serde_json::{Value, json};

use crate::fake::{Purse, component, job, load, output, sandbox};
use crate::ledger::{End, Fact, Ledger};
use crate::walker::{Step, Walker, native_job, plugin, walk};

/// Every call that there is, and a look at the clock after each.
const EVERYTHING: &[Step] = &[
    Step::Now,
    Step::Report,
    Step::Spawn { keyed: false },
    Step::Now,
    Step::Now,
    Step::SpawnRefused,
    Step::Group,
    Step::Spawn { keyed: true },
    Step::GroupRefused,
    Step::Join,
    Step::JoinRefused,
    Step::AgentCall,
    Step::Now,
    Step::Cancel,
    Step::Evaluate,
    Step::Replan,
    Step::Query { length: 1 },
    Step::Query { length: 10_000 },
    Step::Report,
    Step::RemainingBudget,
    Step::Sleep { ms: 5_000 },
    Step::Now,
    Step::Read { length: 3 },
    Step::Read { length: 100_000 },
    Step::ReadFails,
    Step::ReadRefused,
    Step::Now,
    Step::Effect,
    Step::EffectFails,
    Step::Spawn { keyed: false },
    Step::Report,
];

fn failure(end: End) -> RunError {
    match end {
        End::Finished(finish) => match finish.outcome {
            Outcome::Failed(error) => error,
            other => panic!("{other:?}"),
        },
        End::Parked(parked) => panic!("{parked:?}"),
    }
}

fn completed(end: &End) -> bool {
    matches!(end, End::Finished(finish) if matches!(finish.outcome, Outcome::Completed(_)))
}

#[tokio::test]
async fn a_guest_that_is_run_again_is_answered_as_it_was_and_nothing_happens_twice() {
    let (ledger, mut ends) = Ledger::new();
    let (first, end) = walk(EVERYTHING, &ledger, &mut ends).await;
    let End::Finished(finish) = &end else { panic!("{end:?}") };
    let facts = ledger.facts().len();
    assert!(completed(&end), "{end:?}");
    assert_eq!((first.effects().len(), ledger.fetched()), (2, 0));

    let (second, end) = walk(EVERYTHING, &ledger, &mut ends).await;
    assert_eq!(second.answers(), first.answers());
    assert_eq!(ledger.violations(), [""; 0]);
    assert_eq!(second.effects(), [""; 0], "no effect is had twice");
    assert_eq!(ledger.fetched(), 2, "long answers were fetched");
    assert_eq!(ledger.facts().len(), facts, "nothing new was told");
    let End::Finished(again) = end else { panic!("{end:?}") };
    assert_eq!(again.usage.host_calls, finish.usage.host_calls, "its usage is what it was");
}

#[tokio::test]
async fn a_component_is_replayed_like_a_native() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let steps = json!([
        {"op": "now"}, {"op": "spawn", "target": "a"}, {"op": "now"}, {"op": "spawn", "target": "refused"},
        {"op": "group", "members": [{"target": "b"}]}, {"op": "join", "group": "$4.group_id"},
        {"op": "call", "target": "c"}, {"op": "join", "group": "nope"}, {"op": "cancel", "run_id": "$1.run_id"},
        {"op": "evaluate"}, {"op": "query", "skip_children": 9_000}, {"op": "now"}, {"op": "sleep", "ms": 50_000},
        {"op": "now"}, {"op": "roots"}, {"op": "read", "path": "a/b", "offset": 0, "length": 1},
        {"op": "progress", "message": "m"}, {"op": "log", "message": "m"}, {"op": "remaining_budget"},
        {"op": "context"}, {"op": "now"},
    ]);
    let (ledger, mut ends) = Ledger::new();
    let mut outputs: Vec<Value> = Vec::new();
    let mut facts = Vec::new();
    for _ in 0..2 {
        let mut job = job(&sandbox, &steps, |job| job.replay = ledger.replay());
        job.grant = crate::fake::grant(&["fs.read:a/*"]);
        sandbox.start(&script, job, ledger.clone());
        let End::Finished(finish) = ends.recv().await.unwrap() else { panic!("nobody parked it") };
        outputs.push(output(finish.outcome));
        facts.push(ledger.facts().len());
    }
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(facts[0], facts[1]);
    assert_eq!(ledger.violations(), [""; 0]);
    assert_eq!(outputs[0][15]["error"]["failed"]["code"], json!("not_found"), "{}", outputs[0][15]);
    let denials = |facts: &[Fact]| facts.iter().filter(|fact| matches!(fact, Fact::Denied)).count();
    assert_eq!(denials(&ledger.facts()), 1, "a refusal is told once");
}

#[tokio::test]
async fn wherever_the_host_dies_the_guest_goes_on_from_there() {
    // A seeded walk (splitmix64) over programs and over places to die.
    for seed in 0..40_u64 {
        let mut state = seed;
        let mut draw = move |below: usize| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) as usize % below
        };
        let length = 1 + draw(12);
        let steps: Vec<Step> = (0..length).map(|_| EVERYTHING[draw(EVERYTHING.len())]).collect();
        let (ledger, mut ends) = Ledger::new();
        let (live, _) = walk(&steps, &ledger, &mut ends).await;
        let (facts, was) = (ledger.facts(), live.transcript());
        for known in 0..=facts.len() {
            let (ledger, mut ends) = Ledger::with(facts[..known].to_vec(), 900_000);
            let (replayed, end) = walk(&steps, &ledger, &mut ends).await;
            let about = format!("seed {seed}, {known} facts of {}, steps {steps:?}", facts.len());
            assert!(completed(&end), "{about}: {end:?}");
            assert_eq!(ledger.violations(), [""; 0], "{about}");
            let is = replayed.transcript();
            for ((was, told), (is, _)) in was.iter().zip(&is) {
                if *told > known {
                    break;
                }
                assert_eq!(is, was, "{about}");
            }
            assert_eq!(is.len(), was.len(), "{about}");
        }
    }
}

#[tokio::test]
async fn an_effect_without_a_result_is_had_again_with_the_same_key() {
    let (ledger, mut ends) = Ledger::new();
    let steps = [Step::Now, Step::Effect, Step::Now];
    walk(&steps, &ledger, &mut ends).await;
    let intent = |fact: &Fact| matches!(fact, Fact::Entry(entry) if entry.body[1] == 3);
    let at = ledger.facts().iter().position(intent).expect("an intent before the effect");
    let key = "00000000-0000-0000-0000-000000000007/1/0";

    let (ledger, mut ends) = Ledger::with(ledger.facts()[..=at].to_vec(), 5_000);
    let (again, end) = walk(&steps, &ledger, &mut ends).await;
    assert!(completed(&end) && ledger.violations().is_empty(), "{end:?} {:?}", ledger.violations());
    assert_eq!(again.effects(), [key]);
    let (third, _) = walk(&steps, &ledger, &mut ends).await;
    assert_eq!(third.effects(), [""; 0], "its result was recorded");
}

#[tokio::test]
async fn the_intent_is_durable_before_the_effect_begins() {
    let (ledger, mut ends) = Ledger::new();
    let held = ledger.hold_back(Some("intend"));
    let walker = Arc::new(Walker::new(&[Step::Effect], &ledger));
    let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
    let task = tokio::spawn(task);
    held.notified().await;
    assert_eq!(walker.effects(), [""; 0]);
    stop.kill();
    task.await.unwrap();
    assert!(matches!(ends.recv().await, Some(End::Finished(finish)) if finish.outcome == Outcome::Stopped));
}

#[tokio::test]
async fn a_guest_that_does_something_else_fails_and_hears_what_it_was() {
    let (spawn, query) = (Step::Spawn { keyed: false }, Step::Query { length: 1 });
    // What it did before, what it does now, and what the message says.
    let table: &[(&[Step], &[Step], &[&str])] = &[
        (&[query], &[Step::Query { length: 2 }], &["host call 0", "`query_tree`", "the hash"]),
        (&[query], &[Step::Cancel], &["recorded as `query_tree`", "asked for `cancel_subtree`"]),
        (&[query], &[spawn], &["recorded as `query_tree`", "asked for `spawn_run`"]),
        (&[spawn], &[Step::AgentCall], &["host call 0 was `spawn_run`", "asked for `agent_call`"]),
        (&[spawn], &[query], &["host call 0 was `spawn_run`", "asked for `query_tree`"]),
        (&[Step::SpawnRefused], &[spawn], &["recorded as `spawn_run`", "asked for `spawn_run`"]),
        (&[query, Step::Now], &[query, Step::Report], &["recorded as `clock.now`", "asked for `progress.report`"]),
        (&[query, Step::Now], &[query, query], &["recorded as `clock.now`", "asked for `query_tree`"]),
        (&[query, query], &[query, Step::Now], &["host call 1 was recorded as `query_tree`", "`clock.now`"]),
        (&[Step::Join, query], &[query], &["host call 0 left nothing behind", "asked for `query_tree`"]),
        (&[Step::Report, query], &[Step::Now, Step::Sleep { ms: 1 }], &["host call 0 left nothing behind"]),
        (&[Step::Effect], &[Step::EffectFails], &["recorded as `test.effect`", "asked for `test.effect`"]),
        (&[spawn, query], &[spawn], &["completed after 1 host calls", "made 2 before", "call 1 was recorded"]),
        (&[spawn, spawn], &[spawn], &["call 1 was `spawn_run`, which made runs"]),
        (&[query], &[], &["completed after 0 host calls"]),
        (&[query], &[Step::Fail], &["failed after 0 host calls"]),
    ];
    for (before, now, words) in table {
        let (ledger, mut ends) = Ledger::new();
        walk(before, &ledger, &mut ends).await;
        let (_, end) = walk(now, &ledger, &mut ends).await;
        let error = failure(end);
        assert_eq!((&*error.code, error.retryable), ("nondeterminism", false), "{before:?} {now:?}");
        for word in *words {
            assert!(error.message.contains(word), "{before:?} {now:?}: {}", error.message);
        }
    }
}

#[tokio::test]
async fn a_component_that_does_something_else_is_not_polled_again() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let (ledger, mut ends) = Ledger::new();
    let mut run = async |steps: Value| {
        let job = job(&sandbox, &steps, |job| job.replay = ledger.replay());
        sandbox.start(&script, job, ledger.clone());
        ends.recv().await.unwrap()
    };
    run(json!([{"op": "query"}, {"op": "now"}])).await;
    for other in [json!([{"op": "query"}, {"op": "progress", "message": "m"}]), json!([{"op": "now"}])] {
        let error = failure(run(other.clone()).await);
        assert_eq!(&*error.code, "nondeterminism", "{other}: {error:?}");
    }
}

#[tokio::test]
async fn a_journal_that_makes_no_sense_fails_the_run() {
    let (ledger, mut ends) = Ledger::new();
    let steps = [Step::Query { length: 1 }, Step::Now];
    walk(&steps, &ledger, &mut ends).await;
    for at in 0..2 {
        let mut replay = ledger.replay();
        replay.entries[at].answer = pleach_sandbox::Answer::Given(b"{".as_slice().into());
        let walker = Arc::new(Walker::new(&steps, &ledger));
        let (_, task) = start_native(&plugin(&walker), native_job(&ledger, replay), ledger.clone());
        task.await;
        let error = failure(ends.recv().await.unwrap());
        assert_eq!(&*error.code, "journal_unreadable");
        assert!(error.message.contains(&format!("host call {at}")), "{error:?}");
    }
}

#[tokio::test]
async fn a_guest_that_spins_on_recorded_calls_fills_no_disk() {
    for (steps, limit, most) in [
        (vec![Step::Query { length: 1 }; 50], "journal_entries", 20),
        (vec![Step::Query { length: 100_000 }; 50], "journal_bytes", 11),
        (vec![Step::Read { length: 100_000 }; 50], "journal_bytes", 10),
        (vec![Step::Effect; 50], "journal_entries", 20),
    ] {
        let limits = GuestLimits { journal_entries: 20, journal_bytes: 1_050_000, ..GuestLimits::default() };
        let sandbox = sandbox(limits);
        let (ledger, mut ends) = Ledger::new();
        // What was recorded in an earlier life counts.
        walk(&steps[..5], &ledger, &mut ends).await;
        let walker = Arc::new(Walker::new(&steps, &ledger));
        let job = native_job(&ledger, ledger.replay());
        sandbox.start(&plugin(&walker), job, ledger.clone());
        let error = failure(ends.recv().await.unwrap());
        assert_eq!((&*error.code, error.retryable), ("journal_limit", false));
        assert!(error.message.contains(limit), "{steps:?}: {error:?}");
        assert!(ledger.recorded() <= most + 1, "{} {steps:?}", ledger.recorded());
    }
}

#[tokio::test]
async fn a_replayed_call_is_counted_and_never_refused() {
    let (ledger, mut ends) = Ledger::new();
    let steps = [Step::Query { length: 1 }, Step::Query { length: 1 }, Step::Query { length: 1 }];
    let (first, _) = walk(&steps[..2], &ledger, &mut ends).await;
    let purse = Purse::of(Budget { host_calls: Some(1), ..Budget::default() });
    for _ in 0..2 {
        let job = Job { accounts: Some(purse.clone()), ..native_job(&ledger, ledger.replay()) };
        let walker = Arc::new(Walker::new(&steps, &ledger));
        let (_, task) = start_native(&plugin(&walker), job, ledger.clone());
        task.await;
        let End::Finished(finish) = ends.recv().await.unwrap() else { panic!("nobody parked it") };
        let answers = walker.answers();
        assert_eq!(answers[..2], first.answers());
        assert!(answers[2].contains("BudgetExhausted"), "{}", answers[2]);
        assert!(finish.usage.host_calls >= 2, "{:?}", finish.usage);
        // The refusal is recorded: a larger budget does not change what was said.
        *purse.host_calls.lock().unwrap() = 100;
        let denials = ledger.facts().iter().filter(|fact| matches!(fact, Fact::Denied)).count();
        assert_eq!(denials, 1, "and told once");
    }
}

#[tokio::test]
async fn processor_time_that_was_charged_before_is_not_charged_again() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let mut steps: Vec<Value> = (0..300).map(|_| json!({"op": "query", "skip_children": 20_000})).collect();
    steps.push(json!({"op": "return", "value": 1}));
    let (ledger, mut ends) = Ledger::new();
    let mut run = async |cpu_us: Option<u64>| {
        let purse = Purse::of(Budget { cpu_ms: Some(1_000_000), ..Budget::default() });
        let accounts = purse.clone();
        let job = job(&sandbox, &json!(steps), |job| {
            job.replay = Replay { cpu_us, ..ledger.replay() };
            job.accounts = Some(accounts);
        });
        sandbox.start(&script, job, ledger.clone());
        let End::Finished(finish) = ends.recv().await.unwrap() else { panic!("nobody parked it") };
        assert!(matches!(finish.outcome, Outcome::Completed(_)), "{:?}", finish.outcome);
        (finish.usage.cpu_us, 1_000_000_000 - *purse.cpu_us.lock().unwrap())
    };
    let (used, charged) = run(None).await;
    assert_eq!(used, charged);
    let (used_again, charged) = run(Some(used)).await;
    assert_eq!(used_again - used, charged, "it goes on from what it had used");
    let (after_crash, charged_again) = run(None).await;
    assert_eq!(after_crash, charged_again, "what a crash forgot is charged again");
    assert!(charged < charged_again, "{charged} of {charged_again}");
}

/// Asks, and then says nothing more until its clock has come to a time.
struct Waiter(Arc<Mutex<Vec<u64>>>);

impl Program for Waiter {
    fn run(&self, mut calls: HostCalls, input: Payload) -> Running {
        let looks = self.0.clone();
        Box::pin(async move {
            let look = |calls: &mut HostCalls| looks.lock().unwrap().push(calls.look_at_clock());
            look(&mut calls);
            look(&mut calls);
            let _ = calls.remaining_budget().await;
            look(&mut calls);
            look(&mut calls);
            let _ = calls.sleep_ms(60_000).await;
            look(&mut calls);
            calls.report("not stale", None, None);
            look(&mut calls);
            Ok(input)
        })
    }
}

#[tokio::test]
async fn the_clock_moves_by_looks_by_calls_and_by_sleeps() {
    let (ledger, mut ends) = Ledger::new();
    let looks: Arc<Mutex<Vec<u64>>> = Arc::default();
    let waiter = Plugin::native("native:waiter", pleach_kernel::Role::Agent, Arc::new(Waiter(looks.clone())));
    for _ in 0..2 {
        let (_, task) = start_native(&waiter, native_job(&ledger, ledger.replay()), ledger.clone());
        task.await;
        assert!(completed(&ends.recv().await.unwrap()));
    }
    let looks = looks.lock().unwrap().clone();
    let (live, again) = looks.split_at(6);
    assert_eq!(live, again);
    let started = 1_700_000_000_000_000_000;
    assert_eq!(live[..2], [started, started + 1_000]);
    assert!(live[2] > started + 1_000_000_000 && live[3] == live[2] + 1_000, "the host's time, once: {live:?}");
    assert!(live[4] >= live[3] + 60_000_000_000, "{live:?}");
    assert_eq!(live[5], live[4] + 1_000, "a report takes no time");
    let names = |fact: &Fact| match fact {
        Fact::Entry(entry) => Some(pleach_sandbox::journal::decode(&entry.body).unwrap().what.to_string()),
        _ => None,
    };
    let recorded: Vec<String> = ledger.facts().iter().filter_map(names).collect();
    assert_eq!(recorded, [what::REMAINING_BUDGET, what::NOW, what::SLEEP]);
}

//! Parking: a guest that waits is dropped, and goes on later as if it had not
//! been.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use pleach_kernel::{Finish, Outcome, RunId};
use pleach_sandbox::journal::what;
use pleach_sandbox::{Call, GuestLimits, Kernel, Parked, Replay, Stop, start_native};
use serde_json::json;

use crate::fake::{component, job, load, output, sandbox};
use crate::ledger::{End, Ledger};
use crate::walker::{Step, Walker, native_job, plugin, walk};

fn completed(end: &End) -> bool {
    matches!(end, End::Finished(finish) if matches!(finish.outcome, Outcome::Completed(_)))
}

#[tokio::test]
async fn a_guest_is_parked_in_each_kind_of_wait_and_goes_on() {
    let waits = [
        (Step::Join, what::JOIN),
        (Step::AgentCall, what::AGENT_CALL),
        (Step::Sleep { ms: 3_600_000 }, what::SLEEP),
        (Step::Replan, what::EVALUATE),
        (Step::Query { length: 1 }, what::QUERY),
        (Step::Spawn { keyed: false }, what::SPAWN_RUN),
        (Step::Effect, "intend"),
    ];
    for (wait, held_back) in waits {
        let steps = [Step::Group, Step::Now, Step::Report, wait, Step::Now, Step::Spawn { keyed: false }];
        let (ledger, mut ends) = Ledger::new();
        let held = ledger.hold_back(Some(held_back));
        let walker = Arc::new(Walker::new(&steps, &ledger));
        let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
        let task = tokio::spawn(task);
        held.notified().await;
        stop.park();
        // Its host forgets the calls; it does not hear of that.
        ledger.drop_held();
        task.await.unwrap();
        let End::Parked(parked) = ends.recv().await.unwrap() else { panic!("{wait:?}") };
        assert_eq!((parked.attempt, parked.host_calls), (1, 3), "{wait:?}");
        assert_eq!(walker.transcript().len(), 3, "{wait:?}");
        stop.park();
        stop.kill();
        assert!(ends.try_recv().is_err(), "one end is told");

        ledger.hold_back(None);
        let before = walker.answers();
        let (walker, end) = walk(&steps, &ledger, &mut ends).await;
        assert!(completed(&end), "{wait:?}: {end:?}");
        assert_eq!(walker.answers()[..3], before);
        assert_eq!(ledger.violations(), [""; 0], "{wait:?}");
    }
}

#[tokio::test]
async fn a_guest_is_parked_while_something_outside_is_done() {
    let (ledger, mut ends) = Ledger::new();
    let walker = Arc::new(Walker::stuck(&[Step::Effect], &ledger));
    let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
    let task = tokio::spawn(task);
    while walker.effects().is_empty() {
        tokio::task::yield_now().await;
    }
    stop.park();
    task.await.unwrap();
    assert!(matches!(ends.recv().await, Some(End::Parked(_))));
    let (again, end) = walk(&[Step::Effect], &ledger, &mut ends).await;
    assert!(completed(&end));
    assert_eq!(again.effects(), walker.effects(), "once more, with the same key");
}

/// Parks its guest in the middle of a call, and forgets the call at once.
#[derive(Default)]
struct Hasty {
    stop: OnceLock<Stop>,
    parked: AtomicU32,
}

impl Kernel for Hasty {
    fn call(&self, _: RunId, call: Call) {
        self.stop.get().unwrap().park();
        drop(call);
    }

    fn finished(&self, finish: Finish) {
        panic!("{finish:?}: it was parked before it could end");
    }

    fn parked(&self, _: Parked) {
        self.parked.fetch_add(1, Ordering::SeqCst);
    }

    fn now_nanos(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn a_guest_does_not_hear_that_its_call_was_dropped_as_it_was_parked() {
    for step in [Step::Query { length: 1 }, Step::Join, Step::Sleep { ms: 1 }, Step::RemainingBudget, Step::Effect] {
        let (ledger, _) = Ledger::new();
        let walker = Arc::new(Walker::new(&[step], &ledger));
        let hasty = Arc::new(Hasty::default());
        let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), hasty.clone());
        hasty.stop.set(stop).ok().unwrap();
        task.await;
        assert_eq!((hasty.parked.load(Ordering::SeqCst), walker.answers()), (1, Vec::new()), "{step:?}");
    }
}

#[tokio::test]
async fn a_guest_that_had_ended_is_not_parked() {
    let (ledger, mut ends) = Ledger::new();
    let walker = Arc::new(Walker::new(&[], &ledger));
    let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
    task.await;
    stop.park();
    assert!(completed(&ends.recv().await.unwrap()));
    assert!(ends.try_recv().is_err());
}

#[tokio::test]
async fn a_kill_goes_before_parking() {
    let (ledger, mut ends) = Ledger::new();
    let walker = Arc::new(Walker::new(&[Step::Join], &ledger));
    ledger.hold_back(Some(what::JOIN));
    let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
    stop.park();
    stop.kill();
    task.await;
    assert!(matches!(ends.recv().await, Some(End::Finished(finish)) if finish.outcome == Outcome::Stopped));
}

#[tokio::test]
async fn a_parked_component_gives_back_its_place_and_is_started_again() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let steps = json!([{"op": "query"}, {"op": "now"}, {"op": "sleep", "ms": 3_600_000}, {"op": "now"}]);
    let (ledger, mut ends) = Ledger::new();
    let held = ledger.hold_back(Some(what::SLEEP));
    let stop = sandbox.start(&script, job(&sandbox, &steps, |_| {}), ledger.clone());
    held.notified().await;
    assert_eq!(sandbox.live(), 1);
    stop.park();
    let End::Parked(parked) = ends.recv().await.unwrap() else { panic!("it was parked") };
    assert_eq!(sandbox.live(), 0);
    assert!(parked.cpu_us > 0 && parked.host_calls == 3, "{parked:?}");

    ledger.hold_back(None);
    let again = job(&sandbox, &steps, |job| job.replay = Replay { cpu_us: Some(parked.cpu_us), ..ledger.replay() });
    sandbox.start(&script, again, ledger.clone());
    let End::Finished(finish) = ends.recv().await.unwrap() else { panic!("nobody parked it") };
    assert_eq!((finish.usage.host_calls, ledger.violations()), (4, Vec::new()));
    assert!(finish.usage.cpu_us >= parked.cpu_us);
    let answers = output(finish.outcome);
    let (before, after) = (answers[1]["ok"].as_u64().unwrap(), answers[3]["ok"].as_u64().unwrap());
    assert!(after >= before + 3_600_000, "{answers}");
}

#[tokio::test]
async fn a_sleep_that_was_cut_short_by_the_hosts_end_wakes_when_it_would_have() {
    let steps = [Step::Now, Step::Sleep { ms: 60_000 }, Step::Now];
    let (ledger, mut ends) = Ledger::new();
    let (first, _) = walk(&steps, &ledger, &mut ends).await;
    let (ledger, mut ends) = Ledger::with(ledger.facts()[..1].to_vec(), 77_000);
    let (again, end) = walk(&steps, &ledger, &mut ends).await;
    assert!(completed(&end) && ledger.violations().is_empty(), "{:?}", ledger.violations());
    assert_eq!(again.answers()[2], first.answers()[2], "the clock shows the recorded time");
}

#[tokio::test]
async fn a_cancelled_replay_is_answered_as_it_was_and_then_no_more() {
    let steps = [Step::Query { length: 1 }, Step::Now, Step::Spawn { keyed: true }, Step::Report, Step::Group];
    let (ledger, mut ends) = Ledger::new();
    let (first, _) = walk(&steps[..4], &ledger, &mut ends).await;
    let walker = Arc::new(Walker::new(&steps, &ledger));
    let (stop, task) = start_native(&plugin(&walker), native_job(&ledger, ledger.replay()), ledger.clone());
    stop.cancel();
    task.await;
    assert!(completed(&ends.recv().await.unwrap()));
    let is = walker.answers();
    assert_eq!(is[..4], first.answers());
    assert!(is[4].contains("Cancelled"), "{}", is[4]);
    assert_eq!(ledger.violations(), [""; 0]);
}

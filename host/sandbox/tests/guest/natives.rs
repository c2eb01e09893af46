//! Native programs: guests that are part of the host. They need nothing of a
//! sandbox, and can run in one.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pleach_kernel::{Outcome, Payload, Role, RunError};
use pleach_sandbox::{GuestLimits, HostCalls, Live, Plugin, Program, Replay, Running, start_native};
use serde_json::json;

use crate::fake::{Fake, component, error, job, load, run, sandbox};
use crate::ledger::{End, Ledger};
use crate::walker::{Step, Walker, native_job, plugin};

#[test]
fn a_native_needs_no_runtime_and_is_ready_when_its_answers_are() {
    let (ledger, mut ends) = Ledger::new();
    let steps = [Step::Now, Step::Group, Step::Join, Step::Sleep { ms: 3_600_000 }, Step::Effect, Step::Report];
    let walker = Arc::new(Walker::new(&steps, &ledger));
    let (_, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
    let mut task = pin!(task);
    let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(()), "every answer was there at once");
    let Ok(End::Finished(finish)) = ends.try_recv() else { panic!("it ended") };
    assert_eq!(finish.outcome, Outcome::Completed(Payload::null()));
    assert_eq!((finish.usage.cpu_us, finish.usage.host_calls), (0, 5), "looks by natives are free");
}

#[tokio::test]
async fn a_native_that_was_never_polled_has_stopped() {
    let (ledger, mut ends) = Ledger::new();
    let walker = Arc::new(Walker::new(&[], &ledger));
    let (_, task) = start_native(&plugin(&walker), native_job(&ledger, Replay::default()), ledger.clone());
    drop(task);
    assert!(matches!(ends.try_recv(), Ok(End::Finished(finish)) if finish.outcome == Outcome::Stopped));
    drop(ledger.permit());
}

#[tokio::test]
async fn whoever_answers_a_guest_can_have_its_run_fail() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let (ledger, mut ends) = Ledger::new();
    let held = ledger.hold_back(Some("spawn_run"));
    let stop = sandbox.start(&script, job(&sandbox, &json!([{"op": "spawn", "target": "a"}]), |_| {}), ledger.clone());
    held.notified().await;
    stop.fail(RunError::new("nondeterminism", "it was another spawn"));
    stop.fail(RunError::new("other", "too late"));
    stop.park();
    ledger.drop_held();
    let Some(End::Finished(finish)) = ends.recv().await else { panic!("a failure is an end") };
    assert_eq!(&*error(finish.outcome).code, "nondeterminism");
}

struct Panics;

impl Program for Panics {
    fn run(&self, _: HostCalls, _: Payload) -> Running {
        Box::pin(async { panic!("as it was told") })
    }
}

#[tokio::test]
async fn a_native_that_panics_fails_its_run_alone() {
    let sandbox = sandbox(GuestLimits::default());
    let panics = Plugin::native("native:panics", Role::Agent, Arc::new(Panics));
    assert_eq!((&**panics.digest(), panics.role()), ("native:panics", Role::Agent));
    for _ in 0..2 {
        let failed = error(run(&sandbox, &panics, &json!(null)).await);
        assert_eq!((&*failed.code, failed.retryable), ("host_failure", true));
    }
    assert_eq!(sandbox.live(), 0);
}

#[tokio::test]
async fn a_component_is_no_native() {
    let sandbox = sandbox(GuestLimits::default());
    let echo = load(&sandbox, component("echo")).await;
    let (ledger, _ends) = Ledger::new();
    let (fake, mut finishes) = Fake::silent();
    let (_, task) = start_native(&echo, native_job(&ledger, Replay::default()), fake);
    task.await;
    assert_eq!(&*error(finishes.next().await.outcome).code, "host_failure");
}

#[tokio::test]
async fn an_answer_that_cannot_be_fetched_is_not_replaced_by_another() {
    let (ledger, mut ends) = Ledger::new();
    let steps = [Step::Query { length: 10_000 }, Step::Now];
    crate::walker::walk(&steps, &ledger, &mut ends).await;
    let (fake, mut finishes) = Fake::new(|_, call| match call {
        pleach_sandbox::Call::Fetch { reply, .. } => {
            let gone = pleach_sandbox::CallError::failed(pleach_sandbox::FailureCode::Io, "the disk is gone");
            reply.send(Err(gone)).unwrap();
        }
        other => panic!("{other:?}"),
    });
    let walker = Arc::new(Walker::new(&steps, &ledger));
    let (_, task) = start_native(&plugin(&walker), native_job(&ledger, ledger.replay()), fake);
    task.await;
    let failed = error(finishes.next().await.outcome);
    assert_eq!((&*failed.code, failed.retryable), ("host_failure", true));
    assert!(failed.message.contains("the disk is gone") && walker.answers().is_empty(), "{failed:?}");
}

#[tokio::test]
async fn places_are_given_back_and_waited_for() {
    let live = Live::new(1);
    let held = live.acquire().await.unwrap();
    assert_eq!((live.most(), live.now(), live.try_acquire().is_none()), (1, 1, true));
    drop(held);
    assert_eq!(live.now(), 0);
    live.close();
    assert!(live.try_acquire().is_none() && live.acquire().await.is_err());
}

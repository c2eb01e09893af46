//! Stopping guests: a signal, an interruption, the end of the host.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use pleach_kernel::{Finish, Outcome, RootId, RunId};
use pleach_sandbox::{Call, GuestLimits, Kernel, Parked, Plugin, Sandbox, Stop};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use crate::fake::{Fake, component, job, lineage, load, output, sandbox, start};

/// So much less than what a sleeper asks for that waking early cannot be chance.
const SOON: Duration = Duration::from_secs(20);
const FOR_EVER_MS: u64 = 3_600_000;

async fn scripted() -> (Sandbox, Arc<Plugin>) {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, component("script")).await;
    (sandbox, plugin)
}

/// A kernel that says when it was first asked, and never answers.
fn mute() -> (Arc<Fake>, crate::fake::Finishes, Arc<Notify>) {
    let asked = Arc::new(Notify::new());
    let tell = asked.clone();
    let unanswered = std::sync::Mutex::new(Vec::new());
    let (fake, finishes) = Fake::new(move |_, call| {
        unanswered.lock().unwrap().push(call);
        tell.notify_one();
    });
    (fake, finishes, asked)
}

#[tokio::test]
async fn a_cancelled_sleeper_wakes_and_ends_by_itself() {
    let (sandbox, plugin) = scripted().await;
    let (fake, mut finishes, asked) = mute();
    // The query tells the test that the guest is there; cancelling it wakes the
    // guest, whose later sleep and spawn are refused at once.
    let steps = json!([
        {"op": "query"}, {"op": "sleep", "ms": FOR_EVER_MS}, {"op": "spawn", "target": "a"}, {"op": "now"}
    ]);
    let stop = start(&sandbox, &plugin, &steps, fake);
    asked.notified().await;
    let begun = Instant::now();
    stop.cancel();
    let answers = output(finishes.next().await.outcome);
    assert!(begun.elapsed() < SOON);
    for answer in &answers.as_array().unwrap()[..3] {
        assert_eq!(answer["error"]["failed"]["code"], json!("cancelled"), "{answer}");
    }
    assert!(answers[3]["ok"].is_u64(), "what cannot fail still does not");
}

#[tokio::test]
async fn a_cancel_ends_a_sleep_before_or_after_it_begins() {
    let (sandbox, plugin) = scripted().await;
    let (fake, mut finishes) = Fake::silent();
    let stop = start(&sandbox, &plugin, &json!([{"op": "sleep", "ms": FOR_EVER_MS}]), fake);
    let begun = Instant::now();
    stop.cancel();
    let answers = output(finishes.next().await.outcome);
    assert_eq!(answers[0]["error"]["failed"]["code"], json!("cancelled"));
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn a_killed_guest_is_stopped_wherever_it_waits() {
    let (sandbox, plugin) = scripted().await;
    for steps in [json!([{"op": "query"}]), json!([{"op": "query"}, {"op": "sleep", "ms": FOR_EVER_MS}])] {
        let (fake, mut finishes, asked) = mute();
        let stop = start(&sandbox, &plugin, &steps, fake);
        asked.notified().await;
        assert_eq!(sandbox.live(), 1);
        stop.kill();
        let finish = finishes.next().await;
        assert_eq!(finish.outcome, Outcome::Stopped);
        assert!(finish.usage.host_calls >= 1, "what it had used is not lost");
        assert_eq!(sandbox.live(), 0, "its place is free before its end is told");
        stop.kill();
        stop.cancel();
        assert!(finishes.is_empty(), "it ended once");
    }
}

#[tokio::test]
async fn guests_that_wait_are_no_crowd_however_long_they_computed_before() {
    const GUESTS: usize = 40;
    let (sandbox, plugin) = scripted().await;
    let (asked, mut asking) = mpsc::unbounded_channel();
    let unanswered = Mutex::new(Vec::new());
    let (fake, _finishes) = Fake::new(move |_, call| {
        unanswered.lock().unwrap().push(call);
        asked.send(()).unwrap();
    });
    // A millisecond of work and more, and then a question that nobody answers.
    let mut steps = vec![json!({"op": "now"}); 3_000];
    steps.push(json!({"op": "query"}));
    for _ in 0..GUESTS {
        start(&sandbox, &plugin, &json!(steps), fake.clone());
    }
    for _ in 0..GUESTS {
        asking.recv().await.unwrap();
    }
    // The last of them is still to give way.
    tokio::time::timeout(SOON, async {
        while sandbox.is_crowded() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("guests that wait count as a crowd");
}

/// Counts who still holds it when it is told of an end.
struct Held {
    itself: Weak<Self>,
    unanswered: Mutex<Vec<Call>>,
    asked: Notify,
    holders: mpsc::UnboundedSender<usize>,
}

impl Kernel for Held {
    fn call(&self, _: RunId, call: Call) {
        self.unanswered.lock().unwrap().push(call);
        self.asked.notify_one();
    }

    fn finished(&self, _: Finish) {
        let _ = self.holders.send(self.itself.strong_count());
    }

    fn parked(&self, _: Parked) {
        let _ = self.holders.send(self.itself.strong_count());
    }

    fn now_nanos(&self) -> u64 {
        crate::fake::nanos_now()
    }
}

#[tokio::test]
async fn a_guest_is_out_of_memory_before_its_end_is_told() {
    let (sandbox, plugin) = scripted().await;
    let kill = |stop: &Stop| stop.kill();
    let park = |stop: &Stop| stop.park();
    for end in [&kill as &dyn Fn(&Stop), &park] {
        let (holders, mut told) = mpsc::unbounded_channel();
        let held = Arc::new_cyclic(|itself| Held {
            itself: itself.clone(),
            unanswered: Mutex::default(),
            asked: Notify::new(),
            holders,
        });
        let steps = json!([{"op": "query"}]);
        let stop = sandbox.start(&plugin, job(&sandbox, &steps, |_| {}), held.clone());
        held.asked.notified().await;
        end(&stop);
        // This test, and whoever tells it: the guest's store held it too.
        assert_eq!(told.recv().await, Some(2));
    }
}

#[tokio::test]
async fn shutting_down_stops_every_guest_and_tells_of_each() {
    let (sandbox, plugin) = scripted().await;
    let (fake, mut finishes) = Fake::silent();
    for _ in 0..10 {
        start(&sandbox, &plugin, &json!([{"op": "sleep", "ms": FOR_EVER_MS}]), fake.clone());
    }
    let late = job(&sandbox, &json!([]), |_| {});
    sandbox.shutdown().await;
    for _ in 0..10 {
        assert_eq!(finishes.next().await.outcome, Outcome::Stopped);
    }
    assert!(sandbox.try_acquire_live().is_none() && sandbox.acquire_live().await.is_err());
    sandbox.start(&plugin, late, fake);
    assert_eq!(finishes.next().await.outcome, Outcome::Stopped, "started too late");
    sandbox.shutdown().await;
    assert!(finishes.is_empty());
}

#[tokio::test]
async fn dropping_the_sandbox_stops_its_guests() {
    let (sandbox, plugin) = scripted().await;
    let (fake, mut finishes) = Fake::silent();
    start(&sandbox, &plugin, &json!([{"op": "sleep", "ms": FOR_EVER_MS}]), fake);
    drop(sandbox);
    assert_eq!(finishes.next().await.outcome, Outcome::Stopped);
}

#[tokio::test]
async fn an_answer_that_came_before_the_cancel_is_not_lost() {
    let (sandbox, plugin) = scripted().await;
    let (fake, mut finishes) = Fake::new(|_, call| {
        if let Call::Query { reply, .. } = call {
            reply.send(Ok(pleach_kernel::Payload::null())).unwrap();
        }
    });
    start(&sandbox, &plugin, &json!([{"op": "query"}, {"op": "return", "value": 7}]), fake);
    assert_eq!(output(finishes.next().await.outcome), json!(7));
}

#[tokio::test]
async fn a_host_that_panics_in_a_call_fails_that_guest_alone() {
    let (sandbox, plugin) = scripted().await;
    let (fake, mut finishes) = Fake::new(|run, call| {
        assert!(run.index > 1, "as a test");
        drop(call);
    });
    for index in 1..=2 {
        let run_id = RunId { root: RootId(7), index };
        let job = job(&sandbox, &json!([{"op": "query"}]), |job| job.lineage = lineage(run_id));
        sandbox.start(&plugin, job, fake.clone());
        let finish = finishes.next().await;
        assert_eq!(finish.run_id, run_id);
        match finish.outcome {
            Outcome::Failed(error) if index == 1 => assert_eq!(&*error.code, "host_failure"),
            Outcome::Completed(_) if index == 2 => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(finishes.is_empty());
    assert_eq!(sandbox.live(), 0);
}

//! Lines of the host's log: what a guest wrote in an earlier life is not written
//! again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pleach_sandbox::GuestLimits;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::fake::{component, job, load, sandbox};
use crate::ledger::{End, Ledger};

/// What guests of this process wrote.
static WRITTEN: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines(AtomicU64);

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pleach::guest"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1 + self.0.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        WRITTEN.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_line_is_written_once_in_all_lives_of_a_guest() {
    // The guests have threads of their own, so it is for the whole process.
    tracing::subscriber::set_global_default(Lines(AtomicU64::new(0))).unwrap();
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let (ledger, mut ends) = Ledger::new();
    let steps = json!([
        {"op": "log", "message": "only here: first"}, {"op": "query"},
        {"op": "log", "message": "only here: second"}, {"op": "query"},
    ]);
    for known in [0, 1, 2] {
        let mut replay = ledger.replay();
        replay.entries.truncate(known);
        replay.reached = known as u32;
        let job = job(&sandbox, &steps, |job| job.replay = replay);
        sandbox.start(&script, job, ledger.clone());
        assert!(matches!(ends.recv().await, Some(End::Finished(_))));
    }
    let written = WRITTEN.lock().unwrap().clone();
    let count = |text: &str| written.iter().filter(|line| line.contains(text)).count();
    // Run whole, run from after the first query, and run from after the second.
    assert_eq!((count("only here: first"), count("only here: second")), (1, 2), "{written:?}");
}

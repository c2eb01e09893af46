//! Guests that were built for WASI: they start, find nothing of the machine,
//! and see the run's own time and chance.

use std::time::{Duration, Instant};

use pleach_sandbox::{Error, GuestLimits};
use serde_json::{Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use pleach_sandbox::journal::what;

use crate::fake::{Fake, job, load, output, run_with, sandbox, start};
use crate::ledger::{End, Ledger};

/// The part of WASI 0.2.0, the first there was, that the guest imports.
const WASI: [&str; 5] = [
    "package wasi:io@0.2.0;
     interface poll {
         resource pollable { ready: func() -> bool; block: func(); }
         poll: func(in: list<borrow<pollable>>) -> list<u32>;
     }
     interface error { resource error; }
     interface streams {
         use error.{error};
         use poll.{pollable};
         variant stream-error { last-operation-failed(error), closed }
         resource output-stream {
             write: func(contents: list<u8>) -> result<_, stream-error>;
             subscribe: func() -> pollable;
             blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
         }
     }",
    "package wasi:clocks@0.2.0;
     interface monotonic-clock {
         use wasi:io/poll@0.2.0.{pollable};
         now: func() -> u64;
         subscribe-duration: func(when: u64) -> pollable;
     }",
    "package wasi:random@0.2.0;
     interface random { get-random-u64: func() -> u64; }",
    "package wasi:filesystem@0.2.0;
     interface types { resource descriptor; }
     interface preopens {
         use types.{descriptor};
         get-directories: func() -> list<tuple<descriptor, string>>;
     }",
    "package wasi:cli@0.2.0;
     interface environment {
         get-environment: func() -> list<tuple<string, string>>;
         get-arguments: func() -> list<string>;
     }
     interface stdout {
         use wasi:io/streams@0.2.0.{output-stream};
         get-stdout: func() -> output-stream;
     }",
];

const WORLD: &str = "package test:it;
    world it {
        import wasi:cli/environment@0.2.0;
        import wasi:cli/stdout@0.2.0;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:filesystem/preopens@0.2.0;
        import wasi:random/random@0.2.0;
        record agent-error { code: string, message: string, retryable: bool, details: option<string> }
        export run: func(input: string) -> result<string, agent-error>;
    }";

fn built() -> Vec<u8> {
    built_of(include_str!("wasi.wat"))
}

fn built_of(text: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    for package in WASI {
        resolve.push_str("wasi.wit", package).unwrap();
    }
    let package = resolve.push_str("it.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[tokio::test]
async fn a_wasi_guest_finds_nothing_and_the_runs_own_chance() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, built()).await;
    let mut numbers: Vec<Value> = Vec::new();
    for seed in [1, 1, 2] {
        let begun = Instant::now();
        let finish = run_with(&sandbox, &plugin, &json!(null), |job| job.seed = seed).await;
        assert!(begun.elapsed() >= Duration::from_millis(30), "it waits on the host's timer");
        numbers.push(output(finish.outcome));
    }
    assert!(numbers.iter().all(|number| number.as_str().unwrap().len() == 16), "{numbers:?}");
    assert_eq!(numbers[0], numbers[1], "a replay draws the same");
    assert_ne!(numbers[0], numbers[2]);
}

#[tokio::test]
async fn a_cancelled_wasi_guest_is_not_kept_waiting() {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, built()).await;
    let (fake, mut finishes) = Fake::silent();
    let stop = start(&sandbox, &plugin, &json!(null), fake);
    stop.cancel();
    // To the guest its wait was as long as it asked for.
    assert_eq!(output(finishes.next().await.outcome).as_str().unwrap().len(), 16);
}

/// Runs a guest, and then again with what was recorded.
async fn twice(bytes: Vec<u8>) -> (Value, Vec<String>) {
    let sandbox = sandbox(GuestLimits::default());
    let plugin = load(&sandbox, bytes).await;
    let (ledger, mut ends) = Ledger::with(Vec::new(), 0);
    let mut outputs = Vec::new();
    let mut facts = Vec::new();
    for _ in 0..2 {
        let job = job(&sandbox, &json!(null), |job| job.replay = ledger.replay());
        sandbox.start(&plugin, job, ledger.clone());
        let Some(End::Finished(finish)) = ends.recv().await else { panic!("nobody parked it") };
        outputs.push(output(finish.outcome));
        facts.push(ledger.facts().len());
    }
    assert_eq!(ledger.violations(), [""; 0]);
    assert_eq!((&outputs[0], facts[0]), (&outputs[1], facts[1]));
    let names = ledger.replay().entries.into_iter().map(|entry| entry.what.to_string());
    (outputs.swap_remove(0), names.collect())
}

#[tokio::test]
async fn a_replayed_wasi_guest_waits_no_more_and_sees_the_same() {
    let (number, recorded) = twice(built()).await;
    assert_eq!(number.as_str().unwrap().len(), 16, "{number}");
    assert_eq!(recorded, [what::SLEEP]);
}

#[tokio::test]
async fn a_poll_is_one_sleep_until_the_first_alarm_and_what_is_no_alarm_is_ready() {
    let (seen, recorded) = twice(built_of(include_str!("poll.wat"))).await;
    // The sooner of two alarms; the later is not due; now it is, and so is the
    // sooner still; the output is ready beside an alarm that is far away.
    assert_eq!(seen, json!("10-0-20-11"));
    assert_eq!(recorded, [what::SLEEP, what::SLEEP]);
}

#[test]
fn http_is_not_part_of_it() {
    let mut resolve = Resolve::default();
    let http = "package wasi:http@0.2.0; interface outgoing-handler { handle: func(); }";
    resolve.push_str("http.wit", http).unwrap();
    let world = WORLD.lines().filter(|line| !line.contains("import"));
    let world = world
        .collect::<Vec<_>>()
        .join("\n")
        .replace("world it {", "world it { import wasi:http/outgoing-handler@0.2.0;");
    let package = resolve.push_str("it.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    let mut module = wit_component::dummy_module(&resolve, world, wit_parser::ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let bytes = ComponentEncoder::default().module(&module).unwrap().encode().unwrap();
    let error = sandbox(GuestLimits::default()).inspect(&bytes).unwrap_err();
    assert!(matches!(error, Error::UnknownImports { .. }));
    assert!(error.to_string().contains("`wasi:http/outgoing-handler@0.2.0`"), "{error}");
}

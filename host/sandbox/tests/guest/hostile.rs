//! Guests that mean harm, or do it: each fails its own run and nothing else.

use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pleach_kernel::{Budget, Outcome};
use pleach_sandbox::{Call, Config, GuestLimits, Job};
use serde_json::json;

use crate::fake::{
    Fake, Purse, component, config, error, grant, job, load, output, run, run_with, sandbox, sandbox_of, start,
};

/// Under which a timer of the host has to fire although guests compute on every
/// thread; generous, because tests share two processors with others.
const TIMER_BOUND: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_spinner_is_killed_and_delays_neither_the_host_nor_its_neighbours() {
    let sandbox = sandbox(GuestLimits::default());
    let spinner = load(&sandbox, component("spinner")).await;
    let echo = load(&sandbox, component("echo")).await;
    let (fake, mut finishes) = Fake::silent();
    let stops: Vec<_> = (0..20).map(|_| start(&sandbox, &spinner, &json!(null), fake.clone())).collect();

    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(begun.elapsed() < TIMER_BOUND, "{:?}", begun.elapsed());
    assert_eq!(output(run(&sandbox, &echo, &json!(1)).await), json!(1), "a neighbour gets its turn");
    assert!(finishes.is_empty(), "they all still spin");

    stops.iter().for_each(pleach_sandbox::Stop::kill);
    for _ in &stops {
        let finish = finishes.next().await;
        assert_eq!(finish.outcome, Outcome::Stopped);
    }
    assert_eq!(sandbox.live(), 0);
}

#[tokio::test]
async fn a_tenant_with_many_spinners_has_no_more_of_the_processor_than_one_with_a_single_one() {
    let sandbox = sandbox_of(Config { workers: 1, ..config() });
    let spinner = load(&sandbox, component("spinner")).await;
    let (fake, mut finishes) = Fake::silent();
    let of_many = |job: &mut Job| job.lineage.tenant = "many".parse().unwrap();
    let start_one = || sandbox.start(&spinner, job(&sandbox, &json!(null), of_many), fake.clone());
    let stops: Vec<_> = (0..20).map(|_| start_one()).collect();
    let purse = Purse::of(Budget { cpu_ms: Some(40), ..Budget::default() });
    let finish = run_with(&sandbox, &spinner, &json!(null), |job| job.accounts = Some(purse)).await;
    assert_eq!(&*error(finish.outcome).code, "budget_exhausted");

    stops.iter().for_each(pleach_sandbox::Stop::kill);
    let mut of_many_us = 0;
    for _ in &stops {
        of_many_us += finishes.next().await.usage.cpu_us;
    }
    // Taking turns among all of them, it would be twenty times as much.
    let of_one_us = finish.usage.cpu_us;
    assert!(of_many_us < 5 * of_one_us, "{of_many_us} us to {of_one_us} us");
}

#[tokio::test]
async fn a_spinner_runs_out_of_fuel() {
    let sandbox = sandbox(GuestLimits { max_fuel: 50_000_000, ..GuestLimits::default() });
    let spinner = load(&sandbox, component("spinner")).await;
    assert_eq!(&*error(run(&sandbox, &spinner, &json!(null)).await).code, "out_of_fuel");
}

#[tokio::test]
async fn a_spinner_runs_out_of_the_processor_time_that_it_was_given() {
    let sandbox = sandbox(GuestLimits::default());
    let spinner = load(&sandbox, component("spinner")).await;
    let purse = Purse::of(Budget { cpu_ms: Some(20), ..Budget::default() });
    let finish = run_with(&sandbox, &spinner, &json!(null), |job| job.accounts = Some(purse)).await;
    assert_eq!(&*error(finish.outcome).code, "budget_exhausted");
    assert!(finish.usage.cpu_us >= 20_000, "{:?}", finish.usage);
}

#[tokio::test]
async fn a_memory_eater_is_refused_more_and_fails_alone() {
    let sandbox = sandbox(GuestLimits { memory_bytes: 8 << 20, ..GuestLimits::default() });
    let eater = load(&sandbox, component("memory-eater")).await;
    let failed = error(run(&sandbox, &eater, &json!({})).await);
    assert_eq!(&*failed.code, "out_of_memory");
    assert!(failed.message.contains("8388608"), "{}", failed.message);
    let polite = output(run(&sandbox, &eater, &json!({"polite": true})).await);
    let eaten = polite["refused_after_bytes"].as_u64().unwrap();
    assert!((4 << 20..8 << 20).contains(&eaten), "{eaten}");
}

#[tokio::test]
async fn a_guest_whose_memory_does_not_fit_at_all_is_out_of_memory() {
    let sandbox = sandbox(GuestLimits { memory_bytes: 64 << 10, ..GuestLimits::default() });
    let echo = load(&sandbox, component("echo")).await;
    assert_eq!(&*error(run(&sandbox, &echo, &json!(1)).await).code, "out_of_memory");
}

#[tokio::test]
async fn endless_recursion_overflows_the_guests_stack_and_no_other() {
    let sandbox = sandbox(GuestLimits::default());
    let recursion = load(&sandbox, component("recursion")).await;
    assert_eq!(&*error(run(&sandbox, &recursion, &json!({})).await).code, "stack_overflow");
    // The stack that compiled code keeps in memory ends where memory begins.
    assert_eq!(&*error(run(&sandbox, &recursion, &json!({"in_memory": true})).await).code, "trap");
}

#[tokio::test]
async fn a_trap_fails_the_run_and_says_where() {
    let sandbox = sandbox(GuestLimits::default());
    let trap = load(&sandbox, component("trap")).await;
    let failed = error(run(&sandbox, &trap, &json!({})).await);
    assert_eq!((&*failed.code, failed.retryable), ("trap", false));
    assert!(failed.message.contains("unreachable"), "{}", failed.message);
    assert!(failed.message.len() <= 2_048 && failed.message.lines().count() <= 12, "{}", failed.message);
    let echo = load(&sandbox, component("echo")).await;
    assert_eq!(output(run(&sandbox, &echo, &json!(1)).await), json!(1));
}

#[tokio::test]
async fn a_panic_fails_the_run() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let failed = error(run(&sandbox, &script, &json!([{"op": "panic", "message": "x"}])).await);
    assert_eq!(&*failed.code, "trap");
}

#[tokio::test]
async fn a_flood_of_refusals_does_not_flood_the_log() {
    let sandbox = sandbox(GuestLimits::default());
    let script = load(&sandbox, component("script")).await;
    let (fake, mut finishes) = Fake::silent();
    let steps: Vec<_> = (0..2_000).map(|_| json!({"op": "join", "group": "nope"})).collect();
    sandbox.start(&script, job(&sandbox, &json!(steps), |_| {}), fake.clone());
    let answers = output(finishes.next().await.outcome);
    let denied = |answer: &serde_json::Value| answer["error"]["denied"]["code"] == json!("group_not_found");
    assert!(answers.as_array().unwrap().iter().all(denied), "each of them was refused");
    let logged = fake.told().len();
    assert!((256..1_000).contains(&logged), "{logged}");
}

#[tokio::test]
async fn a_flood_of_reports_does_not_flood_the_log() {
    let sandbox = sandbox(GuestLimits::default());
    let flood = load(&sandbox, component("event-flood")).await;
    let (fake, mut finishes) = Fake::silent();
    let begun = Instant::now();
    sandbox.start(&flood, job(&sandbox, &json!({"count": 5_000}), |_| {}), fake.clone());
    let finish = finishes.next().await;
    let allowed = 17 + begun.elapsed().as_millis() as usize / 100;
    let told = fake.told();
    assert!(matches!(finish.outcome, Outcome::Completed(_)), "{finish:?}");
    assert!(told.iter().all(|call| matches!(call, Call::Progress { .. })));
    assert!((16..=allowed).contains(&told.len()), "{} of {allowed}", told.len());
}

#[tokio::test]
async fn one_call_cannot_make_the_host_hold_more_than_its_share() {
    let sandbox = sandbox(GuestLimits { call_bytes: 900_000, ..GuestLimits::default() });
    let script = load(&sandbox, component("script")).await;
    let long = "x".repeat(500_000);
    let steps = json!([{"op": "group", "members": [{"target": "a", "input": long}, {"target": "b", "input": long}]}]);
    let failed = error(run(&sandbox, &script, &steps).await);
    assert_eq!(&*failed.code, "trap");
    assert!(failed.message.contains("fuel"), "{}", failed.message);
}

#[tokio::test]
async fn garbage_is_no_output() {
    let sandbox = sandbox(GuestLimits::default());
    let garbage = load(&sandbox, component("garbage")).await;
    let table = [
        ("empty", "invalid_output"),
        ("not_json", "invalid_output"),
        ("truncated", "invalid_output"),
        ("two_documents", "invalid_output"),
        ("oversized", "payload_too_large"),
        ("error_details", "garbage"),
        ("error_oversized", "garbage"),
        ("error_shapeless", "plugin_error"),
    ];
    for (kind, expected) in table {
        let failed = error(run(&sandbox, &garbage, &json!({"kind": kind})).await);
        assert_eq!(&*failed.code, expected, "{kind}");
        assert!(failed.message.len() < 20_000 && failed.details.is_none(), "{kind}");
    }
    // Deep nesting is JSON; nothing here takes it apart.
    let deep = run(&sandbox, &garbage, &json!({"kind": "deep"})).await;
    assert!(matches!(deep, Outcome::Completed(_)));
}

#[tokio::test]
async fn a_late_finisher_reports_what_it_really_did() {
    let sandbox = sandbox(GuestLimits::default());
    let late = load(&sandbox, component("late-finisher")).await;
    let (fake, mut finishes) = Fake::silent();
    let stop = start(&sandbox, &late, &json!({"ms": 3_600_000, "more_turns": 1_000}), fake);
    stop.cancel();
    let output = output(finishes.next().await.outcome);
    assert_eq!(output, json!({"cancelled": true, "turns": 1_000}));
}

#[tokio::test]
async fn a_late_finisher_that_never_finishes_is_interrupted() {
    let sandbox = sandbox(GuestLimits::default());
    let late = load(&sandbox, component("late-finisher")).await;
    let (fake, mut finishes) = Fake::silent();
    let stop = start(&sandbox, &late, &json!({"ms": 3_600_000}), fake);
    stop.cancel();
    stop.kill();
    assert_eq!(finishes.next().await.outcome, Outcome::Stopped);
}

#[tokio::test]
async fn a_liar_about_its_scopes_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), "hidden").unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    let sandbox = sandbox_of(Config { roots: vec![("repo".into(), dir)], ..config() });
    let liar = load(&sandbox, component("scope-liar")).await;
    let (fake, mut finishes) = Fake::silent();
    let input = json!({"root": "repo", "target": "echo"});
    sandbox.start(&liar, job(&sandbox, &input, |job| job.grant = grant(&["fs.read:elsewhere/*"])), fake.clone());
    let answers = output(finishes.next().await.outcome);
    let answers = answers.as_array().unwrap();
    // What is well-formed and for the kernel to decide, nobody answers here.
    let (kernels, ours): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a["answer"] == json!("host_failure"));
    assert!(kernels.iter().all(|a| !a["asked"].as_str().unwrap().contains("repo")), "{kernels:?}");
    assert!(ours.iter().all(|a| a["denied"] == json!(true)), "{ours:?}");
    assert!(ours.len() > 70, "{}", ours.len());
    assert_eq!(fake.told().len(), ours.len(), "the log has each");
}

//! The simulation in the suite, and that it would notice.
//!
//! `PLEACH_SIM_SEED` and `PLEACH_SIM_STEPS` choose another walk; a longer one is
//! `cargo run -p pleach-kernel --example simulate -- --seed 7 --steps 1000000`.

use crate::simulation::{Sabotage, run};

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")),
        Err(_) => default,
    }
}

#[test]
fn the_kernel_holds_its_rules_through_100_000_random_steps() {
    let (seed, steps) = (setting("PLEACH_SIM_SEED", 20_250), setting("PLEACH_SIM_STEPS", 100_000));
    eprintln!("PLEACH_SIM_SEED={seed} PLEACH_SIM_STEPS={steps}");
    let report = run(seed, steps, None).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(report.steps >= steps);
    if steps < 100_000 {
        return;
    }
    assert!(report.restores > 3_000 && report.replays > 10_000, "{report:#?}");
    // A walk that never comes by a rule does not hold anybody to it.
    let kinds: Vec<&str> = report.kinds.keys().copied().collect();
    assert_eq!(kinds.len(), 10, "every kind of event: {kinds:?}");
    for step in ["Started", "Queued", "Closing", "Retrying", "Completed", "Failed", "Cancelled", "TimedOut"] {
        assert!(report.outcomes.contains_key(step), "nothing was ever {step}");
    }
    for outcome in [
        "BestEffort Completed all_ended",
        "BestEffort CompletedWithErrors all_ended",
        "BestEffort Failed all_ended",
        "FailFast Failed join_fail_fast",
        "Quorum Completed join_quorum_reached",
        "Quorum Failed join_quorum_impossible",
        "FirstSuccess Completed join_first_success",
        "BestEffort TimedOut join_timed_out",
        "cancel budget_exhausted",
        "cancel parent_closed",
        "cancel parent_timed_out",
        "cancel attempt_ended",
        "cancel cancelled_by_plan",
        "Completed late",
        "Closing late",
        "found again",
    ] {
        assert!(report.outcomes.contains_key(outcome), "never: {outcome}");
    }
    for denial in [
        "feature_disabled",
        "caller_cancelled",
        "idempotency_conflict",
        "target_not_found",
        "target_not_published",
        "target_not_allowlisted",
        "scope_required",
        "scope_not_held",
        "max_depth",
        "max_fanout",
        "max_children_total",
        "budget_exhausted",
        "invalid_quorum",
    ] {
        assert!(report.denials.contains_key(denial), "never denied: {denial}");
    }
}

#[test]
fn the_same_seed_is_the_same_walk() {
    let walk = |seed| format!("{:?}", run(seed, 3_000, None).unwrap_or_else(|failure| panic!("{failure}")));
    assert_eq!(walk(5), walk(5));
    assert_ne!(walk(5), walk(6));
}

/// The test of the test: a log that is broken on purpose is noticed, and the
/// seed that shows it is told.
#[test]
fn a_broken_log_is_noticed() {
    for sabotage in [Sabotage::Drop, Sabotage::DropAndRenumber, Sabotage::Repeat, Sabotage::Swap] {
        for seed in 1..6 {
            let failure = run(seed, 5_000, Some(sabotage)).expect_err("a broken log went unnoticed");
            let told = failure.to_string();
            assert!(told.contains(&format!("--seed {seed} --steps {}", failure.step + 1)), "{told}");
            assert!(failure.rule.contains("fold"), "{sabotage:?}: {told}");
        }
    }
}

//! The whole engine, simulated: hosts that live and die over one disk, under a
//! clock that only moves when nobody has anything to do.
//!
//! Everything is real but the disk (`store.rs`), the code of guests
//! (`guests.rs`, `program.rs`) and time. What a host does to the disk or to the
//! world outside is a step, and a host can be ended at any (`world.rs`). A
//! simulation is made from a number (`plan.rs`); the same number makes the same
//! one. `PLEACH_SEED=n` plays one again, `PLEACH_SEEDS=n` plays so many.

mod checks;
mod crash_points;
mod graphs;
mod guests;
mod lives;
mod plan;
mod program;
mod scenarios;
mod store;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;

/// How many seeds the suite plays; CI plays more.
const SEEDS: u64 = 1_500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays one seed; how much happened in it, and what went wrong.
fn play(seed: u64) -> (u64, Vec<String>) {
    let (left, faults) = lives::live(&Plan::of(seed));
    (left.said + left.steps.iter().sum::<u64>(), faults)
}

#[test]
fn hosts_that_die_at_random_lose_nothing_and_do_nothing_twice() {
    if let Some(seed) = number("PLEACH_SEED") {
        let plan = Plan::of(seed);
        let (_, faults) = play(seed);
        assert!(faults.is_empty(), "seed {seed}:\n{}\n{plan:#?}", faults.join("\n"));
        return;
    }
    let seeds = number("PLEACH_SEEDS").unwrap_or(SEEDS);
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let steps = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let steps = &steps;
            scope.spawn(move || {
                for seed in (worker..seeds).step_by(workers as usize) {
                    let (taken, faults) = play(seed);
                    steps.fetch_add(taken, Ordering::Relaxed);
                    assert!(faults.is_empty(), "PLEACH_SEED={seed} plays it again:\n{}", faults.join("\n"));
                }
            });
        }
    });
    println!("{seeds} seeds, about {} steps each", steps.into_inner() / seeds);
}

#[test]
fn a_seed_plays_the_same_each_time() {
    for seed in 0..20 {
        let (first, _) = lives::live(&Plan::of(seed));
        let (second, _) = lives::live(&Plan::of(seed));
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn a_disk_that_loses_what_it_has_confirmed_is_found_out() {
    let mut lies = 0;
    for seed in 0..200 {
        let mut plan = Plan::of(seed);
        plan.lie_at = Some(2 + seed % 20);
        plan.fail_in = None;
        // Who watches sees it, unless the host is gone by then.
        plan.lives_ms.clear();
        let (log, faults) = lives::live(&plan);
        if log.lied {
            lies += 1;
            assert!(!faults.is_empty(), "seed {seed}: nobody noticed");
        }
    }
    assert!(lies > 100, "{lies} lies are too few to tell");
}

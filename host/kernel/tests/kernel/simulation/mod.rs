//! The simulation: a seeded loop that asks the whole kernel for everything, in
//! any order, and has each event audited.
//!
//! It also kills: every so often the tree is dropped and folded anew from the
//! JSON that its log was written as, or restored from a snapshot and what came
//! after it, and has to be the same tree. The same code
//! runs in the test suite and as `cargo run -p pleach-kernel --example simulate`.

pub mod auditor;
mod dice;
mod kill;
mod ledger;
mod replays;
mod requests;
mod walk;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dice::Dice;
use walk::Simulation;

/// Something that breaks a log on purpose, to see whether it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// One event is missing.
    Drop,
    /// One event is missing and the rest is numbered as if it was not.
    DropAndRenumber,
    /// One event is there twice, numbered as if it happened twice.
    Repeat,
    /// Two neighbours have changed places.
    Swap,
}

/// What a simulation came through.
#[derive(Debug, Default)]
pub struct Report {
    pub steps: u64,
    pub trees: u64,
    pub runs: u64,
    pub events: u64,
    pub refolds: u64,
    /// How often a snapshot was taken and restored, and a call asked again.
    pub restores: u64,
    pub replays: u64,
    /// How often each kind of event was seen; what is at 0 was not tried.
    pub kinds: std::collections::BTreeMap<&'static str, u64>,
    /// How often each refusal was met.
    pub denials: std::collections::BTreeMap<&'static str, u64>,
    /// How often each step of a life, with how a join was decided.
    pub outcomes: std::collections::BTreeMap<String, u64>,
}

/// A rule that did not hold.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: u64,
    pub rule: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step, rule } = self;
        writeln!(f, "seed {seed}, step {step}: {rule}")?;
        write!(f, "again: cargo run -p pleach-kernel --example simulate -- --seed {seed} --steps {}", step + 1)
    }
}

/// Runs `steps` random steps from `seed`.
pub fn run(seed: u64, steps: u64, sabotage: Option<Sabotage>) -> Result<Report, Failure> {
    let mut dice = Dice::new(seed);
    let mut report = Report::default();
    while report.steps < steps {
        let mut simulation = Simulation::open(&mut dice, &mut report, sabotage);
        // A panic is a finding like any other, and has to come with its seed.
        let outcome = catch_unwind(AssertUnwindSafe(|| simulation.live(steps))).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            Err(said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
        });
        let step = report.steps;
        outcome.map_err(|rule| Failure { seed, step, rule })?;
    }
    Ok(report)
}

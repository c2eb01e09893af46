//! Drives the whole kernel through random steps, as many as asked for.
//!
//! `cargo run -p pleach-kernel --example simulate -- --seed 7 --steps 1000000`

#[path = "../tests/kernel/simulation/mod.rs"]
mod simulation;

use std::process::ExitCode;

const USAGE: &str = "usage: simulate [--seed N] [--steps N] [--sabotage drop|renumber|repeat|swap]";

struct Wanted {
    seed: u64,
    steps: u64,
    sabotage: Option<simulation::Sabotage>,
}

fn wanted(mut words: impl Iterator<Item = String>) -> Option<Wanted> {
    let mut wanted = Wanted { seed: 1, steps: 100_000, sabotage: None };
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--seed" => wanted.seed = value.parse().ok()?,
            "--steps" => wanted.steps = value.parse().ok()?,
            "--sabotage" => {
                wanted.sabotage = Some(match value.as_str() {
                    "drop" => simulation::Sabotage::Drop,
                    "renumber" => simulation::Sabotage::DropAndRenumber,
                    "repeat" => simulation::Sabotage::Repeat,
                    "swap" => simulation::Sabotage::Swap,
                    _ => return None,
                });
            }
            _ => return None,
        }
    }
    Some(wanted)
}

fn main() -> ExitCode {
    let Some(Wanted { seed, steps, sabotage }) = wanted(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match simulation::run(seed, steps, sabotage) {
        Ok(report) => {
            println!("seed {seed}: {report:#?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

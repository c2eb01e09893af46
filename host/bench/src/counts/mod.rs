//! Instruction counts of the kernel, compared with what was recorded. Time on a
//! shared machine says whether something collapsed; instructions say whether it
//! grew by a twentieth.
//!
//! A count depends on the compiler, its flags and the processor's family: the
//! record is of the release profile with Rust 1.95 on x86-64.

mod callgrind;
mod record;
pub mod work;

use std::path::Path;

use anyhow::ensure;
use clap::ValueEnum;

use record::{Comparison, Counts};
use work::{CHILDREN, Work};

/// Counts all work; compares it with the record, or records it.
pub async fn run(update: bool) -> anyhow::Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "counting the kernel's instructions: the record is of x86-64, and on {} the figures would mean something \
         else; run this on x86-64",
        std::env::consts::ARCH
    );
    ensure!(
        !cfg!(debug_assertions),
        "counting the kernel's instructions: the record is of the release profile; run \
         `cargo run --release -p pleach-bench -- counts`"
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.json");
    let recorded = match update {
        // There may be none yet.
        true => record::read(&file).unwrap_or_default(),
        false => record::read(&file)?,
    };
    let mut present = Counts::new();
    for work in Work::value_variants() {
        let name = work.name();
        eprintln!("{name}");
        present.insert(name, callgrind::instructions(*work).await? / u64::from(CHILDREN));
    }
    let comparison = Comparison::of(&recorded, &present);
    println!("{}", comparison.table());
    match update {
        true => record::write(&file, &present),
        false => comparison.check(),
    }
}

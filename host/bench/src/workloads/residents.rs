//! W7: residents. What a guest that waits takes up: live, and parked.

use crate::probe::Probe;
use crate::report::{Goal, Row};
use crate::rounds::{Pairs, interleaved};
use crate::workloads::Scale;

const KIB: f64 = 1024.0;

pub async fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for count in scale.sizes(&[1_000], &[10_000]) {
        let count = count.to_string();
        let pairs = interleaved(
            scale.rounds,
            async || Ok(Probe::ask(&["floor-residents", &count])? / KIB),
            async || Ok(Probe::ask(&["residents", &count])? / KIB),
        )
        .await?;
        rows.push(Row::compared("W7", format!("{count} asleep"), "KiB each", &pairs, Goal::AtMost(48.0))?);
        let mut parked = Pairs::default();
        for _ in 0..scale.rounds.count {
            parked.pleach.push(Probe::ask(&["parked", &count])? / KIB);
        }
        rows.push(Row::alone("W7", format!("{count} parked out"), "KiB each", &parked.pleach, Goal::AtMost(4.0))?);
    }
    Ok(rows)
}

//! The workloads, one file each: what is measured, its floor, and its goal.

mod chain;
mod events;
mod fan_out;
mod graph;
mod growth;
mod many_trees;
mod recovery;
mod residents;
mod speed_up;
mod start;
pub mod storm;

use clap::ValueEnum;

use crate::report::Row;
use crate::rounds::Rounds;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    pub rounds: Rounds,
    /// Small sizes, for a quick look; goals are for the whole.
    pub short: bool,
    /// Only the case of this size, where a workload has several.
    pub size: Option<u32>,
}

impl Scale {
    /// The sizes to measure: of a quick look, and in addition of the whole.
    fn sizes(&self, short: &[u32], whole: &[u32]) -> Vec<u32> {
        match self.size {
            Some(size) => vec![size],
            None if self.short => short.to_vec(),
            None => [short, whole].concat(),
        }
    }
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Fan-out: no-op children of one parent
    W1,
    /// Durable fan-out: the same, with the log on disk
    W2,
    /// A chain of runs, each waiting for the next
    W3,
    /// Cancelling a parent of many sleeping children
    W4,
    /// Tasks that wait, eight at a time
    W5,
    /// Progress events, from guest to subscriber
    W6,
    /// Memory of guests that wait
    W7,
    /// From the start of a process to a first result; publishing
    W8,
    /// Many trees of many tenants at once
    W9,
    /// Ever larger trees and databases
    W10,
    /// Starting over with unfinished children
    W11,
    /// A graph of no-op agents: checking it, and running it
    W12,
}

impl Workload {
    pub async fn run(self, scale: &Scale) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::W1 => fan_out::in_memory(scale).await,
            Self::W2 => fan_out::durable(scale).await,
            Self::W3 => chain::run(scale).await,
            Self::W4 => storm::run(scale).await,
            Self::W5 => speed_up::run(scale).await,
            Self::W6 => events::run(scale).await,
            Self::W7 => residents::run(scale).await,
            Self::W8 => start::run(scale).await,
            Self::W9 => many_trees::run(scale).await,
            Self::W10 => growth::run(scale).await,
            Self::W11 => recovery::run(scale).await,
            Self::W12 => graph::run(scale).await,
        }
    }
}

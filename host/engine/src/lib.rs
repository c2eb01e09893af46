//! Makes it happen: the embedding API.
//!
//! A [`Host`] runs trees. Each tree is owned by one task (`driver/`), which asks
//! the kernel what follows from what was asked and what has happened, puts the
//! events in the store's queue, and starts and stops guests to match. What is
//! decided is the kernel's, how events are kept is the store's, how guests run
//! is the sandbox's.

mod append;
mod breakers;
mod builder;
mod clock;
mod compile;
mod dispatch;
mod driver;
mod durations;
mod ended;
mod error;
mod events;
mod execute;
mod graphs;
mod guests;
mod habits;
mod host;
mod live;
mod mailbox;
mod meter;
mod missing;
#[cfg(test)]
mod natives;
mod program;
mod publish;
mod record;
mod recover;
mod registry;
mod run;
#[cfg(test)]
mod simulation;
mod stage;
mod submission;
mod upkeep;

pub use pleach_graph as graph;
pub use pleach_graph::report::GraphReport;
pub use pleach_graph::spec::OnFailure;
pub use pleach_kernel as kernel;
pub use pleach_sandbox::{CallError, FailureCode, GuestLimits, HostCalls, Inspection, Program, Running};
pub use pleach_store::{TreeSize, TreeSummary};

pub use builder::HostBuilder;
pub use ended::Ended;
pub use error::Error;
pub use events::Events;
pub use execute::{Execution, Task};
pub use host::{Host, RunFilter};
pub use record::EventRecord;
pub use registry::{Plugin, Publish};
pub use run::Run;
pub use submission::Submission;
pub use upkeep::{Collected, Fault, Garbage, Totals};

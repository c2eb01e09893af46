//! GraphSpec 2.0: graphs as files, what is checked of them, and what they are
//! compiled to.
//!
//! Reading takes two steps, so that every problem of a file is told at once and
//! with its place: text to a tree of values (`tree.rs`), and that tree to the
//! types of the language (`read.rs`, `spec/`). Then `check/` says what is wrong
//! with the graph, and `plan.rs` is what a run walks (`walk.rs`).
//!
//! Nothing here runs anything: no clock, no IO, no async.

mod at;
pub mod diagnostic;
pub mod draw;
pub mod expression;
mod file;
mod link;
pub mod plan;
mod read;
pub mod schema;
pub mod source;
pub mod spec;
pub mod template;
mod text;
mod tree;
pub mod walk;

pub use at::At;
pub use text::{Cel, Json, Template};

use diagnostic::{Diagnostic, Diagnostics};
use plan::Plan;
use source::Source;

/// A graph that was read, and everything that was found wrong with it.
pub struct Compiled {
    pub source: Source,
    /// None where nothing could be made of the file. Not to be run where a problem
    /// is an error.
    pub plan: Option<Plan>,
    pub problems: Vec<Diagnostic>,
}

impl Compiled {
    /// The plan, if there is no error.
    pub fn into_plan(self) -> Result<Plan, Vec<Diagnostic>> {
        match self.plan {
            Some(plan) if !self.problems.iter().any(|one| one.severity == diagnostic::Severity::Error) => Ok(plan),
            _ => Err(self.problems),
        }
    }
}

/// Reads, links and checks a graph.
pub fn compile(source: &Source) -> Compiled {
    let mut found = Diagnostics::default();
    let file = file::read_file(source, &mut found);
    let plan = file.map(|file| link::link(file, source, &mut found));
    Compiled { source: source.clone(), plan, problems: found.sorted() }
}

#[cfg(test)]
mod tests;

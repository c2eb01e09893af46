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
mod check;
pub mod diagnostic;
pub mod draw;
pub mod expression;
mod file;
pub mod language;
mod link;
pub mod merge;
pub mod plan;
mod read;
pub mod report;
pub mod schema;
pub mod source;
pub mod spec;
mod spelling;
mod target;
pub mod template;
mod text;
mod tree;
pub mod types;
pub mod walk;

pub use at::At;
pub use text::{Cel, Json, Template};

use pleach_kernel::{Grant, Policy, Resolution};

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
        self.accepted().map(|(plan, _)| plan)
    }

    /// The plan and what is doubtful about it, if there is no error.
    pub fn accepted(self) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
        match self.plan {
            Some(plan) if !self.problems.iter().any(|one| one.severity == diagnostic::Severity::Error) => {
                Ok((plan, self.problems))
            }
            _ => Err(self.problems),
        }
    }
}

/// What only the host knows that a graph is to run on.
pub trait Surroundings {
    /// What the tenant allows, with the host's own ceilings.
    fn policy(&self) -> &Policy;

    /// What the graph's run is to hold; none where it is not being run yet.
    fn grant(&self) -> Option<&Grant> {
        None
    }

    /// What the graph's run is called in policy, where that is not the graph's name: it
    /// was published under another.
    fn name(&self) -> Option<&str> {
        None
    }

    /// What a target means in the tenant's registry; none where nobody knows, so
    /// that only the policy is held against it.
    fn resolve(&self, target: &str) -> Option<Resolution>;
}

/// Reads, links and checks a graph.
pub fn compile(source: &Source) -> Compiled {
    linked(source, |plan, found| check::check(plan, source, found))
}

/// The same, with all that this host and this policy would refuse.
pub fn compile_for(source: &Source, surroundings: &dyn Surroundings) -> Compiled {
    linked(source, |plan, found| {
        check::check(plan, source, found);
        check::check_against(plan, surroundings, found);
    })
}

/// Reads and links a graph that was checked when it was stored: what later hosts check of
/// whole graphs keeps nothing from going on that began before.
pub fn compile_stored(source: &Source) -> Compiled {
    linked(source, |_, _| {})
}

fn linked(source: &Source, check: impl FnOnce(&Plan, &mut Diagnostics)) -> Compiled {
    let mut found = Diagnostics::default();
    let file = file::read_file(source, &mut found);
    let plan = file.map(|file| link::link(file, source, &mut found));
    if let Some(plan) = &plan {
        check(plan, &mut found);
    }
    Compiled { source: source.clone(), plan, problems: found.sorted() }
}

#[cfg(test)]
mod tests;

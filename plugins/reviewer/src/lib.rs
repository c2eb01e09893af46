//! An agent that reads the files it was granted and reports what a reviewer
//! would point at: leaked credentials, conflict markers, functions that are too
//! long, and the like. `rules` has the whole list.
//!
//! This file ties reading (`walk`, the only module that calls the host) to
//! judging (`review` and all it uses, plain functions over text). What to do
//! about the findings is for whoever asked.

mod content;
mod duplicate;
mod finding;
mod functions;
mod input;
mod language;
mod lexer;
mod review;
mod rules;
mod source;
mod walk;

use pleach_sdk::{Error, progress};

use crate::input::Input;
use crate::review::{Report, Review};

pleach_sdk::agent!(run);

fn run(input: Input) -> Result<Report, Error> {
    let paths = input.paths.clone();
    let mut review = Review::new(input.settings()?);
    walk::read_all(&paths, &mut review)?;
    let report = review.finish();
    progress::report_with(&report.summary, Some(1.0), &report.counts_by_rule);
    Ok(report)
}

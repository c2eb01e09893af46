//! An agent that has a tree of files reviewed: it cuts the tree into shards,
//! spawns one reviewer a shard that may read just that, has failed ones tried
//! again, and merges what they found into one report that a judge passes or
//! fails.
//!
//! This file is the order of things. What can be asked for is in `input`; the
//! calls to the host are in `walk`, `review` and `verdict`; the rest computes.
//!
//! It needs `fs.read:ROOT/*`, to use and to delegate, and `spawn:` for the
//! reviewer, the judge and the replanner. Its output is described by
//! `Report::output`; a report that the judge fails is the details of the error
//! `judge_failed`.

mod exclude;
mod finding;
mod input;
mod left_out;
mod markdown;
mod plain;
mod report;
mod review;
mod sarif;
mod shard;
mod table;
mod tree;
mod verdict;
mod walk;

use pleach_sdk::{Error, progress};
use serde_json::Value;

use exclude::Exclude;
use input::Input;
use report::Report;
use review::Review;
use verdict::Outcome;

pleach_sdk::agent!(run);

fn run(input: Input) -> Result<Value, Error> {
    input.check()?;
    let root = walk::root(input.root.as_deref())?;
    let tree = walk::list(&root, &Exclude::new(&input.exclude, input.exclude_usual), input.max_files)?;
    if tree.files().is_empty() {
        let message = format!("`{root}` has no file to review ({} entries were left out)", tree.left_out().total());
        return Err(Error::new("nothing_to_review", message).with_details(tree.left_out()));
    }
    let shards = shard::cut(&tree, &root, input.shards);
    progress::report_part(&format!("{} files in {} shards", tree.files().len(), shards.len()), 0, 4);

    let review = Review::make(&input, &shards)?;
    let mut report = Report::new(root, &tree, review);
    if let Some(judge) = &input.judge {
        progress::report_part(&format!("asking `{judge}`"), 3, 4);
        match verdict::ask(judge, &input.criteria, &report) {
            Ok(verdict) => report.verdict = Some(verdict),
            // The findings are worth having, whoever could not judge them.
            Err(error) => {
                report.notes.push(format!("There is no verdict: {}.", error.message));
                return Err(error.with_details(report.output(input.max_findings)));
            }
        }
    }
    let output = report.output(input.max_findings);
    match &report.verdict {
        Some(verdict) if verdict.outcome == Outcome::Fail => {
            let message = format!("`{}` did not pass it: {}", verdict.judge, plain::line(&verdict.rationale, 500));
            Err(Error::new("judge_failed", message).with_details(output))
        }
        _ => Ok(output),
    }
}

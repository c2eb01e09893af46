//! Traps: by a panic, whose message the log gets, or by aborting outright.

use pleach_sdk::Error;
use serde::Deserialize;

pleach_sdk::agent!(run);

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum How {
    #[default]
    Panic,
    Abort,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    how: How,
}

fn run(input: Input) -> Result<(), Error> {
    match input.how {
        How::Panic => panic!("told to panic"),
        How::Abort => std::process::abort(),
    }
}

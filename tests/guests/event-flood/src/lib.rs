//! Reports progress `count` times as fast as it can, each with `bytes` of text,
//! and writes the same to the log.

use pleach_sdk::{Error, log, progress};
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    count: u32,
    #[serde(default)]
    bytes: usize,
}

#[derive(Serialize)]
struct Output {
    reported: u32,
}

fn run(input: Input) -> Result<Output, Error> {
    let padding = "x".repeat(input.bytes);
    for number in 0..input.count {
        let message = format!("report {number} {padding}");
        progress::report_with(&message, None, &number);
        log::info(&message);
    }
    Ok(Output { reported: input.count })
}

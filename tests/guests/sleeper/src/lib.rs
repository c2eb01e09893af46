//! Sleeps for `ms`, then says so. A cancel ends the sleep and, with it, the run.

use pleach_sdk::{Error, clock};
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    ms: u64,
}

#[derive(Serialize)]
struct Output {
    slept_ms: u64,
}

fn run(input: Input) -> Result<Output, Error> {
    clock::sleep_ms(input.ms)?;
    Ok(Output { slept_ms: input.ms })
}

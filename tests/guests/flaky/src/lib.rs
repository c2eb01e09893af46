//! Fails, and says that trying again helps, until the attempt `succeed_at`.

use pleach_sdk::{Error, context};
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    succeed_at: u32,
}

#[derive(Serialize)]
struct Output {
    attempt: u32,
}

fn run(input: Input) -> Result<Output, Error> {
    let attempt = context::attempt();
    if attempt < input.succeed_at {
        return Err(Error::retryable("flaky", format!("attempt {attempt} of {}", input.succeed_at)));
    }
    Ok(Output { attempt })
}

//! Sleeps for `ms`; where it is cancelled it takes no notice, works on for
//! `more_turns` (for ever, unless said otherwise: only being interrupted ends it)
//! and returns a result all the same.

use std::hint::black_box;

use pleach_sdk::{Error, clock};
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    ms: u64,
    more_turns: Option<u64>,
}

#[derive(Serialize)]
struct Output {
    cancelled: bool,
    turns: u64,
}

fn run(input: Input) -> Result<Output, Error> {
    let cancelled = clock::sleep_ms(input.ms).is_err_and(|error| error.is_cancelled());
    let mut turns = 0_u64;
    while cancelled && input.more_turns.is_none_or(|most| turns < most) {
        turns = black_box(turns + 1);
    }
    Ok(Output { cancelled, turns })
}

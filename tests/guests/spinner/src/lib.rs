//! Loops for ever without a call to the host: only preemption can end it.

use std::hint::black_box;

use pleach_sdk::Error;

pleach_sdk::agent!(raw run);

fn run(input: String) -> Result<String, Error> {
    let mut turns = 0_u64;
    while black_box(&input).len() < usize::MAX {
        turns = black_box(turns.wrapping_add(1));
    }
    Ok(turns.to_string())
}

//! Calls itself without end, so that the stack runs out: the engine's own, or,
//! where `in_memory`, the one that compiled code keeps in linear memory.

use std::hint::black_box;

use pleach_sdk::Error;
use serde::Deserialize;

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    in_memory: bool,
}

fn run(input: Input) -> Result<u64, Error> {
    Ok(if input.in_memory { down_in_memory(1) } else { down(1) })
}

/// No tail call and no sum, either of which a compiler makes a loop of.
#[inline(never)]
fn down(level: u64) -> u64 {
    if level == u64::MAX {
        return level;
    }
    (down(level + 1) ^ level).wrapping_mul(31)
}

#[inline(never)]
fn down_in_memory(level: u64) -> u64 {
    if level == u64::MAX {
        return level;
    }
    let kept = black_box([level; 64]);
    down_in_memory(level + 1) ^ kept[(level % 64) as usize]
}

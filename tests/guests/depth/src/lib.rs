//! Spawns itself `levels` deep, each level waiting for the one below, and says
//! how deep it got. With more levels than the policy allows it is a bomb.

use pleach_sdk::{Denial, Error, Spawn, context};
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Clone, Deserialize, Serialize)]
struct Input {
    levels: u32,
    /// What to spawn; `depth` unless said otherwise.
    target: Option<String>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct Output {
    /// The depth of the deepest run.
    reached: u32,
    /// Why it went no deeper, where that was refused.
    denied: Option<Denial>,
}

fn run(input: Input) -> Result<Output, Error> {
    let reached = context::lineage().depth;
    if input.levels == 0 {
        return Ok(Output { reached, denied: None });
    }
    let target = input.target.clone().unwrap_or_else(|| "depth".to_owned());
    let scope = format!("spawn:{target}");
    let mut child = Spawn::of(&target)
        .input(&Input { levels: input.levels - 1, ..input.clone() })?
        .can_use([&scope])
        .can_delegate([&scope]);
    if let Some(timeout_ms) = input.timeout_ms {
        child = child.timeout_ms(timeout_ms);
    }
    match child.call() {
        Ok(answer) => answer.completed(),
        Err(error) => match error.denial() {
            Some(denial) => Ok(Output { reached, denied: Some(denial.clone()) }),
            None => Err(error.into()),
        },
    }
}

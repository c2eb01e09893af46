//! Spawns `count` children of `target`, joins them where they are a group, and
//! says what became of them. One by one, until it is refused, it is a bomb.

use pleach_sdk::{Denial, Error, Group, GroupRequest, JoinMode, JoinPolicy, JoinResult, Spawn, SpawnRequest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    target: String,
    count: u32,
    /// For each child; `{}` unless said otherwise.
    input: Option<Value>,
    /// Scopes that each child may use.
    #[serde(default)]
    can_use: Vec<String>,
    /// Scopes that each child may hand on.
    #[serde(default)]
    can_delegate: Vec<String>,
    /// `best_effort` unless said otherwise.
    mode: Option<JoinMode>,
    quorum: Option<u32>,
    /// For the join; with `one_by_one`, for each child.
    timeout_ms: Option<u64>,
    key_prefix: Option<String>,
    #[serde(default)]
    one_by_one: bool,
    /// How many refusals it takes to stop asking; 1 unless said otherwise.
    denials: Option<usize>,
    /// Return without waiting for the group.
    #[serde(default)]
    no_join: bool,
}

#[derive(Default, Serialize)]
struct Output {
    asked: u32,
    spawned: u32,
    denied: Vec<Denial>,
    group_id: Option<String>,
    /// Without the outputs of members: a thousand of them would be too much.
    joined: Option<JoinResult>,
}

fn run(input: Input) -> Result<Output, Error> {
    if input.one_by_one { one_by_one(&input) } else { group(&input) }
}

fn child(input: &Input) -> Result<SpawnRequest, Error> {
    let value = input.input.clone().unwrap_or_else(|| serde_json::json!({}));
    let child = Spawn::of(&input.target).input(&value)?;
    Ok(child.can_use(&input.can_use).can_delegate(&input.can_delegate).into_request())
}

fn one_by_one(input: &Input) -> Result<Output, Error> {
    let mut output = Output::default();
    let child = SpawnRequest { timeout_ms: input.timeout_ms, ..child(input)? };
    while output.asked < input.count && output.denied.len() < input.denials.unwrap_or(1) {
        output.asked += 1;
        match Spawn::from(child.clone()).start() {
            Ok(_) => output.spawned += 1,
            Err(error) => output.denied.push(error.denial().cloned().ok_or_else(|| Error::from(error))?),
        }
    }
    Ok(output)
}

fn group(input: &Input) -> Result<Output, Error> {
    let mut output = Output { asked: input.count, ..Output::default() };
    let request = GroupRequest {
        members: vec![child(input)?; input.count as usize],
        key_prefix: input.key_prefix.clone(),
        join: JoinPolicy {
            mode: input.mode.unwrap_or(JoinMode::BestEffort),
            quorum: input.quorum,
            timeout_ms: input.timeout_ms,
        },
    };
    let group = match Group::from(request).start() {
        Ok(group) => group,
        Err(error) => {
            output.denied.push(error.denial().cloned().ok_or_else(|| Error::from(error))?);
            return Ok(output);
        }
    };
    output.spawned = group.members.len() as u32;
    output.group_id = Some(group.group_id.clone());
    if !input.no_join {
        output.joined = Some(JoinResult { outputs: Vec::new(), ..group.join()? });
    }
    Ok(output)
}

//! Keys: the same request twice, and another under the same key.
//!
//! A graph cannot ask for these by itself: the keys of its runs are its nodes'
//! ids and each of them asks once. So here the guest and the program are compared.

use pleach_engine::{CallError, HostCalls, Running};
use serde_json::{Value, json};

use super::ways::{Scenario, Told, done, failed, request, same};

/// Makes requests one after the other, each for a run or, where it has members,
/// for a group; then waits for a call, so that all have ended when it does.
fn program(mut calls: HostCalls, input: Value) -> Running {
    Box::pin(async move {
        let mut codes = Vec::new();
        for asked in input.as_array().unwrap() {
            let refused = match asked["members"].as_array() {
                Some(members) => {
                    let members = members.iter().cloned().map(request).collect();
                    let prefix = asked["key_prefix"].as_str().map(Into::into);
                    calls.spawn_group(members, prefix, Default::default()).await.err()
                }
                None => calls.spawn_run(request(asked.clone())).await.err(),
            };
            match refused {
                None => codes.push("spawned"),
                Some(CallError::Denied(denial)) => codes.push(denial.code.as_str()),
                Some(error) => return Err(failed(error)),
            }
        }
        done(json!(codes))
    })
}

async fn asked(requests: Value, codes: &[&str]) -> Told {
    let mut guest: Vec<Value> = requests.as_array().unwrap().clone();
    for step in &mut guest {
        step["op"] = json!(if step["members"].is_array() { "group" } else { "spawn" });
    }
    // The guest cannot tell a refusal from an answer; that it was one is in the log.
    guest.push(json!({"op": "return", "value": codes}));
    let told = same(Scenario { graph: String::new(), guest: json!(guest), program, input: requests }).await;
    assert_eq!(told.output(), &json!(codes));
    told
}

/// A run that its parent waits for.
fn run(input: u32, key: Option<&str>) -> Value {
    let mut run = json!({"target": "echo", "input": input, "parent_close": "abandon"});
    if let Some(key) = key {
        run["spawn_key"] = json!(key);
    }
    run
}

#[tokio::test]
async fn the_same_request_finds_the_same_run() {
    let told = asked(json!([run(1, Some("a")), run(1, Some("a"))]), &["spawned", "spawned"]).await;
    let spawns = told.decided("spawn_decision");
    assert_eq!((&spawns[1]["idempotent"], &spawns[2]["idempotent"]), (&json!(false), &json!(true)));
    assert_eq!(spawns[1]["spawned_run_ids"], spawns[2]["spawned_run_ids"]);
}

#[tokio::test]
async fn another_request_under_the_same_key_is_a_conflict() {
    let told = asked(json!([run(1, Some("a")), run(2, Some("a"))]), &["spawned", "idempotency_conflict"]).await;
    assert_eq!(told.decided("policy_deny")[0]["code"], "idempotency_conflict");
}

#[tokio::test]
async fn a_group_is_found_again_and_conflicts_alike() {
    let group = |input: u32| json!({"members": [run(input, None)], "key_prefix": "g"});
    let codes = ["spawned", "spawned", "idempotency_conflict"];
    let told = asked(json!([group(1), group(1), group(2)]), &codes).await;
    assert_eq!(told.decided("spawn_decision").len(), 3, "the root, the group, and the group again");
}

#[tokio::test]
async fn keys_are_derived_alike() {
    let told = asked(json!([run(1, None), run(1, None)]), &["spawned", "spawned"]).await;
    let keys: Vec<&Value> = told.decided("spawn_decision")[1..].iter().map(|s| &s["runs"][0]["spawn_key"]).collect();
    assert_eq!(keys, ["~1.0", "~1.1"]);
}

#[tokio::test]
async fn a_key_of_the_hosts_own_is_refused() {
    let told = asked(json!([run(1, Some("~1.0"))]), &["invalid_request"]).await;
    assert_eq!(told.decided("policy_deny")[0]["code"], "invalid_request");
}

//! A disk that takes no more: the run stops and says why, what was shown is
//! there, and with room it goes on to its end.
//!
//! What is full here is the size that the program's files may have: that limit
//! binds every user, and needs no disk of its own.
#![cfg(unix)]

use std::process::Command;

use pleach_engine::Host;
use serde_json::{Value, json};

use crate::program::{Desk, Done, guest};

/// Children that are called one after another.
const CALLS: usize = 20;

/// What each gives back, in bytes.
const EACH: usize = 100_000;

/// `pleach` with files of at most so many blocks of 512 bytes.
fn confined(desk: &Desk, blocks: u64, arguments: &[&str]) -> Done {
    let program = desk.command(arguments);
    let mut shell = Command::new("sh");
    // A write that goes beyond the limit fails, as on a full disk, instead of
    // ending the program.
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks} && exec \"$@\""), "sh"]);
    shell.arg(program.get_program()).args(program.get_args());
    shell.current_dir(desk.path(".")).stdin(std::process::Stdio::null());
    for variable in ["PLEACH_STORE", "PLEACH_TENANT", "PLEACH_LOG"] {
        shell.env_remove(variable);
    }
    Done::of(shell.output().expect("starting sh"))
}

#[test]
fn a_run_whose_disk_is_full_stops_and_goes_on_when_there_is_room() {
    let desk = Desk::new();
    desk.file("docs/large.txt", &"x".repeat(EACH));
    desk.file(
        "policy.json",
        &json!({"targets": ["script"], "scopes": ["fs.read:docs/*", "spawn:*"],
            "limits": {"max_fanout": CALLS, "max_children_total": CALLS}})
        .to_string(),
    );
    let scopes = json!({"can_use": ["fs.read:docs/*"], "can_delegate": []});
    let call = json!({"op": "call", "target": "script", "scopes": scopes,
        "input": [{"op": "read", "path": "docs/large.txt"}]});
    let mut steps = vec![call; CALLS];
    steps.push(json!({"op": "return", "value": format!("${}.output.0.ok.bytes", CALLS - 1)}));
    desk.file("steps.json", &json!(steps).to_string());
    // The guest is published and compiled while there is room.
    desk.expect(0, &["run", &guest("script"), "--input", "[]", "--quiet"]);
    let size = std::fs::metadata(desk.path(".pleach/pleach.db")).expect("the store").len();

    let blocks = (size + 10 * EACH as u64) / 512;
    let arguments = [
        "run",
        "script",
        "--input",
        "@steps.json",
        "--policy",
        "policy.json",
        "--root",
        "docs=docs",
        "--grant",
        "fs.read:docs/*",
        "--grant",
        "spawn:*",
        "--format",
        "ndjson",
        "--quiet",
    ];
    let stopped = confined(&desk, blocks, &arguments);
    assert_eq!(stopped.code, 1, "{}", stopped.told());
    let shown = stopped.json_lines();
    assert!(shown.len() > 5, "it had come some way\n{}", stopped.told());
    let id = shown[0]["root_run_id"].as_str().expect("the root of an event").to_owned();
    stopped.says(&["error: ", &id, "was stopped because its log could not be written", "pleach.db", "hint: "]);

    // What was shown had been on disk before, and nothing else is there in part.
    let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!((&tree["tree"]["status"], &tree["abandoned"]), (&json!("running"), &json!(true)));
    let events = desk.expect(0, &["events", &id, "--format", "ndjson"]).json_lines();
    assert_eq!(events[..shown.len()], shown);
    desk.expect(0, &["store", "check"]);

    let output = resumed(&desk, &id);
    assert_eq!(output, json!(EACH));
    let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!((&tree["tree"]["status"], &tree["node_count"]), (&json!("completed"), &json!(CALLS + 1)));
    desk.expect(0, &["store", "check"]);
}

/// What a run gives back when a host without that limit has taken it up.
fn resumed(desk: &Desk, id: &str) -> Value {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = format!("sqlite:{}", desk.path(".pleach/pleach.db").display());
        let builder = Host::builder().store(&store).root("docs", desk.path("docs"));
        let host = builder.code_cache(desk.path(".pleach/cache")).build().await.expect("a host");
        let run = host.run(id.parse().expect("an id")).await.expect("the run");
        let ended = run.wait().await.expect("its end");
        host.shutdown(std::time::Duration::ZERO).await.expect("closing the store");
        serde_json::from_str(ended.output.expect("it completes").as_str()).expect("JSON")
    })
}

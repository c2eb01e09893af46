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
    confined_to(desk, blocks, arguments, "")
}

/// The same, with its output redirected.
fn confined_to(desk: &Desk, blocks: u64, arguments: &[&str], to: &str) -> Done {
    let program = desk.command(arguments);
    let mut shell = Command::new("sh");
    // Whoever starts it need not know that the limit comes with a signal.
    shell.args(["-c", &format!("ulimit -f {blocks} && exec \"$@\" {to}"), "sh"]);
    shell.arg(program.get_program()).args(program.get_args());
    shell.current_dir(desk.path(".")).stdin(std::process::Stdio::null());
    for variable in ["PLEACH_STORE", "PLEACH_TENANT", "PLEACH_LOG"] {
        shell.env_remove(variable);
    }
    Done::of(shell.output().expect("starting sh"))
}

#[test]
fn output_for_which_there_is_no_room_is_an_error_that_is_told() {
    let desk = Desk::new();
    desk.file("input.json", &json!("x".repeat(EACH)).to_string());
    let done = desk.expect(0, &["run", &guest("echo"), "--input", "@input.json", "--format", "json", "--quiet"]);
    let id = done.json()["run_id"].as_str().expect("an id").to_owned();
    let blocks = EACH as u64 / 512;
    let done = confined_to(&desk, blocks, &["events", &id, "--format", "ndjson"], "> events.ndjson");
    assert_eq!(done.code, 1, "{}", done.told());
    done.says(&["error: writing to standard output: "]);
    let help = confined_to(&desk, 1, &["help", "run"], "> help.txt");
    assert_eq!(help.code, 0, "it came to its end\n{}", help.told());
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
    // How far it comes is up to the disk: while one commit is slow, much is decided
    // that the next has to hold.
    assert!(!shown.is_empty(), "it was admitted\n{}", stopped.told());
    let id = shown[0]["root_run_id"].as_str().expect("the root of an event").to_owned();
    stopped.says(&["error: ", &id, "was stopped because its log could not be written", "pleach.db", "hint: "]);
    stopped.says(&["`pleach store check`", &format!("`pleach resume {id}`")]);
    assert!(!stopped.stderr.contains("ERROR"), "it is told once\n{}", stopped.told());

    // What was shown had been on disk before, and nothing else is there in part.
    let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    let status = tree["tree"]["status"].as_str();
    assert!(matches!(status, Some("queued" | "running")), "{status:?}");
    assert_eq!(tree["abandoned"], json!(true));
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

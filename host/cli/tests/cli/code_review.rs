//! `examples/code-review` as a graph, run by the command of its README: over this
//! repository, and over a small tree where it is known what comes out.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Desk, Done, repository};

/// The arguments of the command in the README, for another root and input.
fn review(desk: &Desk, root: &str, input: &str) -> Done {
    let readme = fs::read_to_string(repository().join("examples/code-review/README.md")).expect("the README");
    let command = readme.lines().find(|line| line.contains("run examples/code-review/graph.yaml"));
    let command = command.expect("the README runs the graph").split_once(" -- ").expect("arguments of pleach").1;
    let arguments: Vec<String> = command.split(' ').map(|argument| argument.trim_matches('\'').to_owned()).collect();
    let arguments = arguments.iter().map(|argument| match argument.as_str() {
        "repo=." => format!("repo={root}"),
        "@examples/code-review/graph-input.json" => input.to_owned(),
        argument => argument.to_owned(),
    });
    let store = format!("sqlite:{}", desk.path("pleach.db").display());
    let arguments: Vec<String> = arguments.chain(["--format", "json", "--store", &store].map(str::to_owned)).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = desk.command(&arguments);
    Done::of(command.current_dir(repository()).output().expect("starting pleach"))
}

/// Three shards: one with a file that lacks a licence, one with a conflict, one with
/// a remark.
fn small(desk: &Desk) -> String {
    let code = "fn a() {}\nfn b() {}\nfn c() {}\nfn d() {}\n";
    for number in 0..5 {
        desk.file(&format!("tree/a/{number}.rs"), &format!("// Copyright Somebody\n{code}"));
    }
    desk.file("tree/a/none.rs", &format!("// Nothing\n{code}"));
    // Put together here, so that a review of this file does not find it.
    let [ours, middle, theirs] = ["<", "=", ">"].map(|mark| mark.repeat(7));
    desk.file("tree/b/x.rs", &format!("fn a() {{\n{ours} ours\n1\n{middle}\n2\n{theirs} theirs\n}}\n"));
    desk.file("tree/c/y.rs", "fn a() {} \n");
    desk.path("tree").to_str().expect("a path in UTF-8").to_owned()
}

fn input(shards: &[&str]) -> String {
    let shards: Vec<Value> = shards.iter().map(|shard| json!([format!("repo/{shard}/")])).collect();
    json!({"shards": shards, "licence_header": true}).to_string()
}

#[test]
fn this_repository_passes_its_review_as_a_graph() {
    let (desk, root) = (Desk::new(), repository());
    let done = review(&desk, root.to_str().expect("a path"), "@examples/code-review/graph-input.json");
    assert_eq!(done.code, 0, "{}", done.told());
    let output = &done.json()["output"];
    assert_eq!(output["shards"].as_array().map(Vec::len), Some(9), "{output}");
    let files: u64 = output["shards"].as_array().expect("shards").iter().filter_map(|s| s["files"].as_u64()).sum();
    assert!(files > 200, "{files} files were read");
    let summary = output["summary"].as_str().expect("a summary");
    assert!(summary.starts_with("9 shards reviewed, 0 of them twice; "), "{summary}");
}

#[test]
fn a_finding_that_no_quorum_shares_is_dismissed_and_a_remark_needs_none() {
    let desk = Desk::new();
    let root = small(&desk);
    let done = review(&desk, &root, &input(&["a", "c"]));
    assert_eq!(done.code, 0, "{}", done.told());
    let finding = |file: &str, message: &str, rule: &str, severity: &str| json!({"file": file, "line": 1, "message": message, "rule": rule, "severity": severity});
    let licence = "the file does not open with a licence, which is required here";
    let licence = finding("repo/a/none.rs", licence, "licence-header", "warning");
    let space = finding("repo/c/y.rs", "this line ends in space", "trailing-space", "info");
    let held = "within every threshold: `/counts/grave` at most 0; `/counts/unfinished` at most 0";
    let expected = json!({
        "summary": format!("2 shards reviewed, 0 of them twice; 0 findings confirmed. {held}."),
        "shards": [
            {"files": 6, "remarks": [], "confirmed": [], "dismissed": [licence], "grave": 0, "told": ""},
            {"files": 1, "remarks": [space], "confirmed": [], "dismissed": [], "grave": 0, "told": ""},
        ],
    });
    assert_eq!(done.json()["output"], expected);
}

#[test]
fn a_finding_that_a_quorum_confirms_fails_the_review() {
    let desk = Desk::new();
    let root = small(&desk);
    let done = review(&desk, &root, &input(&["b"]));
    assert_eq!(done.code, 1, "{}", done.told());
    let conflict = "a merge was not resolved here: take one side or join both, and delete the markers";
    let missed = "1 of 2 thresholds missed: `/counts/grave` is 1, above 0";
    let error = &done.json()["error"];
    assert_eq!(error["code"], "review_failed");
    assert_eq!(error["message"], format!("{missed}. repo/b/x.rs:2 {conflict}"));
}

#[test]
fn shards_that_failed_are_reviewed_once_more_and_no_others() {
    let desk = Desk::new();
    let root = small(&desk);
    let done = review(&desk, &root, &input(&["c", "gone"]));
    assert_eq!(done.code, 1, "{}", done.told());
    assert_eq!(done.json()["error"]["message"], "1 of 2 thresholds missed: `/counts/unfinished` is 1, above 0. ",);
    let run = done.json()["run_id"].as_str().expect("a run").to_owned();
    let store = format!("sqlite:{}", desk.path("pleach.db").display());
    let events = desk.expect(0, &["events", &run, "--store", &store, "--format", "ndjson"]).json_lines();
    let spawned = |node: &str| {
        let of_node = events.iter().filter(|event| event["node_id"] == node);
        let decisions = of_node.filter(|event| event["event"] == "orchestration.spawn_decision");
        decisions.filter_map(|event| event["data"]["spawned_run_ids"].as_array().map(Vec::len)).sum::<usize>()
    };
    assert_eq!((spawned("shards"), spawned("retried")), (2, 1));
}

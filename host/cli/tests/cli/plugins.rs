//! `pleach plugin`: inspect, publish, list, withdraw; and the plugins that a
//! run brings along.

use crate::program::{Desk, guest};

#[test]
fn a_component_is_inspected_without_a_store() {
    let desk = Desk::new();
    let answer = desk.expect(0, &["plugin", "inspect", &guest("echo"), "--format", "json"]).json();
    assert_eq!(answer["name"], "echo");
    assert_eq!(answer["role"], "agent");
    assert!(answer["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{answer}");
    let text = desk.expect(0, &["plugin", "inspect", &guest("echo")]);
    assert!(text.stdout.contains("role         agent"), "{}", text.told());
    assert!(!desk.path(".pleach").exists());
}

#[test]
fn a_plugin_is_published_listed_and_withdrawn() {
    let desk = Desk::new();
    let published = desk.expect(0, &["plugin", "publish", &guest("echo"), "--version", "1.2.3", "--format", "json"]);
    assert_eq!(published.json()[0]["version"], "1.2.3");
    let listed = desk.expect(0, &["plugin", "list"]);
    assert!(listed.stdout.contains("echo@1.2.3") && listed.stdout.contains("agent"), "{}", listed.told());
    desk.expect(0, &["run", "echo@^1.2"]);

    desk.expect(2, &["plugin", "unpublish", "echo"]).says(&["NAME@VERSION"]);
    desk.expect(0, &["plugin", "unpublish", "echo@1.2.3"]);
    let rows = desk.expect(0, &["plugin", "list", "--format", "ndjson"]).json_lines();
    assert_eq!(rows[0]["published"], false);
    desk.expect(2, &["run", "echo"]);
}

#[test]
fn a_published_version_never_changes() {
    let desk = Desk::new();
    let first = ["plugin", "publish", &guest("echo"), "--name", "one", "--version", "1.0.0"];
    desk.expect(0, &first);
    desk.expect(0, &first);
    let other = ["plugin", "publish", &guest("trap"), "--name", "one", "--version", "1.0.0"];
    desk.expect(2, &other).says(&["publishing `", "one@1.0.0", "raise the version"]);
    assert_eq!(desk.expect(0, &["run", "one", "--format", "json"]).json()["status"], "completed");
}

#[test]
fn a_plugin_that_is_rebuilt_under_one_version_runs_as_it_is_now() {
    let desk = Desk::new();
    // A file without a name of its own in the store's eyes: the same name and
    // version, first with the bytes of `echo`, then with those of `trap`.
    let version = |name: &str| {
        let found = desk.expect(0, &["plugin", "inspect", &guest(name), "--format", "json"]).json();
        found["version"].as_str().expect("a version").to_owned()
    };
    desk.expect(0, &["plugin", "publish", &guest("trap"), "--name", "echo", "--version", &version("echo")]);
    let done = desk.expect(0, &["run", &guest("echo"), "--format", "json"]);
    assert_eq!(done.json()["status"], "completed", "the file was run, and not what the store had");
    desk.expect(0, &["run", &guest("echo")]);
    let listed = desk.expect(0, &["plugin", "list", "--format", "json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    assert_eq!(desk.expect(0, &["run", "echo", "--format", "json"]).json()["status"], "completed");
}

#[test]
fn tenants_do_not_see_each_other() {
    let desk = Desk::new();
    desk.expect(0, &["run", &guest("echo"), "--tenant", "one"]);
    let listed = desk.expect(0, &["plugin", "list", "--tenant", "two"]);
    assert!(listed.stdout.starts_with("no plugins"), "{}", listed.told());
    let runs = desk.expect(0, &["runs", "--tenant", "two"]);
    assert_eq!(runs.stdout, "no runs\n");
    let id = desk.expect(0, &["runs", "--tenant", "one", "--format", "json"]).json()[0]["run_id"].clone();
    let id = id.as_str().expect("an id");
    desk.expect(2, &["tree", id, "--tenant", "two"]).says(&[id]);
    desk.expect(2, &["cancel", id, "--tenant", "two"]).says(&[id]);
}

#[test]
fn building_what_is_no_plugin_says_what_to_name() {
    let desk = Desk::new();
    desk.expect(2, &["plugin", "build", "no/such"]).says(&["`no/such`", "Cargo.toml"]);
}

const GRAPH: &str = r#"
spec_version: "2.0"
name: two
version: 1.0.0
description: Says two.
nodes:
  out: {output: {value: 2}}
"#;

#[test]
fn a_graph_is_published_listed_and_run_by_its_name() {
    let desk = Desk::new();
    desk.file("graph.yaml", GRAPH);
    let published = desk.expect(0, &["plugin", "publish", "graph.yaml", "--format", "json"]).json();
    let shown =
        ["name", "version", "role", "description"].map(|field| published[0][field].as_str().unwrap_or("").to_owned());
    assert_eq!(shown, ["two", "1.0.0", "agent", "Says two."]);
    assert!(desk.expect(0, &["plugin", "list"]).stdout.contains("two@1.0.0"));
    assert_eq!(desk.expect(0, &["run", "two@^1", "--format", "json"]).json()["output"], 2);
    // A changed file is another version, unless a run brings it along.
    desk.file("graph.yaml", &GRAPH.replace("value: 2", "value: 3"));
    desk.expect(2, &["plugin", "publish", "graph.yaml"]).says(&["publishing `graph.yaml`", "raise the version"]);
    let brought = ["run", "two", "--plugin", "graph.yaml", "--format", "json"];
    assert_eq!(desk.expect(0, &brought).json()["output"], 3);
    desk.expect(0, &["plugin", "unpublish", "two@1.0.0"]);
}

#[test]
fn a_graph_that_cannot_be_published_says_why() {
    let desk = Desk::new();
    desk.file("broken.yaml", &GRAPH.replace("output:", "outptu:"));
    for arguments in [&["plugin", "publish", "broken.yaml"][..], &["run", "two", "--plugin", "broken.yaml"]] {
        desk.expect(2, arguments).says(&["broken.yaml:7:", "unknown", "`outptu`"]);
    }
    desk.file("root.yaml", &format!("{GRAPH}timeout_ms: 5\n"));
    desk.expect(2, &["plugin", "publish", "root.yaml"]).says(&["`root.yaml`", "`timeout_ms`", "leave it out"]);
    desk.expect(2, &["plugin", "inspect", "root.yaml"]).says(&["it is a graph", "pleach graph show"]);
    desk.expect(2, &["plugin", "publish", "gone.yaml"]).says(&["`gone.yaml`", "hint:"]);
}

/// As a graph that is run from its file is: before anything is spawned.
#[test]
fn a_published_graph_that_is_run_by_its_name_is_checked_first() {
    let desk = Desk::new();
    desk.file(
        "graph.yaml",
        &GRAPH.replace("  out:", "  one: {spawn_run: {target: echo}}\n  two: {spawn_run: {target: gone}}\n  out:"),
    );
    desk.file("policy.yaml", "scopes: [\"spawn:*\"]\ntargets: [nobody]\norchestrators: {pair: {targets: [echo]}}\n");
    desk.expect(0, &["plugin", "publish", &guest("echo")]);
    desk.expect(0, &["plugin", "publish", "graph.yaml", "--name", "pair"]);
    let refused = desk.expect(2, &["run", "pair", "--policy", "policy.yaml"]);
    refused.says(&["the graph `pair` cannot be run", "error[target_not_found]", "error[scope_required]", "--grant"]);
    // Policy knows it by the name that it was published under.
    assert!(!refused.stderr.contains("target_not_allowlisted"), "{}", refused.told());
    assert_eq!(desk.expect(0, &["runs"]).stdout, "no runs\n");
}

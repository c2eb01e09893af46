//! `pleach graph show`: each picture comes out of the program, and what cannot be
//! drawn is said. What the pictures look like is tested where they are drawn.

use crate::program::{Desk, guest};

const GRAPH: &str = r#"
spec_version: "2.0"
name: two
nodes:
  first: {spawn_run: {target: echo}}
  last: {output: {value: done}}
edges:
  - {from: first, to: last}
"#;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("g.yaml", GRAPH);
    desk
}

fn shown(format: &str) -> String {
    desk().expect(0, &["graph", "show", "g.yaml", "--format", format]).stdout
}

#[test]
fn a_graph_is_drawn_in_lines_unless_asked_otherwise() {
    let lines = desk().expect(0, &["graph", "show", "g.yaml"]).stdout;
    assert_eq!(lines, "two: 2 nodes, 1 edge\n\n1   first  spawn_run  echo  → last\n2   last   output\n");
    assert_eq!(shown("text"), lines);
}

#[test]
fn a_graph_is_drawn_for_each_kind_of_viewer() {
    let mermaid = shown("mermaid");
    assert!(mermaid.starts_with("flowchart TD\n") && mermaid.contains("n0 --> n1\n"), "{mermaid}");
    let dot = shown("dot");
    assert!(dot.starts_with("digraph \"two\" {") && dot.ends_with("n0 -> n1\n}\n"), "{dot}");
    let svg = shown("svg");
    assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n") && svg.contains(">first</text>"), "{svg}");
}

#[test]
fn a_picture_that_is_none_is_refused() {
    desk().expect(2, &["graph", "show", "g.yaml", "--format", "png"]).says(&["png", "mermaid"]);
    desk().expect(2, &["graph", "show"]).says(&["<FILE>"]);
}

#[test]
fn every_problem_of_a_broken_graph_is_told_and_nothing_drawn() {
    let desk = desk();
    desk.file("broken.yaml", &GRAPH.replace("spawn_run", "spawn_rum").replace("to: last", "to: lost"));
    let done = desk.expect(2, &["graph", "show", "broken.yaml"]);
    assert_eq!(done.stdout, "");
    done.says(&["broken.yaml:5:", "spawn_rum", "broken.yaml:8:", "`lost`", "error["]);
    desk.file("text.yaml", "just a text");
    desk.expect(2, &["graph", "show", "text.yaml"]).says(&["text.yaml:1:1: error["]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let desk = desk();
    desk.expect(2, &["graph", "show", "no/such.yaml"]).says(&["`no/such.yaml`", "hint:"]);
    std::fs::write(desk.path("latin.yaml"), b"name: caf\xe9").expect("writing a file");
    desk.expect(2, &["graph", "show", "latin.yaml"]).says(&["`latin.yaml`", "not UTF-8", "byte 9"]);
}

#[test]
fn a_run_is_drawn_on_its_graph_and_on_no_other() {
    let desk = desk();
    let nothing = ["graph", "show", "g.yaml", "--run", "01938f2e-7c00-7000-8000-000000000000"];
    desk.expect(2, &nothing).says(&["there is no such file"]);
    assert!(!desk.path(".pleach").exists(), "nothing is made to look at");

    let id = |run: serde_json::Value| run["run_id"].as_str().expect("a run").to_owned();
    let echo = id(desk.expect(0, &["run", &guest("echo"), "--input", "1", "--format", "json"]).json());
    // It has spawned nothing, so nothing tells that it is no run of the graph.
    let drawn = desk.expect(0, &["graph", "show", "g.yaml", "--run", &echo]).stdout;
    assert!(drawn.starts_with("two: 2 nodes, 1 edge; completed in "), "{drawn}");
    assert!(drawn.contains("first  spawn_run  skipped"), "{drawn}");
    desk.expect(2, &nothing).says(&["hint:"]);

    desk.file("policy.yaml", "targets: [echo]\nscopes: ['spawn:*']\n");
    let (fan_out, plugin, input) = (guest("fan-out"), guest("echo"), r#"{"target": "echo", "count": 2}"#);
    let other =
        ["run", &fan_out, "--plugin", &plugin, "--policy", "policy.yaml", "--grant", "spawn:*", "--input", input];
    let other = desk.expect(0, &[&other[..], &["--format", "json"]].concat());
    desk.expect(2, &["graph", "show", "g.yaml", "--run", &id(other.json())]).says(&["none of its runs", "hint:"]);
}

/// What is decided because the graph has ended, the graph has not seen.
#[test]
fn a_run_is_drawn_as_its_report_tells() {
    let desk = Desk::new();
    let text = r#"
spec_version: "2.0"
name: cut
nodes:
  g: {spawn_group: {targets: [{target: script, input: [{op: sleep, ms: 100000}]}]}}
  j: {join: {}}
  b: {spawn_run: {target: script, input: [{op: fail, code: boom, message: it fell}]}}
  o: {output: {value: "${{ [nodes.j.output, has(nodes.b.output)] }}"}}
edges: [{from: g, to: j}, {from: j, to: o}, {from: b, to: o}]
"#;
    desk.file("cut.yaml", text);
    desk.file("policy.yaml", "scopes: [\"spawn:*\"]\ntargets: [script]\n");
    let run = ["run", "cut.yaml", "--plugin", &guest("script"), "--policy", "policy.yaml", "--grant", "spawn:*"];
    let report = desk.expect(1, &[&run[..], &["--format", "json"]].concat()).json();
    let id = report["run_id"].as_str().expect("an id").to_owned();
    let tasks = report["graph"]["tasks"].as_array().expect("tasks").iter();
    let told: Vec<&str> = tasks.map(|task| task["status"].as_str().expect("a status")).collect();
    assert_eq!(told, ["cancelled", "skipped", "failed", "skipped"]);
    let shown = desk.expect(0, &["graph", "show", "--run", &id]).stdout;
    for line in
        ["g  spawn_group  cancelled", "b  spawn_run    failed", "j  join         skipped", "o  output       skipped"]
    {
        assert!(shown.contains(line), "{shown}");
    }
}

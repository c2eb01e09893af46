//! `pleach check` and `pleach graph schema`: what is shown of what is wrong, and
//! what it is worth.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::program::{Desk, Done, guest, repository};

const GOOD: &str =
    "spec_version: \"2.0\"\nname: lead\ntasks:\n- {id: a, agent: echo}\n- {id: b, agent: echo, needs: [a]}\n";

const BAD: &str = "\
spec_version: \"2.0\"
nodes:
  a: {spawn_run: {target: w, input: \"${{ nodes.b.output }}\"}}
  b: {spawn_run: {tagret: w}}
  j: {judge: {score: \"'ö' + 1\", threshold: 1}}
edges:
  - {from: a, to: j}
";

/// A graph with nothing but a warning.
const DOUBTFUL: &str = "spec_version: \"2.0\"\nnodes:\n  g: {spawn_group: {targets: [{target: w}]}}\n";

#[test]
fn a_graph_without_problems_is_told_so() {
    let desk = Desk::new();
    desk.file("good.yaml", GOOD);
    let done = desk.expect(0, &["check", "good.yaml"]);
    assert_eq!(done.stdout, "good.yaml: no problems\n");
    done.says(&["note: there is no store `sqlite:.pleach/pleach.db`"]);
    assert!(!desk.path(".pleach").exists(), "whoever only looks makes no store");
    assert_eq!(desk.expect(0, &["check", "--no-registry", "good.yaml"]).stderr, "");
}

#[test]
fn all_problems_of_all_files_are_drawn() {
    let desk = Desk::new();
    desk.file("bad.yaml", BAD);
    desk.file("doubtful.yaml", DOUBTFUL);
    let done = desk.expect(2, &["check", "--no-registry", "bad.yaml", "doubtful.yaml"]);
    expect_test::expect![[r#"
        error[unknown_field]: there is no field `tagret` here
         --> bad.yaml:4:19
          |
        4 |   b: {spawn_run: {tagret: w}}
          |                   ^^^^^^
          |
          = help: did you mean `target`?

        error[handle_unwired]: `j.pass`, `j.fail` lead nowhere
         --> bad.yaml:5:3
          |
        5 |   j: {judge: {score: "'ö' + 1", threshold: 1}}
          |   ^
          |
          = help: add an edge for each, or a plain one for all: `{from: j, to: …}`

        error[type_error]: `+` does not take text and an integer
         --> bad.yaml:5:23
          |
        5 |   j: {judge: {score: "'ö' + 1", threshold: 1}}
          |                       ^^^^^^^
          |
          = help: write `string(…)` around what is no text

        bad.yaml: 3 errors

        warning[group_never_joined]: nobody waits for the group of `g`
         --> doubtful.yaml:3:3
          |
        3 |   g: {spawn_group: {targets: [{target: w}]}}
          |   ^
          |
          = help: add a `join` node and an edge `{from: g, to: …}`

        doubtful.yaml: 1 warning
    "#]]
    .assert_eq(&done.stdout);
}

#[test]
fn json_has_every_place() {
    let desk = Desk::new();
    desk.file("bad.yaml", BAD);
    let json = desk.expect(2, &["check", "--no-registry", "bad.yaml", "--format", "json"]).json();
    let file = &json["files"][0];
    assert_eq!((&file["file"], &file["ok"]), (&"bad.yaml".into(), &false.into()));
    let problems = file["problems"].as_array().expect("problems");
    let unknown = problems.iter().find(|one| one["code"] == "unknown_field").expect("the field that is not there");
    assert_eq!(unknown["text"], "tagret");
    assert_eq!((&unknown["line"], &unknown["column"]), (&4.into(), &19.into()));
    assert_eq!((&unknown["end_line"], &unknown["end_column"]), (&4.into(), &25.into()));
    assert_eq!(unknown["hint"], "did you mean `target`?");
    let sum = problems.iter().find(|one| one["code"] == "type_error").expect("the sum");
    assert_eq!(sum["text"], "'ö' + 1");
    assert_eq!(&BAD[sum["offset"].as_u64().unwrap() as usize..][..sum["length"].as_u64().unwrap() as usize], "'ö' + 1");
    let lines = desk.expect(2, &["check", "--no-registry", "bad.yaml", "bad.yaml", "--format", "ndjson"]).json_lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], *file);
}

#[test]
fn a_warning_is_an_error_only_where_that_is_asked_for() {
    let desk = Desk::new();
    desk.file("doubtful.yaml", DOUBTFUL);
    let done = desk.expect(0, &["check", "--no-registry", "doubtful.yaml"]);
    assert!(done.stdout.ends_with("doubtful.yaml: 1 warning\n"), "{}", done.stdout);
    desk.expect(2, &["check", "--no-registry", "--deny-warnings", "doubtful.yaml"]);
}

#[test]
fn what_the_host_would_refuse_is_told() {
    let desk = Desk::new();
    desk.file("good.yaml", GOOD);
    desk.file("open.yaml", "targets: [echo]\nscopes: ['spawn:*']\n");
    desk.file("closed.yaml", "targets: [other]\nscopes: ['spawn:*']\n");
    desk.expect(0, &["plugin", "publish", &guest("echo"), "--name", "echo"]);
    desk.expect(0, &["check", "good.yaml", "--policy", "open.yaml"]);
    let codes = |arguments: &[&str]| -> Vec<String> {
        let json = desk.expect(2, arguments).json();
        let problems = json["files"][0]["problems"].as_array().expect("problems").clone();
        problems.iter().map(|one| one["code"].as_str().expect("a code").to_owned()).collect()
    };
    let tenants = codes(&["check", "good.yaml", "--format", "json"]);
    assert!(tenants.contains(&"allowlist_empty".to_owned()), "the built-in policy allows none: {tenants:?}");
    let closed = ["target_not_allowlisted", "target_not_allowlisted"];
    assert_eq!(codes(&["check", "good.yaml", "--policy", "closed.yaml", "--format", "json"]), closed);
    assert_eq!(codes(&["check", "good.yaml", "--policy", "closed.yaml", "--no-registry", "--format", "json"]), closed);
    desk.file("other.yaml", &GOOD.replace("agent: echo}", "agent: ehco}"));
    let unknown = codes(&["check", "other.yaml", "--policy", "open.yaml", "--format", "json"]);
    assert_eq!(unknown, ["target_not_found"]);
}

/// What standard input leads to.
fn check_stdin(text: &[u8]) -> Done {
    let desk = Desk::new();
    let mut command = desk.command(&["check", "--no-registry", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that has seen enough closes its end.
    child.stdin.take().expect("its input").write_all(text).ok();
    Done::of(child.wait_with_output().expect("its end"))
}

#[test]
fn a_graph_can_come_from_standard_input() {
    assert_eq!(check_stdin(GOOD.as_bytes()).stdout, "stdin: no problems\n");
    let done = check_stdin(BAD.as_bytes());
    assert_eq!(done.code, 2);
    assert!(done.stdout.contains("--> stdin:4:19"), "{}", done.told());
    Desk::new().expect(2, &["check", "-", "-"]).says(&["standard input is there once"]);
}

#[test]
fn what_is_no_file_with_text_is_told_beside_the_others() {
    let desk = Desk::new();
    desk.file("good.yaml", GOOD);
    std::fs::write(desk.path("latin.yaml"), b"spec_version: \"2.0\"\nname: \xf6l\n").unwrap();
    std::fs::create_dir(desk.path("folder")).unwrap();
    let files = ["check", "--no-registry", "latin.yaml", "folder", "missing.yaml", "good.yaml"];
    let done = desk.expect(2, &files);
    for part in [
        "error[unreadable]: reading `latin.yaml`: it is not UTF-8 text: byte 26 (line 2) is no character",
        "error[unreadable]: reading `folder`: it is a folder",
        "error[unreadable]: reading `missing.yaml`: No such file",
        "good.yaml: no problems",
    ] {
        assert!(done.stdout.contains(part), "`{part}` is missing\n{}", done.told());
    }
}

#[test]
fn files_that_would_take_too_much_are_refused_soon() {
    let bomb: String = (1..12).fold("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".into(), |all, n| {
        let before = format!("*a{},", n - 1).repeat(10);
        format!("{all}a{n}: &a{n} [{}]\n", before.trim_end_matches(','))
    });
    let deep = format!("spec_version: \"2.0\"\nnodes: {}", "{a: ".repeat(500_000));
    let long = format!("spec_version: \"2.0\"\nname: {}\n", "x".repeat(9 << 20));
    let wrong = format!("spec_version: \"2.0\"\nnodes:\n{}", "  a: {spawn_run: {}}\n".repeat(50_000));
    for text in [bomb, deep, long, wrong] {
        let start = Instant::now();
        let done = check_stdin(text.as_bytes());
        assert_eq!(done.code, 2, "{}", done.told().chars().take(2_000).collect::<String>());
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        assert!(done.stdout.len() < 100_000, "{}", done.stdout.len());
    }
}

#[test]
fn the_schema_is_printed_and_written() {
    let desk = Desk::new();
    let shipped = std::fs::read_to_string(repository().join("docs/graph.schema.json")).expect("the shipped schema");
    assert_eq!(desk.expect(0, &["graph", "schema"]).stdout, shipped);
    desk.expect(0, &["graph", "schema", "--output", "s.json"]);
    assert_eq!(std::fs::read_to_string(desk.path("s.json")).unwrap(), shipped);
    desk.expect(2, &["graph", "schema", "--output", "no/such/folder/s.json"]).says(&["no/such/folder/s.json"]);
}

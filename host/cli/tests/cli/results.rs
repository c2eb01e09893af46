//! What a run gives back: exit codes 0, 1, 3 and 5, and the three formats.
//! Exit code 2 is in `usage`, 4 in `interrupt`.

use serde_json::{Value, json};

use crate::program::{Desk, component, guest, repository};

/// Lets `fan-out` spawn echoes.
const FAN_OUT_POLICY: &str = "targets: [echo]\nscopes: ['spawn:*']\nlimits: {max_fanout: 50, max_children_total: 50}\n";

#[test]
fn a_result_in_json_is_one_object() {
    let desk = Desk::new();
    let input = r#"{"a": [1, "x"]}"#;
    let done = desk.expect(0, &["run", &guest("echo"), "--input", input, "--format", "json", "--quiet"]);
    let report = done.json();
    let keys: Vec<&String> = report.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["error", "output", "run_id", "status", "usage"]);
    assert_eq!(report["status"], "completed");
    assert_eq!(report["output"], json!({"a": [1, "x"]}));
    assert_eq!(report["error"], Value::Null);
    let amounts: Vec<&String> = report["usage"].as_object().expect("an object").keys().collect();
    assert_eq!(amounts, ["cost_microusd", "cpu_us", "host_calls", "tokens", "wall_ms"]);
    assert_eq!(done.stderr, "", "--quiet leaves nothing to say");
}

#[test]
fn a_result_as_text_is_the_summary_and_how_it_went() {
    let desk = Desk::new();
    let output = json!({"summary": "all is well", "artifacts": [
        {"name": "report.txt", "media_type": "text/plain", "content": "| a table |\u{1b}[2J"},
    ]});
    let done = desk.expect(0, &["run", &guest("echo"), "--input", &output.to_string()]);
    assert!(done.stdout.starts_with("all is well\n\n| a table |\u{fffd}[2J\n\ncompleted after "), "{}", done.told());
    assert!(done.stdout.contains("\nrun 0"), "{}", done.told());
    let plain = desk.expect(0, &["run", "echo", "--input", r#"{"b":2}"#]);
    assert!(plain.stdout.starts_with("{\n  \"b\": 2\n}\n\ncompleted after "), "{}", plain.told());
}

#[test]
fn a_result_in_ndjson_has_every_event_before_it() {
    let desk = Desk::new();
    let done = desk.expect(0, &["run", &guest("echo"), "--format", "ndjson", "--quiet"]);
    let lines = done.json_lines();
    let (report, events) = lines.split_last().expect("a result");
    assert_eq!(report["status"], "completed");
    let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>(), "from 1, without a gap");
    for event in events {
        assert_eq!(event["root_run_id"], report["run_id"]);
        assert_eq!(event["tenant"], "default");
        assert!(event["at"].as_str().is_some_and(|at| at.ends_with('Z') && at.len() == 24), "{event}");
        assert!(event["event"].as_str().is_some_and(|name| name.starts_with("orchestration.")), "{event}");
    }
}

#[test]
fn an_input_comes_from_a_file_or_from_standard_input() {
    let desk = Desk::new();
    let file = desk.file("in.json", r#"{"from": "file"}"#);
    let echo = guest("echo");
    let done = desk.expect(0, &["run", &echo, "--input", "@in.json", "--format", "json"]);
    assert_eq!(done.json()["output"]["from"], "file");
    let mut command = desk.command(&["run", &echo, "--input", "@-", "--format", "json"]);
    let output = command.stdin(std::fs::File::open(file).expect("the file")).output().expect("starting pleach");
    assert_eq!(crate::program::Done::of(output).json()["output"]["from"], "file");
}

#[test]
fn a_run_that_fails_ends_with_1_and_says_why() {
    let desk = Desk::new();
    let done = desk.expect(1, &["run", &guest("trap"), "--format", "json"]);
    let report = done.json();
    assert_eq!(report["status"], "failed");
    assert_eq!(report["error"]["code"], "trap");
    assert_eq!(report["output"], Value::Null);
    let text = desk.expect(1, &["run", "trap"]);
    assert!(text.stdout.contains("failed after ") && text.stdout.contains("(trap)"), "{}", text.told());
}

#[test]
fn a_run_that_policy_refuses_ends_with_3() {
    let desk = Desk::new();
    let echo = guest("echo");
    let arguments = ["run", &echo, "--root", "repo=.", "--grant", "fs.read:repo/*"];
    let done = desk.expect(3, &arguments);
    done.says(&["error: running ", "scope_exceeds_policy", "fs.read:repo/*", "hint: ", "--policy FILE"]);
    assert_eq!(done.stdout, "");

    let mut machine = arguments.to_vec();
    machine.extend(["--format", "json"]);
    let report = desk.expect(3, &machine).json();
    assert_eq!(report["status"], "denied");
    assert_eq!(report["error"]["code"], "scope_exceeds_policy");
    assert_eq!(report["error"]["retryable"], false);
    assert_eq!(report["run_id"], Value::Null);

    desk.file("policy.yaml", "scopes: ['fs.read:repo/*']\n");
    machine.extend(["--policy", "policy.yaml"]);
    assert_eq!(desk.expect(0, &machine).json()["status"], "completed");
}

#[test]
fn a_run_that_takes_too_long_ends_with_5() {
    let desk = Desk::new();
    let arguments = ["run", &guest("sleeper"), "--input", r#"{"ms": 60000}"#, "--timeout", "0.2", "--format", "json"];
    let report = desk.expect(5, &arguments).json();
    assert_eq!(report["status"], "timed_out");
    assert_eq!(report["error"]["code"], "timed_out");
}

#[test]
fn a_tree_of_runs_is_counted_and_shown() {
    let desk = Desk::new();
    desk.file("policy.yaml", FAN_OUT_POLICY);
    let fan_out = guest("fan-out");
    let echo = guest("echo");
    let input = r#"{"target": "echo", "count": 20}"#;
    let arguments =
        ["run", &fan_out, "--plugin", &echo, "--policy", "policy.yaml", "--grant", "spawn:*", "--input", input];
    let done = desk.expect(0, &arguments);
    assert!(done.stdout.contains("21 runs (21 completed)"), "{}", done.told());
    done.says(&["spawned 20 × echo"]);

    let runs = desk.expect(0, &["runs", "--format", "json"]).json();
    assert_eq!(runs[0]["plugin"].as_str().and_then(|name| name.split('@').next()), Some("fan-out"));
    assert_eq!(runs[0]["status"], "completed");
    assert_eq!(runs[0]["run_count"], 21);
    let id = runs[0]["run_id"].as_str().expect("an id");

    let tree = desk.expect(0, &["tree", id, "--format", "json"]).json();
    assert_eq!(tree["node_count"], 21);
    assert_eq!(tree["tree"]["children"].as_array().map(Vec::len), Some(20));
    assert!(tree["tree"]["finished_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{}", tree["tree"]);
    let short = desk.expect(0, &["tree", &id[..18], "--nodes", "6"]);
    assert_eq!(short.stdout.lines().count(), 7, "{}", short.told());
    assert!(short.stdout.contains("└─ … and 15 more"), "{}", short.told());
    let child = desk.expect(0, &["tree", &format!("{id}.3"), "--format", "json"]).json();
    assert_eq!(child["node_count"], 1);

    let events = desk.expect(0, &["events", id, "--format", "ndjson"]).json_lines();
    let array = desk.expect(0, &["events", id, "--format", "json"]).json();
    assert_eq!(array.as_array(), Some(&events));
    let later = desk.expect(0, &["events", id, "--from", "3", "--format", "ndjson"]).json_lines();
    assert_eq!(later, events[2..]);
    let about_one = desk.expect(0, &["events", &format!("{id}.3")]);
    assert!(about_one.stdout.contains(".3 completed") && !about_one.stdout.contains(".4 "), "{}", about_one.told());
}

#[test]
fn a_limit_on_the_command_line_only_tightens() {
    let desk = Desk::new();
    desk.file("policy.yaml", FAN_OUT_POLICY);
    let (fan_out, echo) = (guest("fan-out"), guest("echo"));
    let input = r#"{"target": "echo", "count": 20}"#;
    let limited = desk.pleach(&[
        "run",
        &fan_out,
        "--plugin",
        &echo,
        "--policy",
        "policy.yaml",
        "--grant",
        "spawn:*",
        "--input",
        input,
        "--limit",
        "max_children_total=5",
        "--format",
        "ndjson",
    ]);
    let denied = limited.json_lines().into_iter().find(|event| event["event"] == "orchestration.policy_deny");
    assert_eq!(denied.unwrap_or_else(|| panic!("{}", limited.told()))["data"]["limit"], 5);
}

#[test]
fn artifacts_are_saved_and_never_over_a_file_of_the_user() {
    let desk = Desk::new();
    let echo = guest("echo");
    let output = json!({"artifacts": [{"name": "report.md", "media_type": "text/markdown", "content": "# Report"}]});
    let arguments = ["run", &echo, "--input", &output.to_string(), "--artifacts", "out"];
    for _ in 0..2 {
        desk.expect(0, &arguments).says(&["saved out/report.md"]);
    }
    assert_eq!(std::fs::read_to_string(desk.path("out/report.md")).expect("the artifact"), "# Report");

    desk.file("out/report.md", "mine");
    desk.expect(2, &arguments).says(&["`report.md`", "in the way", "hint: "]);
    assert_eq!(std::fs::read_to_string(desk.path("out/report.md")).expect("the file"), "mine");

    let outside = json!({"artifacts": [{"name": "../escaped", "content": "x"}]}).to_string();
    desk.expect(2, &["run", &echo, "--input", &outside, "--artifacts", "out"]).says(&["`../escaped`", "one segment"]);
    assert!(!desk.path("escaped").exists());
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let desk = Desk::new();
    let mut running = desk.start(&["run", &guest("echo"), "--format", "ndjson"]);
    running.stdout_until(|_| true);
    let done = running.finish_unread();
    assert_eq!(done.code, 0, "{}", done.told());
    assert!(!done.stderr.contains("panicked"), "{}", done.told());
}

#[test]
fn a_folder_of_plugins_is_published_on_the_way() {
    let desk = Desk::new();
    let guests = repository().join("tests/guests");
    let done = desk.expect(0, &["run", "echo", "--plugins", guests.to_str().expect("UTF-8"), "--format", "json"]);
    assert_eq!(done.json()["status"], "completed");
    let listed = desk.expect(0, &["plugin", "list", "--format", "json"]).json();
    let names: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"echo") && names.contains(&"sleeper"), "{names:?}");
}

#[test]
fn a_store_in_memory_leaves_nothing_behind() {
    let desk = Desk::new();
    desk.expect(0, &["run", &guest("echo"), "--store", "memory:"]);
    assert!(!desk.path(".pleach").exists());
}

#[test]
fn the_main_job_runs_as_the_readme_says() {
    let desk = Desk::new();
    let repository = repository();
    let store = format!("sqlite:{}", desk.path("pleach.db").display());
    let out = desk.path("out");
    component("plugins/lead/lead.wasm");
    let output = desk
        .command(&[
            "run",
            "plugins/lead/lead.wasm",
            "--plugins",
            "plugins",
            "--root",
            "repo=.",
            "--policy",
            "examples/code-review/policy.yaml",
            "--grant",
            "fs.read:repo/*",
            "--grant",
            "spawn:*",
            "--input",
            "@examples/code-review/input.json",
            "--store",
            &store,
            "--format",
            "json",
            "--artifacts",
        ])
        .arg(&out)
        .current_dir(&repository)
        .output()
        .expect("starting pleach");
    let done = crate::program::Done::of(output);
    let report = done.json();
    assert_eq!(report["status"], "completed", "{}", done.told());
    for artifact in ["report.md", "report.sarif", "report.txt"] {
        assert!(out.join(artifact).is_file(), "{artifact} is missing\n{}", done.told());
    }
}

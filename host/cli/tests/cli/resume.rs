//! `pleach resume`: what a killed host leaves behind goes on, and says how it
//! ends. What is in the way of that is in `stuck`.
#![cfg(unix)]

use serde_json::{Value, json};

use crate::program::{Desk, Done, guest};

/// Lets a script spawn scripts that read files.
const POLICY: &str = "targets: [script]\nscopes: ['spawn:*', 'fs.read:*']\n";

/// A run that was killed while it slept, for so long from its start, between two
/// reads of a file; its id.
pub fn killed_run(desk: &Desk, ms: u64) -> String {
    desk.file("policy.yaml", POLICY);
    desk.file("docs/a.txt", "alpha");
    let input = json!([
        {"op": "read", "path": "docs/a.txt"},
        {"op": "progress", "message": "read"},
        {"op": "sleep", "ms": ms},
        {"op": "read", "path": "docs/a.txt"},
    ]);
    let input = desk.file("input.json", &input.to_string());
    let input = format!("@{}", input.display());
    let script = guest("script");
    let mut arguments = vec!["run", &script, "--policy", "policy.yaml", "--root", "docs=docs"];
    arguments.extend(["--grant", "fs.read:docs/*", "--input", &input, "--format", "ndjson"]);
    let mut running = desk.start(&arguments);
    let reported = running.stdout_until(|line| line.contains("orchestration.progress"));
    running.signal("KILL");
    assert_eq!(running.finish().code, -1);
    let event: Value = serde_json::from_str(&reported).expect("an event");
    event["root_run_id"].as_str().expect("the root").to_owned()
}

fn texts(report: &Value) -> (&Value, &Value) {
    (&report["output"][0]["ok"]["text"], &report["output"][3]["ok"]["text"])
}

#[test]
fn a_killed_run_is_left_behind_and_resumed_to_the_end_that_it_would_have_had() {
    let desk = Desk::new();
    let id = killed_run(&desk, 2_000);
    let names = ["pleach resume"];
    desk.expect(0, &["runs"]).says(&names);
    desk.expect(0, &["tree", &id]).says(&names).says(&[&id, "pleach cancel"]);
    desk.expect(0, &["events", &id]).says(&names);
    // Another run takes up nothing.
    desk.expect(0, &["run", &guest("echo"), "--quiet"]);
    assert_eq!(desk.expect(0, &["tree", &id, "--format", "json"]).json()["abandoned"], true);

    // What was read before is told again; what is read now is read now.
    desk.file("docs/a.txt", "beta");
    let done = desk.expect(0, &["resume", "--root", "docs=docs", "--format", "json"]);
    done.says(&[&format!("resuming run {id} (script@0.1.0) with 1 run after event ")]);
    let ended = done.json();
    let report = &ended[0];
    assert_eq!(ended.as_array().map(Vec::len), Some(1), "{ended}");
    assert_eq!(
        (&report["run_id"], &report["status"], &report["run_count"]),
        (&json!(id), &json!("completed"), &json!(1))
    );
    assert_eq!((&report["tenant"], &report["plugin"]), (&json!("default"), &json!("script@0.1.0")));
    assert_eq!(texts(report), (&json!("alpha"), &json!("beta")));
    let events = desk.expect(0, &["events", &id, "--format", "ndjson"]).json_lines();
    assert_eq!(events.iter().filter(|event| event["event"] == "orchestration.progress").count(), 1);
}

#[test]
fn there_is_nothing_to_resume_twice_and_an_ended_run_is_told_of_again() {
    let desk = Desk::new();
    let id = killed_run(&desk, 2_000);
    let first = desk.expect(0, &["resume", &id, "--root", "docs=docs", "--format", "json"]).json();
    let again = desk.expect(0, &["resume", &id[..18], "--root", "docs=docs", "--format", "json"]);
    assert_eq!(again.json(), first);
    again.says(&["has ended already"]);
    let none = desk.expect(0, &["resume"]);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("nothing to resume\n", ""));
    assert_eq!(desk.expect(0, &["resume", "--format", "json"]).json(), json!([]));
    assert_eq!(desk.expect(0, &["resume", "--format", "ndjson"]).stdout, "");

    // How it ended is what counts, whoever took it there.
    let failed = desk.expect(1, &["run", &guest("trap"), "--format", "json", "--quiet"]).json();
    let failed = failed["run_id"].as_str().expect("an id");
    let both = desk.expect(1, &["resume", &id, failed, "--root", "docs=docs", "--quiet"]);
    assert!(both.stdout.contains(&format!("{failed}  trap@0.1.0  failed  1 run  trap: ")), "{}", both.told());
    assert!(both.stdout.contains(&format!("{id}  script@0.1.0  completed  1 run\n")), "{}", both.told());
    assert!(both.stdout.ends_with("2 trees: 1 completed, 1 failed\n"), "{}", both.told());
}

/// A script that was killed while it slept before it gave `value` back; its id.
fn killed_before_it_returned(desk: &Desk, value: &Value) -> String {
    let steps = json!([{"op": "sleep", "ms": 1500}, {"op": "return", "value": value}]).to_string();
    let (running, id) = desk.start_agent(&["run", &guest("script"), "--input", &steps, "--format", "ndjson"]);
    running.signal("KILL");
    running.finish();
    id
}

#[test]
fn what_a_resumed_run_gives_back_is_shown_and_its_artifacts_are_saved() {
    let desk = Desk::new();
    let report =
        |name: &str| json!({"summary": format!("{name} is done"), "artifacts": [{"name": "a.md", "content": name}]});
    let killed = ["one", "two"].map(|name| (killed_before_it_returned(&desk, &report(name)), name));
    let plain = killed_before_it_returned(&desk, &json!({"plain": 1}));
    let all = desk.expect(0, &["resume", "--artifacts", "out"]);
    let read =
        |path: String| std::fs::read_to_string(desk.path(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    for (id, name) in &killed {
        let shown = format!("{id}  script@0.1.0  completed  1 run\n\n{name} is done\n\n");
        assert!(all.stdout.contains(&shown), "{}", all.told());
        all.says(&[&format!("saved out/{id}/a.md")]);
        assert_eq!(read(format!("out/{id}/a.md")), *name);
    }
    assert!(all.stdout.contains("{\n  \"plain\": 1\n}\n"), "{}", all.told());
    assert!(all.stdout.ends_with("\n3 trees: 3 completed\n"), "{}", all.told());
    assert!(!desk.path("out").join(plain).exists(), "there is nothing to save");

    // One that is named has the folder for itself, also when it has ended before.
    let [(one, _), (two, _)] = &killed;
    desk.expect(0, &["resume", one, "--artifacts", "one", "--quiet"]);
    assert_eq!(read("one/a.md".into()), "one");
    desk.file("one/a.md", "mine");
    let refused = desk.expect(2, &["resume", one, "--artifacts", "one", "--format", "json"]);
    refused.says(&["`a.md`", "is in the way", "--artifacts"]);
    assert_eq!((&refused.json()[0]["status"], read("one/a.md".into())), (&json!("completed"), "mine".to_owned()));
    desk.expect(0, &["resume", one, two, "--artifacts", "both"]);
    assert_eq!(read(format!("both/{two}/a.md")), "two");
    desk.expect(2, &["resume", "--artifacts", "one/a.md"]).says(&["one/a.md", "hint: "]);
}

#[test]
fn a_root_that_is_not_given_again_is_named_and_is_not_there() {
    let desk = Desk::new();
    let id = killed_run(&desk, 2_000);
    let done = desk.expect(0, &["resume", "--format", "json"]);
    done.says(&[&id, "the root `docs`", "no --root docs=DIR"]);
    let ended = done.json();
    let report = &ended[0];
    assert_eq!(report["output"][0]["ok"]["text"], "alpha", "it was read while it was there");
    assert_eq!(report["output"][3]["error"]["failed"]["code"], "not_found", "{report}");
}

#[test]
fn events_from_here_on_come_before_the_end() {
    let desk = Desk::new();
    let id = killed_run(&desk, 2_000);
    let before = desk.expect(0, &["events", &id, "--format", "ndjson"]).json_lines();
    let resumed = desk.expect(0, &["resume", &id, "--root", "docs=docs", "--format", "ndjson"]).json_lines();
    let after = desk.expect(0, &["events", &id, "--format", "ndjson"]).json_lines();
    let (report, events) = resumed.split_last().expect("an end");
    assert_eq!(after[before.len()..], *events);
    assert_eq!((&report["run_id"], &report["status"]), (&json!(id), &json!("completed")));
}

#[test]
fn an_interrupt_ends_the_host_and_not_the_run() {
    for (signal, name, code) in [("INT", "Ctrl-C", 130), ("TERM", "SIGTERM", 143)] {
        let desk = Desk::new();
        let id = killed_run(&desk, 60_000);
        let mut resuming = desk.start(&["resume", "--root", "docs=docs"]);
        resuming.stderr_until("resuming run ");
        resuming.signal(signal);
        let done = resuming.finish();
        assert_eq!(done.code, code, "{}", done.told());
        done.says(&[name, "1 tree not ended", "`pleach resume`", "`pleach cancel RUN`"]);
        assert_eq!(done.stdout, "1 tree: 1 not ended\n");
        let tree = desk.expect(0, &["tree", &id, "--format", "json"]).json();
        assert_eq!((&tree["tree"]["status"], &tree["abandoned"]), (&json!("running"), &json!(true)));

        let mut again = desk.start(&["resume", &id, "--root", "docs=docs"]);
        again.stderr_until("resuming run ");
        desk.expect(0, &["cancel", &id]);
        let done = again.finish();
        assert_eq!(done.code, 4, "{}", done.told());
        assert!(done.stdout.contains("  cancelled  1 run  cancelled: "), "{}", done.told());
    }
}

#[test]
fn what_runs_in_another_process_is_waited_for_and_taken_over_when_that_dies() {
    let desk = Desk::new();
    let input = r#"[{"op": "sleep", "ms": 60000}]"#;
    let (running, id) = desk.start_agent(&["run", &guest("script"), "--input", input, "--format", "ndjson"]);
    assert_eq!(desk.expect(0, &["resume"]).stdout, "nothing to resume\n");
    let mut waiting = desk.start(&["resume", &id]);
    waiting.stderr_until("goes on in another process");
    running.signal("KILL");
    running.finish();
    waiting.stderr_until("resuming it here");
    desk.expect(0, &["cancel", &id]);
    let done = waiting.finish();
    assert_eq!(done.code, 4, "{}", done.told());
}

#[test]
fn a_part_that_is_cancelled_leaves_the_rest_to_be_resumed() {
    let desk = Desk::new();
    desk.file("policy.yaml", POLICY);
    let steps = json!([
        {"op": "group", "members": [{"target": "script", "input": [{"op": "progress", "message": "in"}, {"op": "sleep", "ms": 60000}]}]},
        {"op": "join", "group": "$0.group_id"},
    ]);
    let steps = steps.to_string();
    let script = guest("script");
    let mut arguments = vec!["run", &script, "--policy", "policy.yaml", "--grant", "spawn:*", "--input", &steps];
    arguments.extend(["--format", "ndjson"]);
    let mut running = desk.start(&arguments);
    let event = running.stdout_until(|line| line.contains("orchestration.progress"));
    let event: Value = serde_json::from_str(&event).expect("an event");
    running.signal("KILL");
    running.finish();
    let child = event["run_id"].as_str().expect("the child");
    let root = event["root_run_id"].as_str().expect("the root");
    desk.expect(0, &["cancel", child]).says(&[&format!("pleach resume {root}")]);
    let report = desk.expect(0, &["resume", child, "--format", "json"]).json();
    assert_eq!(report[0]["run_id"], root, "a tree is resumed whole");
    assert_eq!(report[0]["output"][1]["ok"]["cancelled_count"], 1, "{report}");
}

#[test]
fn all_tenants_are_resumed_and_one_is_named_with_its_run() {
    let desk = Desk::new();
    let sleep = r#"[{"op": "sleep", "ms": 2000}]"#;
    let start = |tenant: &str| {
        let arguments = ["run", &guest("script"), "--tenant", tenant, "--input", sleep, "--format", "ndjson"];
        let (running, id) = desk.start_agent(&arguments);
        running.signal("KILL");
        running.finish();
        id
    };
    let (one, two) = (start("acme"), start("globex"));
    desk.expect(2, &["resume", &one]).says(&[&one, "tenant default"]);
    let rows = desk.expect(0, &["resume", "--format", "ndjson", "--quiet"]).json_lines();
    let ends = rows.iter().filter(|row| row.get("event").is_none());
    let mut ends: Vec<_> = ends.map(|row| (row["tenant"].as_str().expect("one"), row["run_id"].clone())).collect();
    ends.sort_unstable_by_key(|(tenant, _)| *tenant);
    assert_eq!(ends, [("acme", json!(one)), ("globex", json!(two))]);
}

#[test]
fn wrong_usage_resumes_nothing() {
    let desk = Desk::new();
    let refused = |arguments: &[&str], says: &[&str]| -> Done {
        let done = desk.expect(2, arguments);
        assert_eq!(done.stdout, "", "{}", done.told());
        done.says(says);
        done
    };
    refused(&["resume"], &["sqlite:.pleach/pleach.db", "there is no such file"]);
    let id = killed_run(&desk, 2_000);
    refused(&["resume", "--store", "memory:"], &["memory:"]);
    refused(&["resume", "--root", "docs"], &["NAME=DIR"]);
    refused(&["resume", "--root", "a=.", "--root", "a=/"], &["`a` is given twice"]);
    refused(&["resume", "--root", "docs=no/such"], &["no/such"]);
    refused(&["resume", "--park-after", "soon"], &["--park-after", "seconds"]);
    refused(&["resume", "--park-after", "-1"], &["-1"]);
    refused(&["resume", "--format", "xml"], &["xml", "ndjson"]);
    refused(&["resume", "--grant", "fs.read:docs/*"], &["'--grant'"]);
    refused(&["resume", "lead"], &["`lead` is not a run"]);
    refused(&["resume", &id, "ffffffff"], &["`ffffffff`", "there is none"]);
    refused(&["resume", &id, "01938f2e-7c00-7000-8000-000000000000"], &["01938f2e-7c00-7000-8000-000000000000"]);
    refused(&["run", "echo", "--park-after=-0.5"], &["--park-after", "seconds"]);
    assert_eq!(desk.expect(0, &["tree", &id, "--format", "json"]).json()["abandoned"], true);
}

//! `pleach resume` where something is in the way: a plugin that the store lacks,
//! a log that is damaged.
#![cfg(unix)]

use std::fs;

use pleach_engine::kernel::RunId;
use pleach_store::{Append, JournalEntry, Store};
use serde_json::{Value, json};

use crate::program::{Desk, Done, guest};
use crate::resume::killed_run;

/// Of the first run of a tree: copies the tree without the plugins that it is
/// pinned to, which no command does.
async fn copy_tree(from: &str, to: &str, run: RunId) {
    let root = run.root;
    let (from, to) = (pleach_store::open(from).await.expect("a store"), pleach_store::open(to).await.expect("a store"));
    let summary = from.tree(root).await.expect("reading").expect("the tree");
    let events = from.events(root, 1, 1_000).await.expect("reading").into_iter().map(|event| event.body).collect();
    let journal = from.journal(root, 0).await.expect("reading");
    let journal = (0..).zip(journal).map(|(position, body)| JournalEntry { run: 0, position, body, blob: None });
    let (tenant, journal) = (summary.tenant.clone(), journal.collect());
    let append = Append { root, tenant, expected_seq: 0, events, summary, forget: Vec::new(), journal };
    let (done, written) = tokio::sync::oneshot::channel();
    to.append(append, Box::new(|result| drop(done.send(result))));
    written.await.expect("an answer").expect("writing");
    close(from.as_ref()).await;
    close(to.as_ref()).await;
}

async fn close(store: &dyn Store) {
    store.close().await.expect("closing");
}

#[test]
fn a_plugin_that_is_missing_is_named_once_and_waited_for() {
    let desk = Desk::new();
    let id = killed_run(&desk, 2_000);
    let url = |name: &str| format!("sqlite:{}", desk.path(name).display());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(copy_tree(&url(".pleach/pleach.db"), &url("other.db"), id.parse().expect("an id")));

    let store = ["--store", "sqlite:other.db"];
    let mut arguments = vec!["resume", "--root", "docs=docs", "--format", "json"];
    arguments.extend(store);
    let mut resuming = desk.start(&arguments);
    resuming.stderr_until("waits for script@0.1.0 (sha256:");
    let digest = desk.expect(0, &["plugin", "inspect", &guest("script"), "--format", "json"]).json();
    desk.expect(0, &[&["plugin", "publish", &guest("script")][..], &store].concat());
    let done = resuming.finish();
    assert_eq!(done.code, 0, "{}", done.told());
    assert!(!done.stderr.contains("waits for script"), "it was said before: {}", done.told());
    assert!(digest["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{digest}");
    let report = done.json();
    assert_eq!((&report[0]["status"], &report[0]["output"][0]["ok"]["text"]), (&json!("completed"), &json!("alpha")));
}

/// A run that has not ended, with a log that cannot be read; its id.
fn damaged_run(desk: &Desk) -> String {
    let broken = killed_run(desk, 2_000);
    // A program that closes the store as it should leaves all in one file.
    desk.expect(0, &["run", &guest("echo"), "--quiet"]);
    let file = desk.path(".pleach/pleach.db");
    let mut bytes = fs::read(&file).expect("the store");
    let asked = b"docs/a.txt";
    let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(asked)).collect();
    assert!(!found.is_empty(), "what the run was asked is in its log");
    found.iter().for_each(|at| bytes[*at] ^= 1);
    fs::write(&file, &bytes).expect("damaging the store");
    broken
}

/// What is told, is told once, and no log repeats it.
fn check_once(done: &Done, run: &str) {
    assert_eq!(done.stderr.matches(&format!("run {run} could not be recovered")).count(), 1, "{}", done.told());
    assert_eq!(done.stderr.matches("its checksum does not match").count(), 1, "{}", done.told());
    for level in ["ERROR", "WARN", "INFO"] {
        assert!(!done.stderr.contains(level), "{}", done.told());
    }
}

#[test]
fn a_damaged_log_is_told_of_and_left_as_it_is_and_the_others_go_on() {
    let desk = Desk::new();
    let broken = damaged_run(&desk);
    let sleep = r#"[{"op": "sleep", "ms": 2000}]"#;
    let (running, whole) = desk.start_agent(&["run", "script", "--input", sleep, "--format", "ndjson"]);
    running.signal("KILL");
    running.finish();
    for arguments in [&["resume"][..], &["resume", &broken, &whole]] {
        let done = desk.expect(1, &[arguments, &["--format", "json"]].concat());
        done.says(&["error: ", &broken, "hint: ", "`pleach store check`", &format!("`pleach gc --damaged {broken}`")]);
        check_once(&done, &broken);
        let ended = done.json();
        let ended: Vec<&Value> = ended.as_array().expect("a list").iter().collect();
        assert!(ended.len() <= 1, "{}", done.told());
        assert!(ended.iter().all(|row| row["run_id"] == whole && row["status"] == "completed"), "{}", done.told());
    }
    let tree = desk.expect(0, &["tree", &whole, "--format", "json"]).json();
    assert_eq!(tree["tree"]["status"], "completed");
    let text = desk.expect(1, &["resume"]);
    assert_eq!(text.stdout, "1 tree: 1 not recovered\n", "{}", text.told());
}

#[test]
fn a_damaged_run_is_removed_when_it_is_named_and_nothing_else_is() {
    let desk = Desk::new();
    let broken = damaged_run(&desk);
    let names = [&broken, "the log of tree", "is damaged"];
    desk.expect(1, &["cancel", &broken]).says(&names).says(&["`pleach store check`"]);
    let ended = desk.expect(0, &["runs", "--status", "completed", "--format", "json"]).json();
    let ended = ended[0]["run_id"].as_str().expect("the one that ended").to_owned();
    let refused = desk.expect(2, &["gc", "--damaged", &ended]);
    refused.says(&[&ended, "is not damaged", "`pleach cancel"]);
    let (running, live) = desk.start_sleeper();
    desk.expect(2, &["gc", "--damaged", &live]).says(&[&live, "a host that is alive"]);
    running.signal("INT");
    assert_eq!(running.finish().code, 4);
    let fault = &desk.expect(1, &["store", "check", "--format", "json"]).json()["faults"][0];
    assert!(fault["hint"].as_str().is_some_and(|hint| hint.contains("`pleach gc --damaged RUN`")), "{fault}");
    let copied = desk.expect(0, &["store", "backup", "copy.db"]);
    copied.says(&["warning: ", &broken, "`pleach store check`", &format!("`pleach gc --damaged {broken}`")]);

    let dry = desk.expect(0, &["gc", "--damaged", &broken, "--dry-run", "--format", "json"]).json();
    let row = &dry["runs"][0];
    assert_eq!((&dry["run_count"], &row["run_id"], &row["status"]), (&json!(1), &json!(broken), &json!("running")));
    assert!(row["damage"].as_str().is_some_and(|damage| damage.contains("its checksum does not match")), "{row}");
    desk.expect(1, &["resume"]);
    let removed = desk.expect(0, &["gc", "--damaged", &broken[..18], "--vacuum"]).stdout;
    for part in [&format!("removed {broken} of default: script@0.1.0 running, not ended, "), "\nremoved 1 tree: "] {
        assert!(removed.contains(part), "`{part}` is missing\n{removed}");
    }
    desk.expect(2, &["gc", "--damaged", &broken]).says(&[&broken]);
    assert_eq!(desk.expect(0, &["resume"]).stdout, "nothing to resume\n");
    desk.expect(0, &["store", "check"]);
    desk.expect(0, &["tree", &ended]);
}

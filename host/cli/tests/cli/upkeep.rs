//! Upkeep of a store: what ended runs leave behind is removed, copied, checked
//! and given back, also while other runs go on.
#![cfg(unix)]

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Desk, guest, repository};

/// A run of `echo` that has ended; its id.
fn echo(desk: &Desk, says: &str) -> String {
    desk.file("input.json", &json!({ "says": says }).to_string());
    let done = desk.expect(0, &["run", &guest("echo"), "--input", "@input.json", "--format", "json", "--quiet"]);
    done.json()["run_id"].as_str().expect("an id").to_owned()
}

/// The ids in a list of runs.
fn ids(runs: &Value) -> Vec<String> {
    let runs = runs.as_array().expect("a list");
    runs.iter().map(|run| run["run_id"].as_str().expect("an id").to_owned()).collect()
}

fn listed(desk: &Desk) -> Vec<String> {
    ids(&desk.expect(0, &["runs", "--format", "json"]).json())
}

/// Flips a bit of the last place where `text` stands in a file.
fn flip(path: &Path, text: &str) {
    let mut bytes = std::fs::read(path).expect("the store");
    let at = bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
    bytes[at.expect("the text is in the file")] ^= 1;
    std::fs::write(path, bytes).expect("writing the store");
}

#[test]
fn a_dry_run_names_what_would_go_and_removes_nothing() {
    let desk = Desk::new();
    let (first, second) = (echo(&desk, "one"), echo(&desk, "two"));
    let dry = desk.expect(0, &["gc", "--older-than", "0s", "--dry-run", "--format", "json"]).json();
    assert_eq!(ids(&dry["runs"]), [first.clone(), second.clone()], "what ended first comes first");
    assert_eq!((&dry["dry_run"], &dry["run_count"]), (&json!(true), &json!(2)));
    assert_eq!(listed(&desk), [second, first]);

    let real = desk.expect(0, &["gc", "--older-than", "0s", "--format", "json"]).json();
    assert_eq!(real["runs"], dry["runs"]);
    assert_eq!((&real["events"], &real["bytes"], &real["dry_run"]), (&dry["events"], &dry["bytes"], &json!(false)));
    let row = &real["runs"][0];
    assert_eq!((&row["tenant"], &row["status"]), (&json!("default"), &json!("completed")));
    assert!(row["plugin"].as_str().is_some_and(|plugin| plugin.starts_with("echo@")), "{row}");
    assert!(row["finished_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{row}");
    assert!(row["events"].as_u64() > Some(0) && row["bytes"].as_u64() > Some(0), "{row}");
    assert!(listed(&desk).is_empty());

    let nothing = desk.expect(0, &["gc", "--older-than", "0s"]);
    assert_eq!(nothing.stdout, "nothing to remove\n");
}

#[test]
fn a_run_is_removed_only_where_its_age_and_its_place_both_let_it() {
    let desk = Desk::new();
    let runs: Vec<String> = ["one", "two", "three"].map(|says| echo(&desk, says)).into();
    let kept = desk.expect(0, &["gc", "--older-than", "1d"]);
    assert_eq!(kept.stdout, "nothing to remove\n", "none is that old");
    let kept = desk.expect(0, &["gc", "--older-than", "1d", "--keep", "1"]);
    assert_eq!(kept.stdout, "nothing to remove\n", "none is that old, whatever their number");
    let lines = desk.expect(0, &["gc", "--keep", "1", "--format", "ndjson"]).json_lines();
    assert_eq!(ids(&lines[..2].to_vec().into()), runs[..2]);
    assert_eq!((lines.len(), &lines[2]["run_count"]), (3, &json!(2)));
    assert_eq!(listed(&desk), runs[2..]);
    let text = desk.expect(0, &["gc", "--keep", "0", "--vacuum"]).stdout;
    assert!(text.starts_with(&format!("removed {} of default: echo@", runs[2])), "{text}");
    assert!(text.contains("\nremoved 1 tree: "), "{text}");
    assert!(text.contains("\nthe store has ") && text.contains("; it had "), "what that freed is told: {text}");
}

#[test]
fn a_run_that_goes_on_is_not_removed() {
    let desk = Desk::new();
    let ended = echo(&desk, "over");
    let (running, id) = desk.start_sleeper();
    let removed = desk.expect(0, &["gc", "--older-than", "0s", "--keep", "0", "--format", "json"]).json();
    assert_eq!(ids(&removed["runs"]), [ended]);
    assert_eq!(listed(&desk), std::slice::from_ref(&id));
    running.signal("INT");
    assert_eq!(running.finish().code, 4, "it went on until it was stopped");
    let removed = desk.expect(0, &["gc", "--keep", "0", "--format", "json"]).json();
    assert_eq!(ids(&removed["runs"]), [id]);
}

#[test]
fn a_copy_made_during_a_run_is_a_store_and_leaves_the_run_alone() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    let copy = desk.expect(0, &["store", "backup", "copy.db", "--format", "json"]).json();
    let size = std::fs::metadata(desk.path("copy.db")).expect("the copy").len();
    assert_eq!(copy, json!({"path": "copy.db", "bytes": size}));

    let tree = desk.expect(0, &["tree", &id, "--store", "sqlite:copy.db", "--format", "json"]).json();
    assert_eq!((&tree["tree"]["status"], &tree["abandoned"]), (&json!("running"), &json!(true)));
    desk.expect(0, &["cancel", &id, "--store", "sqlite:copy.db"]);
    let whole = desk.expect(0, &["store", "check", "--store", "sqlite:copy.db"]);
    assert!(whole.stdout.starts_with("1 tree, ") && whole.stdout.ends_with(": all whole\n"), "{}", whole.told());
    let original = desk.expect(0, &["tree", &id, "--format", "json"]).json();
    assert_eq!((&original["tree"]["status"], &original["abandoned"]), (&json!("running"), &json!(false)));
    running.signal("INT");
    assert_eq!(running.finish().code, 4);
}

#[test]
fn a_backup_takes_no_files_place() {
    let desk = Desk::new();
    echo(&desk, "keep me");
    desk.file("copy.db", "something dear");
    desk.expect(2, &["store", "backup", "copy.db"]).says(&["copy.db", "there is a file already"]);
    assert_eq!(std::fs::read_to_string(desk.path("copy.db")).expect("the file"), "something dear");
    desk.expect(1, &["store", "backup", "no/such/copy.db"]).says(&["no/such/copy.db"]);
    let told = desk.expect(0, &["store", "backup", "other.db"]).stdout;
    assert!(told.starts_with("backed up to other.db: ") && told.ends_with("iB\n"), "{told}");
}

#[test]
fn a_store_that_is_whole_is_counted() {
    let desk = Desk::new();
    echo(&desk, "one");
    echo(&desk, "two");
    let runs = desk.expect(0, &["runs", "--format", "json"]).json();
    let events: u64 = runs.as_array().expect("a list").iter().filter_map(|run| run["last_seq"].as_u64()).sum();
    let text = desk.expect(0, &["store", "check"]);
    assert_eq!(text.stdout, format!("2 trees, {events} events: all whole\n"));
    let checked = desk.expect(0, &["store", "check", "--format", "json"]).json();
    assert_eq!(checked, json!({"whole": true, "trees": 2, "unfinished": 0, "events": events, "faults": []}));
}

#[test]
fn damage_is_named_with_its_run_and_what_to_do() {
    let desk = Desk::new();
    let (damaged, whole) = (echo(&desk, "a needle in the log"), echo(&desk, "another"));
    flip(&desk.path(".pleach/pleach.db"), "needle in the log");

    let checked = desk.expect(1, &["store", "check", "--format", "json"]).json();
    assert_eq!(checked["whole"], false);
    let faults = checked["faults"].as_array().expect("a list");
    assert_eq!(faults.len(), 1, "{checked}");
    assert_eq!(faults[0]["run_id"], damaged.as_str());
    let text = desk.expect(1, &["store", "check"]);
    for part in [&damaged, "its checksum does not match", "restore the store from a backup", "pleach gc", "\n1 fault\n"]
    {
        assert!(text.stdout.contains(part), "`{part}` is missing\n{}", text.told());
    }

    desk.expect(1, &["events", &damaged]).says(&[&damaged, "is damaged"]);
    desk.expect(0, &["events", &whole]);
    // What has ended can go as it is, and then all of the rest is whole.
    let removed = desk.expect(0, &["gc", "--keep", "1", "--format", "json"]).json();
    assert_eq!(ids(&removed["runs"]), [damaged]);
    desk.expect(0, &["store", "check"]);
}

#[test]
fn room_is_given_back_to_the_file_system() {
    let desk = Desk::new();
    for _ in 0..3 {
        echo(&desk, &"x".repeat(200_000));
    }
    let check = |given: &Value, freed: u64| {
        let (before, after) = (given["bytes_before"].as_u64(), given["bytes"].as_u64());
        assert!(after.is_some() && after.map(|bytes| bytes + freed) < before, "{given}");
    };
    check(&desk.expect(0, &["gc", "--keep", "1", "--vacuum", "--format", "json"]).json()["vacuum"], 800_000);
    let plain = desk.expect(0, &["gc", "--keep", "0", "--format", "json"]).json();
    assert!(plain.get("vacuum").is_none(), "{plain}");
    check(&desk.expect(0, &["store", "vacuum", "--format", "json"]).json(), 400_000);
    let again = desk.expect(0, &["store", "vacuum"]).stdout;
    assert!(again.starts_with("the store has ") && again.contains("; it had "), "{again}");
}

#[test]
fn sizes_are_shown_where_they_are_asked_for() {
    let desk = Desk::new();
    let (running, id) = desk.start_sleeper();
    let plain = desk.expect(0, &["runs", "--format", "json"]).json();
    assert!(plain[0].get("size").is_none(), "{plain}");
    let sized = desk.expect(0, &["runs", "--sizes", "--format", "json"]).json();
    let (run, size) = (&sized[0], &sized[0]["size"]);
    assert_eq!((&run["run_id"], &size["events"]), (&json!(id), &run["last_seq"]));
    assert!(size["log_bytes"].as_u64() > Some(100), "{size}");
    for name in ["journal_entries", "journal_bytes", "blob_bytes", "snapshot_bytes"] {
        assert!(size[name].is_u64(), "{name} in {size}");
    }
    assert_eq!(size["snapshot_seq"], Value::Null);
    let table = desk.expect(0, &["runs", "--sizes"]).stdout;
    for column in ["events", "log", "answers", "journal", "snapshot at"] {
        assert!(table.contains(column), "{table}");
    }
    running.signal("INT");
    assert_eq!(running.finish().code, 4);
}

#[test]
fn the_commands_in_the_documentation_do_what_they_should() {
    let desk = Desk::new();
    echo(&desk, "something to look after");
    for page in ["docs/durability.md", "docs/cli.md"] {
        let text = std::fs::read_to_string(repository().join(page)).expect("the page");
        let shown = text.lines().filter_map(|line| line.strip_prefix("$ pleach "));
        let upkeep = ["gc", "store", "runs"];
        let commands: Vec<_> = shown.filter(|line| upkeep.contains(&line.split(' ').next().unwrap_or(""))).collect();
        assert!(!commands.is_empty(), "{page}");
        for command in commands {
            desk.expect(0, &command.split(' ').collect::<Vec<_>>());
        }
    }
    assert!(desk.path("pleach-backup.db").exists());
}

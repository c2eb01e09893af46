//! A store that may not be written to: what is there can be looked at, copied and
//! checked, and nothing else.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::program::{Desk, Done, guest};
use crate::resume::killed_run;

/// A user without rights, `nobody` on most systems. Permissions do not bind root,
/// which tests may run as.
const NOBODY: u32 = 65_534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("changing a mode");
}

/// Lets nobody write below a folder any more, or lets everybody.
fn set_modes(folder: &Path, folders: u32, files: u32) {
    // Entered while it may be.
    set_mode(folder, 0o755);
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.path().is_dir() {
            // Only its owner may read the cache of compiled code, then and always.
            true if entry.file_name() == "cache" => {}
            true => set_modes(&entry.path(), folders, files),
            false => set_mode(&entry.path(), files),
        }
    }
    set_mode(folder, folders);
}

/// Runs a command as another user; the program is copied to where that one can.
fn as_nobody(elsewhere: &Path, desk: &Desk, arguments: &[&str]) -> Done {
    let known = desk.command(arguments);
    let program = elsewhere.join("pleach");
    if !program.exists() {
        // By a process of its own: a child that another thread starts meanwhile would hold
        // what this one has open for writing, and such a file does not run ("text file busy").
        let copied = Command::new("cp").arg(known.get_program()).arg(&program).status();
        assert!(copied.expect("starting cp").success(), "copying the program");
        set_mode(&program, 0o755);
    }
    let mut command = Command::new(program);
    command.args(known.get_args()).current_dir(desk.path(".")).stdin(Stdio::null());
    for (variable, _) in known.get_envs() {
        command.env_remove(variable);
    }
    if fs::metadata(elsewhere).expect("the folder").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    Done::of(command.output().expect("starting pleach"))
}

#[test]
fn a_store_that_may_not_be_written_to_can_be_looked_at() {
    let desk = Desk::new();
    desk.expect(0, &["run", &guest("echo"), "--quiet"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let elsewhere = folder.path();
    set_mode(elsewhere, 0o777);
    let copy = elsewhere.join("copy.db");
    let copy = copy.to_str().expect("a path in UTF-8");
    // First closed as it should be, then with a log that a killed host has left.
    for runs in [1, 2] {
        set_modes(&desk.path("."), 0o555, 0o444);
        let look = |arguments: &[&str]| {
            let done = as_nobody(elsewhere, &desk, arguments);
            assert_eq!((done.code, done.stderr.contains("WARN")), (0, false), "{arguments:?}\n{}", done.told());
            done
        };
        let listed = look(&["runs", "--sizes", "--format", "json"]).json();
        assert_eq!(listed.as_array().map(Vec::len), Some(runs), "{listed}");
        for run in listed.as_array().into_iter().flatten() {
            let id = run["run_id"].as_str().expect("an id");
            let tree = look(&["tree", id, "--format", "json"]).json();
            assert_eq!((&tree["tree"]["status"], &tree["abandoned"]), (&run["status"], &run["abandoned"]));
            let events = look(&["events", id, "--follow", "--format", "ndjson"]).json_lines();
            assert_eq!(json!(events.len()), run["last_seq"]);
        }
        assert_eq!(look(&["store", "check", "--format", "json"]).json()["trees"], runs);
        look(&["store", "backup", copy]);
        for arguments in [&["plugin", "list"][..], &["policy", "show"], &["gc", "--keep", "0", "--dry-run"]] {
            look(arguments);
        }
        let backed_up = desk.expect(0, &["runs", "--store", &format!("sqlite:{copy}"), "--format", "json"]).json();
        assert_eq!(backed_up.as_array().map(Vec::len), Some(runs));
        fs::remove_file(copy).expect("removing the copy");

        let id = listed[0]["run_id"].as_str().expect("an id");
        for refused in [&["cancel", id][..], &["resume"], &["gc", "--keep", "0"], &["store", "vacuum"]] {
            let done = as_nobody(elsewhere, &desk, refused);
            assert_eq!(done.code, 1, "{refused:?}\n{}", done.told());
            done.says(&["cannot open the store", "pleach.db", "read-only"]);
        }
        set_modes(&desk.path("."), 0o755, 0o644);
        if runs == 1 {
            killed_run(&desk, 60_000);
        }
    }
}

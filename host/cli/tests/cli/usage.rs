//! Wrong usage and wrong input: exit code 2, and an error that says what was
//! being done, to what, and what to do next.

use crate::program::{Desk, guest};

#[track_caller]
fn refused(arguments: &[&str], says: &[&str]) {
    let done = Desk::new().expect(2, arguments);
    assert_eq!(done.stdout, "", "{}", done.told());
    done.says(says);
}

#[test]
fn no_arguments_are_answered_with_help() {
    refused(&[], &["Usage: pleach", "run", "policy"]);
}

#[test]
fn help_and_version_are_no_errors() {
    let desk = Desk::new();
    let help = desk.expect(0, &["--help"]);
    assert!(help.stdout.contains("Exit codes: 0 completed") && help.stderr.is_empty(), "{}", help.told());
    let version = desk.expect(0, &["--version"]);
    assert!(version.stdout.starts_with("pleach "), "{}", version.told());
}

#[test]
fn an_argument_that_is_none_is_named() {
    refused(&["run", "echo", "--gant", "x"], &["'--gant'", "Usage: pleach run"]);
    refused(&["fly"], &["'fly'"]);
    refused(&["run"], &["<AGENT>"]);
    refused(&["run", "echo", "--timeout", "soon"], &["--timeout", "seconds"]);
    refused(&["run", "echo", "--format", "xml"], &["xml", "ndjson"]);
    refused(&["--tenant", "ACME", "runs"], &["ACME", "a-z"]);
}

#[test]
fn a_scope_or_a_root_that_is_none_says_why() {
    refused(&["run", "echo", "--grant", "everything"], &["everything", "is not a scope", "fs.read:docs/*"]);
    refused(&["run", "echo", "--root", "repo"], &["NAME=DIR"]);
    refused(&["run", "echo", "--root", "repo=no/such"], &["no/such"]);
    refused(&["run", "echo", "--grant", "fs.read:repo/*"], &["no root `repo`", "hint: add --root repo=DIR"]);
    refused(&["run", "echo", "--root", "a=.", "--root", "a=/"], &["`a` is given twice"]);
    refused(&["run", "echo", "--limit", "depth=1"], &["--limit", "`max_depth`"]);
}

#[test]
fn a_broken_input_says_where() {
    let echo = guest("echo");
    refused(&["run", &echo, "--input", "{\"a\":"], &["reading --input", "line 1 column 5", "hint:"]);
    refused(&["run", &echo, "--input", "@no/such.json"], &["opening the input file `no/such.json`", "hint:"]);
    let desk = Desk::new();
    desk.file("in.json", "{\n  \"a\": nope\n}");
    desk.expect(2, &["run", &echo, "--input", "@in.json"]).says(&["`in.json`", "line 2"]);
    assert!(!desk.path(".pleach").exists(), "nothing is opened for an input that is wrong");
}

#[test]
fn an_input_over_the_limit_is_refused() {
    let desk = Desk::new();
    desk.file("in.json", &format!("\"{}\"", "x".repeat(1 << 20)));
    desk.expect(2, &["run", &guest("echo"), "--input", "@in.json"]).says(&["`in.json`", "1048576", "hint:"]);
}

#[test]
fn a_plugin_file_that_is_not_there_is_named() {
    refused(&["run", "no/such.wasm"], &["reading the plugin `no/such.wasm`", "pleach plugin build"]);
    refused(&["run", "echo", "--plugins", "no/such"], &["looking for plugins in `no/such`"]);
    refused(&["run", "echo", "--plugins", "."], &["there is no `*/*.wasm`"]);
}

#[test]
fn a_file_that_is_no_component_says_what_it_is() {
    let desk = Desk::new();
    desk.file("text.wasm", "hello");
    desk.file("module.wasm", "\0asm\u{1}\0\0\0");
    desk.expect(2, &["run", "text.wasm"]).says(&["text.wasm"]);
    desk.expect(2, &["run", "module.wasm"]).says(&["module.wasm", "component"]);
}

#[test]
fn an_unknown_agent_is_answered_with_those_there_are() {
    let desk = Desk::new();
    desk.expect(2, &["run", "nope"]).says(&[
        "running `nope`",
        "nothing is published here yet",
        "pleach plugin publish",
    ]);
    desk.expect(0, &["plugin", "publish", &guest("echo")]);
    desk.expect(2, &["run", "nope"]).says(&["published here: echo"]);
    desk.expect(2, &["run", "echo@^99"]).says(&["running `echo@^99`"]);
}

#[test]
fn what_may_be_removed_is_never_guessed() {
    let says = ["neither --older-than nor --keep nor --damaged", "hint: give one", "30d"];
    refused(&["gc"], &says);
    refused(&["gc", "--dry-run"], &says);
    refused(&["gc", "--older-than", "30"], &["--older-than", "`30d`", "`12h`"]);
    refused(&["gc", "--older-than", "soon"], &["--older-than", "soon"]);
    refused(&["gc", "--keep", "-1"], &["-1", "--keep", "a whole number from 0 up"]);
    refused(&["gc", "--keep", "many"], &["--keep", "many", "a whole number from 0 up"]);
    refused(&["gc", "--damaged", "lead", "--keep", "1"], &["--damaged", "--keep"]);
    refused(&["gc", "--keep", "1", "--dry-run", "--vacuum"], &["--dry-run", "--vacuum"]);
}

#[test]
fn what_to_do_with_a_store_is_said() {
    refused(&["store"], &["Usage: pleach store", "backup", "check", "vacuum"]);
    refused(&["store", "backup"], &["<FILE>"]);
    refused(&["store", "backup", "a.db", "b.db"], &["b.db"]);
    refused(&["store", "check", "--format", "xml"], &["xml", "json"]);
    refused(&["store", "shrink"], &["'shrink'"]);
}

#[test]
fn looking_for_runs_leaves_no_store_behind() {
    let desk = Desk::new();
    for arguments in [
        &["runs"][..],
        &["tree", "01938f2e"],
        &["events", "01938f2e"],
        &["cancel", "01938f2e"],
        &["gc", "--keep", "1"],
        &["store", "check"],
        &["store", "vacuum"],
        &["store", "backup", "copy.db"],
    ] {
        desk.expect(2, arguments).says(&["sqlite:.pleach/pleach.db", "there is no such file", "--store"]);
    }
    assert!(!desk.path(".pleach").exists() && !desk.path("copy.db").exists());
    desk.expect(2, &["runs", "--store", "memory:"]).says(&["memory:"]);
}

#[test]
fn a_store_of_an_unknown_kind_is_refused() {
    let desk = Desk::new();
    desk.expect(2, &["run", &guest("echo"), "--store", "mysql://x"]).says(&["mysql:", "sqlite:"]);
}

#[test]
fn a_run_that_is_not_there_is_told_apart_from_what_is_no_run() {
    let desk = Desk::new();
    desk.expect(0, &["run", &guest("echo"), "--quiet"]);
    desk.expect(2, &["tree", "lead"]).says(&["`lead` is not a run", "at least the first 8"]);
    desk.expect(2, &["tree", "ffffffff"]).says(&["`ffffffff`", "there is none", "pleach runs"]);
    desk.expect(2, &["tree", "01938f2e-7c00-7000-8000-000000000000"]).says(&["01938f2e-7c00-7000-8000-000000000000"]);
}

#[test]
fn a_number_that_is_none_is_answered_with_what_would_be_one() {
    for option in
        [&["runs", "--limit"][..], &["tree", "x", "--depth"], &["tree", "x", "--skip"], &["events", "x", "--from"]]
    {
        refused(&[option, &["many"]].concat(), &["many", "a whole number from 0 up"]);
        refused(&[option, &["-1"]].concat(), &["-1", "a whole number from 0 up"]);
    }
    refused(&["tree", "x", "--nodes", "0"], &["a whole number from 1 up"]);
}

#[test]
fn a_beginning_of_several_runs_is_answered_with_what_tells_them_apart() {
    let desk = Desk::new();
    let echo = guest("echo");
    for _ in 0..3 {
        desk.expect(0, &["run", &echo, "--quiet"]);
    }
    let runs = desk.expect(0, &["runs", "--format", "json"]).json();
    let ids: Vec<&str> = (0..3).filter_map(|at| runs[at]["run_id"].as_str()).collect();
    // Ids begin alike for a minute; of three one after the other, two always do.
    let prefix = if ids[0][..8] == ids[1][..8] { &ids[0][..8] } else { &ids[1][..8] };
    let done = desk.expect(2, &["tree", prefix]);
    done.says(&[prefix, "runs begin so", "give more of it"]);
    let listed: Vec<Vec<&str>> = done
        .stderr
        .lines()
        .filter(|line| line.starts_with("  "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let alike: Vec<&&str> = ids.iter().filter(|id| id.starts_with(prefix)).collect();
    assert_eq!(listed.len(), alike.len(), "{}", done.told());
    for (line, id) in listed.iter().zip(alike) {
        assert!(id.starts_with(line[0]) && line[0].len() == listed[0][0].len(), "{}", done.told());
        assert_eq!(line[2], "completed", "{}", done.told());
        assert_eq!(desk.expect(0, &["tree", line[0], "--format", "json"]).json()["tree"]["run_id"], **id);
    }
}

#[test]
fn an_empty_file_is_not_taken_for_a_new_store() {
    let desk = Desk::new();
    desk.file("empty.db", "");
    for arguments in [&["runs"][..], &["run", &guest("echo")]] {
        let refused = desk.expect(2, &[arguments, &["--store", "sqlite:empty.db"]].concat());
        refused.says(&["empty.db", "is empty", "remove it"]);
    }
    let left: Vec<_> =
        std::fs::read_dir(desk.path(".")).expect("the folder").flatten().map(|one| one.file_name()).collect();
    assert_eq!(left, ["empty.db"], "nothing is left beside it");
    assert_eq!(std::fs::read(desk.path("empty.db")).expect("the file"), b"");
}

#[test]
fn a_log_filter_that_is_none_is_named() {
    let desk = Desk::new();
    let output = desk.command(&["policy", "show"]).env("PLEACH_LOG", "a=b=c").output().expect("starting pleach");
    let done = crate::program::Done::of(output);
    assert_eq!(done.code, 2, "{}", done.told());
    done.says(&["PLEACH_LOG"]);
}

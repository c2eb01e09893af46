//! Asks for files, scopes, runs and groups that are not its own, in every
//! spelling that has ever worked somewhere, and says what it was told.

use std::iter::once;

use pleach_sdk::{CallError, Cancel, Error, Evaluate, Query, Spawn, files, join};
use serde::{Deserialize, Serialize};

pleach_sdk::agent!(run);

#[derive(Deserialize)]
struct Input {
    /// A root that the host may have opened.
    root: String,
    /// A plugin that the host may have.
    target: String,
    /// Runs and groups of others.
    #[serde(default)]
    run_ids: Vec<String>,
    #[serde(default)]
    group_ids: Vec<String>,
}

#[derive(Serialize)]
struct Answer {
    asked: String,
    /// `ok`, or the code of the refusal or failure.
    answer: String,
    denied: bool,
}

const BELOW_ROOT: [&str; 14] = [
    "",
    "/",
    "/..",
    "/../..",
    "/../../etc/passwd",
    "/./x",
    "//x",
    "/x/../y",
    "/..\\..\\x",
    "/%2e%2e/x",
    "/x%2fy",
    "/\0",
    "/x/",
    "/*",
];
const ELSEWHERE: [&str; 8] =
    ["", ".", "..", "/etc/passwd", "/proc/self/environ", "../etc/passwd", "C:\\Windows\\win.ini", "file:///etc/passwd"];
const SCOPES: [&str; 10] = [
    "*",
    "fs.read:*",
    "fs.read:",
    "fs.write:*",
    "spawn:*",
    "run.cancel:*",
    "FS.READ:x",
    "fs.read:a/../b",
    "fs.read:a*b",
    "",
];

fn run(input: Input) -> Result<Vec<Answer>, Error> {
    let mut answers = Vec::new();
    let mut note = |asked: String, answer: Result<(), CallError>| {
        let denied = answer.as_ref().is_err_and(|error| error.denial().is_some());
        let answer = answer.map_or_else(|error| error.code().to_owned(), |()| "ok".to_owned());
        answers.push(Answer { asked, answer, denied });
    };
    let below = BELOW_ROOT.iter().map(|rest| format!("{}{rest}", input.root));
    for path in below.chain(ELSEWHERE.map(str::to_owned)) {
        note(format!("list {path}"), files::list(&path).map(drop));
        note(format!("stat {path}"), files::stat(&path).map(drop));
        note(format!("read {path}"), files::read_part(&path, 0, 16).map(drop));
    }
    for scope in SCOPES {
        let child = || Spawn::of(&input.target);
        note(format!("use {scope}"), child().can_use([scope]).start().map(drop));
        note(format!("delegate {scope}"), child().can_delegate([scope]).start().map(drop));
    }
    for run_id in input.run_ids.iter().map(String::as_str).chain(once("nobody")) {
        note(format!("cancel {run_id}"), Cancel::subtree(run_id).send().map(drop));
        note(format!("query {run_id}"), Query::below(run_id).ask().map(drop));
        note(format!("evaluate {run_id}"), Evaluate::children_of(run_id).ask().map(drop));
    }
    for group_id in input.group_ids.iter().map(String::as_str).chain(once("nothing")) {
        note(format!("join {group_id}"), join(group_id).map(drop));
    }
    Ok(answers)
}

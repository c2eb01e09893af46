//! `files`: what was granted can be read, and nothing else of the machine.

use std::fs;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use pleach_sandbox::{Call, Config};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake::{Fake, component, config, grant, job, load, output, sandbox_of};
use crate::ledger::{End, Ledger};

/// `repo` and `other` are roots; `secret` lies beside them.
fn tree() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("repo/README", "hello");
    write("repo/src/b.rs", "fn b() {}");
    write("repo/src/a.rs", "fn a() {}");
    write("repo/private/key", "hidden");
    write("other/file", "other");
    write("secret", "hidden");
    folder
}

/// The script guest's answers with these scopes, and the denials in the log.
async fn script(folder: &Path, scopes: &[&str], steps: Value) -> (Vec<Value>, Vec<String>) {
    let root = |name: &str| {
        let dir = Dir::open_ambient_dir(folder.join(name), ambient_authority()).unwrap();
        (name.to_owned(), dir)
    };
    let sandbox = sandbox_of(Config { roots: vec![root("repo"), root("other")], ..config() });
    let plugin = load(&sandbox, component("script")).await;
    let (fake, mut finishes) = Fake::silent();
    let job = job(&sandbox, &steps, |job| job.grant = grant(scopes));
    sandbox.start(&plugin, job, fake.clone());
    let Value::Array(answers) = output(finishes.next().await.outcome) else { panic!("a list") };
    let logged = fake.told().into_iter().map(|call| match call {
        Call::Deny { denial } => format!("{} {} {}", denial.action, denial.code, denial.target.unwrap()),
        other => panic!("{other:?}"),
    });
    (answers, logged.collect())
}

fn read(path: &str) -> Value {
    json!({"op": "read", "path": path})
}

fn code(answer: &Value) -> &str {
    let error = &answer["error"];
    let code = error["denied"]["code"].as_str().or(error["failed"]["code"].as_str());
    code.unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn what_was_granted_is_listed_and_read() {
    let folder = tree();
    let (answers, logged) = script(
        folder.path(),
        &["fs.read:repo/*"],
        json!([
            {"op": "roots"},
            {"op": "list", "path": "repo"},
            {"op": "list", "path": "repo/src"},
            {"op": "stat", "path": "repo/src/a.rs"},
            {"op": "stat", "path": "repo"},
            read("repo/src/a.rs"),
            {"op": "read", "path": "repo/README", "offset": 1, "length": 3},
            {"op": "read", "path": "repo/README", "offset": 4, "length": 100},
            {"op": "read", "path": "repo/README", "offset": 99},
            {"op": "read", "path": "repo/README", "offset": u64::MAX},
        ]),
    )
    .await;
    let ok = |at: usize| &answers[at]["ok"];
    assert_eq!(*ok(0), json!(["repo"]));
    let names: Vec<_> = ok(1).as_array().unwrap().iter().map(|e| (e["name"].clone(), e["kind"].clone())).collect();
    let expected =
        [("README", "file"), ("private", "folder"), ("src", "folder")].map(|(name, kind)| (json!(name), json!(kind)));
    assert_eq!(names, expected);
    assert_eq!(ok(2)[0], json!({"name": "a.rs", "kind": "file", "size": 9}));
    assert_eq!(*ok(3), json!({"name": "a.rs", "kind": "file", "size": 9}));
    assert_eq!(*ok(4), json!({"name": "repo", "kind": "folder", "size": 0}));
    assert_eq!(ok(5)["text"], json!("fn a() {}"));
    assert_eq!([&ok(6)["text"], &ok(7)["text"], &ok(8)["text"], &ok(9)["text"]], ["ell", "o", "", ""]);
    assert_eq!(logged, [""; 0]);
}

#[tokio::test]
async fn what_was_not_granted_is_denied_and_logged() {
    let folder = tree();
    let (answers, logged) = script(
        folder.path(),
        &["fs.read:repo/src/*", "fs.read:repo/README"],
        json!([
            read("repo/private/key"),
            {"op": "list", "path": "repo"},
            {"op": "list", "path": "repo/private"},
            {"op": "stat", "path": "repo/private/key"},
            {"op": "stat", "path": "repo/missing"},
            read("other/file"),
            read("repo/README"),
            {"op": "list", "path": "repo/src"},
            {"op": "stat", "path": "repo/src"},
        ]),
    )
    .await;
    assert!(answers[..6].iter().all(|answer| code(answer) == "scope_required"), "{answers:?}");
    assert!(answers[6..].iter().all(|answer| answer.get("ok").is_some()), "{answers:?}");
    assert_eq!(logged[0], "files.read scope_required repo/private/key");
    assert_eq!((&*logged[1], logged.len()), ("files.list scope_required repo", 6));
}

#[tokio::test]
async fn nothing_is_readable_by_default() {
    let folder = tree();
    let steps = json!([{"op": "roots"}, read("repo/README"), {"op": "list", "path": "repo"}]);
    let (answers, _) = script(folder.path(), &[], steps).await;
    assert_eq!(answers[0]["ok"], json!([]));
    assert_eq!([code(&answers[1]), code(&answers[2])], ["scope_required"; 2]);
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_out_of_a_root() {
    let folder = tree();
    let absolute = folder.path().join("secret").display().to_string();
    let paths = [
        "repo/../secret",
        "..",
        "repo/..",
        "repo/src/../../secret",
        "repo/./README",
        "repo//README",
        "repo/README/",
        "/repo/README",
        "/etc/passwd",
        &absolute,
        "",
        "/",
        "repo/",
        "repo\\..\\secret",
        "repo/%2e%2e/secret",
        "repo/READ\0ME",
        "repo/*",
        "*",
    ];
    let steps: Vec<Value> = paths.iter().map(|path| read(path)).collect();
    let listings = paths.iter().map(|path| json!({"op": "list", "path": path}));
    let steps: Vec<Value> = steps.into_iter().chain(listings).collect();
    let (answers, logged) = script(folder.path(), &["fs.read:*"], json!(steps)).await;
    for (path, answer) in paths.iter().cycle().zip(&answers) {
        assert_eq!(code(answer), "scope_invalid", "{path:?}");
    }
    assert_eq!(logged.len(), answers.len());
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let folder = tree();
    let steps = json!([
        read("repo/missing"), read("nowhere/x"), read("repo/README/x"), {"op": "list", "path": "repo/missing"}
    ]);
    let (answers, _) = script(folder.path(), &["fs.read:*"], steps).await;
    assert!(answers.iter().all(|answer| code(answer) == "not_found"), "{answers:?}");
    assert!(answers[1].to_string().contains("--root nowhere="), "{}", answers[1]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_followed_only_below_its_root_and_only_to_what_was_granted() {
    use std::os::unix::fs::symlink;
    let folder = tree();
    let link = |target: &str, name: &str| symlink(target, folder.path().join("repo/src").join(name)).unwrap();
    link("../README", "up");
    link("../private/key", "sideways");
    link("../private", "folder");
    link("../../secret", "out");
    link("../../secret/", "out-slash");
    link("../../other/file", "other-root");
    link("/etc/passwd", "absolute");
    link("/etc/", "absolute-folder");
    link("loop", "loop");
    link("nowhere", "dangling");
    link(".", "here");
    link("../src/a.rs", "around");
    symlink("..", folder.path().join("repo/parent")).unwrap();

    let steps = json!([
        read("repo/src/out"), read("repo/src/out-slash"), read("repo/src/other-root"), read("repo/src/absolute"),
        read("repo/src/absolute-folder/passwd"), read("repo/src/loop"), read("repo/parent/secret"),
        {"op": "list", "path": "repo/parent"}, {"op": "list", "path": "repo/src/absolute-folder"},
        {"op": "stat", "path": "repo/src/out"}, read("repo/src/dangling"),
        read("repo/src/up"), read("repo/src/sideways"), read("repo/src/here/here/a.rs"),
    ]);
    let (answers, logged) = script(folder.path(), &["fs.read:*"], steps).await;
    for answer in &answers[..11] {
        assert!(["io", "not_found"].contains(&code(answer)), "{answer}");
        assert!(!answer.to_string().contains("hidden"), "{answer}");
    }
    let texts: Vec<_> = answers[11..].iter().map(|answer| answer["ok"]["text"].clone()).collect();
    assert_eq!(texts, ["hello", "hidden", "fn a() {}"]);
    assert_eq!(logged, [""; 0]);

    // With less, the same links are checked for where they lead.
    let steps = json!([
        read("repo/src/around"), read("repo/src/here/a.rs"), read("repo/src/up"), read("repo/src/sideways"),
        read("repo/src/folder/key"), {"op": "list", "path": "repo/src/folder"},
        {"op": "stat", "path": "repo/src/sideways"},
    ]);
    let (answers, logged) = script(folder.path(), &["fs.read:repo/src/*"], steps).await;
    assert!(answers[..2].iter().all(|answer| answer["ok"]["text"] == json!("fn a() {}")), "{answers:?}");
    assert!(answers[2..].iter().all(|answer| code(answer) == "scope_required"), "{answers:?}");
    assert_eq!(logged.len(), 5);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_or_a_device_holds_nobody_up() {
    let folder = tree();
    let pipe = folder.path().join("repo/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let steps = json!([read("repo/pipe"), {"op": "stat", "path": "repo/pipe"}, read("repo/src")]);
    let (answers, _) = script(folder.path(), &["fs.read:*"], steps).await;
    assert_eq!(code(&answers[0]), "invalid_argument");
    assert_eq!(answers[1]["ok"]["kind"], json!("other"));
    assert_eq!(code(&answers[2]), "invalid_argument");
}

#[tokio::test]
async fn one_read_is_bounded_and_a_file_is_read_in_parts() {
    let folder = tree();
    let mebibyte = 1 << 20;
    fs::write(folder.path().join("repo/big"), vec![b'x'; mebibyte + 5]).unwrap();
    let steps = json!([
        {"op": "read", "path": "repo/big", "length": mebibyte, "offset": 5},
        {"op": "read", "path": "repo/big", "length": mebibyte, "offset": mebibyte},
    ]);
    let steps = json!([
        steps[0].clone(), steps[1].clone(),
        {"op": "return", "value": [{"ok": "$0.bytes"}, {"ok": "$1.bytes"}]}
    ]);
    let (answers, _) = script(folder.path(), &["fs.read:repo/big"], steps).await;
    assert_eq!(answers, [json!({"ok": mebibyte}), json!({"ok": 5})]);
}

#[tokio::test]
async fn a_replay_reads_what_was_read_and_not_what_is_there_now() {
    let folder = tree();
    let steps = json!([
        {"op": "roots"}, {"op": "list", "path": "repo"}, {"op": "stat", "path": "repo/README"}, read("repo/README"),
        read("repo/gone"), read("repo/private/../x"), read("elsewhere/x"), read("repo/README"),
    ]);
    let (ledger, mut ends) = Ledger::new();
    let mut outputs = Vec::new();
    for life in 0..2 {
        let dir = Dir::open_ambient_dir(folder.path().join("repo"), ambient_authority()).unwrap();
        let sandbox = sandbox_of(Config { roots: vec![("repo".into(), dir)], ..config() });
        let plugin = load(&sandbox, component("script")).await;
        let job = job(&sandbox, &steps, |job| {
            job.grant = grant(&["fs.read:repo/*", "fs.read:elsewhere/*"]);
            job.replay = ledger.replay();
        });
        sandbox.start(&plugin, job, ledger.clone());
        let Some(End::Finished(finish)) = ends.recv().await else { panic!("nobody parked it") };
        outputs.push(output(finish.outcome));
        let path = folder.path().join("repo");
        if life == 0 {
            fs::write(path.join("README"), "changed, and longer").unwrap();
            fs::write(path.join("gone"), "it is back").unwrap();
            fs::remove_dir_all(path.join("src")).unwrap();
        }
    }
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0][2]["ok"]["size"], json!(5), "{}", outputs[0]);
    assert_eq!(code(&outputs[0][4]), "not_found");
    assert_eq!(ledger.violations(), [""; 0]);
}

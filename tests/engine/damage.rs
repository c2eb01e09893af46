//! A store that is damaged in one place: the tree that it concerns is named, and
//! nothing else notices.

use std::path::Path;

use pleach_engine::kernel::{RunId, RunStatus};
use pleach_engine::{Error, Host};
use serde_json::json;

use crate::lasting::{Lasting, eventually, journaled, stop};
use crate::scene::{log, wait};

/// Flips a bit of the last place where `text` stands in a file.
fn flip(path: &Path, text: &str) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
    bytes[at.expect("the text is in the file")] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// A store without a host, with two trees that have not ended. The first has one
/// needle in its log and another in its journal.
async fn two_trees(lasting: &Lasting) -> [RunId; 2] {
    lasting.doc("a.txt", "a needle in the journal");
    let scene = lasting.scene().await;
    let mut ids = Vec::new();
    for name in ["a needle in the log", "nothing"] {
        let steps = json!([
            {"op": "read", "path": "docs/a.txt"}, {"op": "sleep", "ms": 300}, {"op": "return", "value": name},
        ]);
        let run = scene.submit(scene.script(&steps)).await;
        journaled(&scene.host, run.id(), 2).await;
        ids.push(run.id());
        // Only the first reads the needle.
        lasting.doc("a.txt", "a straw");
    }
    stop(scene.host).await;
    ids.try_into().unwrap()
}

async fn the_other_completes(host: &Host, other: RunId) {
    let ended = wait(&host.run(other).await.unwrap()).await;
    assert_eq!(ended.status, RunStatus::Completed, "{:?}", ended.error);
    assert_eq!(ended.output.unwrap().as_str(), r#""nothing""#);
}

async fn is_named(host: &Host, damaged: RunId, part: &str) {
    eventually("that the damage is noticed", async || !host.unrecovered().is_empty()).await;
    let unrecovered = host.unrecovered();
    assert_eq!(unrecovered.len(), 1, "{unrecovered:?}");
    let (run, error) = &unrecovered[0];
    assert_eq!(*run, damaged);
    let text = error.to_string();
    assert!(text.contains(part) && text.contains(&damaged.to_string()) && text.contains("damaged"), "{text}");
    assert_eq!(text.matches("could not be recovered").count(), 1, "{text}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`pleach store check`")), "{:?}", error.hint());
    let waited = host.run(damaged).await.unwrap().wait().await.unwrap_err();
    assert!(waited.to_string().contains(part), "whoever waits is told why: {waited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_with_a_damaged_log_is_named_and_left_alone() {
    let lasting = Lasting::new();
    let [damaged, other] = two_trees(&lasting).await;
    flip(&lasting.path(), "needle in the log");
    let host = lasting.host().await;
    the_other_completes(&host, other).await;
    is_named(&host, damaged, "the log of tree").await;
    let size = host.size(damaged).await.unwrap();
    let run = host.run(damaged).await.unwrap();
    for refused in [run.cancel("away with it").await.err(), run.tree(Default::default()).await.err()] {
        let refused = refused.expect("it cannot be known what would be cancelled or shown");
        assert!(refused.to_string().contains("the log of tree"), "{refused}");
    }
    // Asked for again, it is refused again.
    host.resume(damaged).await.unwrap();
    is_named(&host, damaged, "the log of tree").await;
    assert_eq!(host.size(damaged).await.unwrap(), size, "nothing of it was changed");
    let faults = host.check().await.unwrap();
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault.run_id == Some(damaged)), "{faults:?}");
    let unreadable = host.unreadable().await.unwrap();
    assert!(matches!(&unreadable[..], [(run, _)] if *run == damaged), "{unreadable:?}");
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_tree_that_cannot_be_read_and_is_nobodys_can_be_discarded() {
    let lasting = Lasting::new();
    let [damaged, other] = two_trees(&lasting).await;
    flip(&lasting.path(), "needle in the log");
    let host = lasting.host().await;
    let why = async |host: &Host, run| host.discard(run, false).await.unwrap_err();
    assert!(matches!(why(&host, other).await, Error::Owned { .. }), "it goes on here");
    let elsewhere = lasting.builder().recover(false).build().await.unwrap();
    assert!(matches!(why(&elsewhere, other).await, Error::Owned { .. }), "it goes on there");
    the_other_completes(&host, other).await;
    // A tree has ended before it has left.
    eventually("that it is nobody's", async || !matches!(why(&host, other).await, Error::Owned { .. })).await;
    assert!(matches!(why(&host, other).await, Error::Undamaged { .. }));
    is_named(&host, damaged, "the log of tree").await;
    assert!(matches!(why(&elsewhere, damaged).await, Error::Owned { .. }), "that host took it up");

    let size = host.size(damaged).await.unwrap();
    let would_go = host.discard(damaged, true).await.unwrap();
    assert_eq!(host.size(damaged).await.unwrap(), size, "nothing was removed");
    let gone = host.discard(damaged, false).await.unwrap();
    assert_eq!((gone.run_id, gone.bytes, &gone.damage), (damaged, size.bytes(), &would_go.damage));
    assert!(gone.damage.is_some_and(|damage| damage.contains("checksum")));
    assert!(matches!(why(&host, damaged).await, Error::NotFound { .. }));
    assert!(host.check().await.unwrap().is_empty(), "all of the rest is whole");
    stop(elsewhere).await;
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_with_a_damaged_journal_is_named_and_can_still_be_cancelled() {
    let lasting = Lasting::new();
    let [damaged, other] = two_trees(&lasting).await;
    flip(&lasting.path(), "needle in the journal");
    let host = lasting.host().await;
    the_other_completes(&host, other).await;
    is_named(&host, damaged, "the journal of run").await;
    let run = host.run(damaged).await.unwrap();
    let Err(error @ Error::Unrecovered { .. }) = run.wait().await else { panic!("it cannot go on") };
    assert!(
        error.hint().is_some_and(|hint| hint.contains(&format!("`pleach cancel {damaged}`"))),
        "{:?}",
        error.hint()
    );
    assert!(matches!(host.discard(damaged, false).await, Err(Error::Undamaged { .. })), "it can be read");
    // Its log is whole, so what there is of it is known.
    assert!(!log(&run).await.is_empty(), "whoever reads it comes to an end");
    assert_eq!(run.tree(Default::default()).await.unwrap().node_count, 1);
    assert_eq!(run.cancel("away with it").await.unwrap().cancelled_count, 1);
    assert_eq!(wait(&run).await.status, RunStatus::Cancelled);
    assert!(host.check().await.unwrap().is_empty(), "the damage went with the journal");
    stop(host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_costs_nothing_but_time() {
    let lasting = Lasting::new();
    let scene = crate::scene::Scene::with(lasting.builder().snapshot_every(1)).await;
    let steps = json!([
        {"op": "group", "members": [{"target": "echo", "input": 1}, {"target": "echo", "input": 2}]},
        {"op": "join", "group": "$0.group_id"},
        {"op": "progress", "message": "one"}, {"op": "progress", "message": "two"},
        {"op": "progress", "message": "three"}, {"op": "progress", "message": "four"},
        {"op": "progress", "message": "five"}, {"op": "progress", "message": "six"},
        {"op": "sleep", "ms": 300},
        {"op": "return", "value": "$1.success_count"},
    ]);
    let run = scene.submit(scene.script(&steps)).await;
    let id = run.id();
    eventually("a snapshot", async || scene.host.size(id).await.unwrap().snapshot_seq.is_some()).await;
    journaled(&scene.host, id, 1).await;
    stop(scene.host).await;
    let conn = rusqlite::Connection::open(lasting.path()).unwrap();
    assert_eq!(conn.execute("UPDATE snapshots SET crc = crc + 1", []).unwrap(), 1);
    drop(conn);
    let host = lasting.host().await;
    let faults = host.check().await.unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].what.contains("snapshot") && faults[0].hint.contains("nothing is lost"), "{faults:?}");
    let ended = wait(&host.run(id).await.unwrap()).await;
    assert_eq!(ended.output.expect("it completes").as_str(), "2");
    stop(host).await;
}

//! Files that each version of the schema wrote, kept as they were. Every later version
//! has to open them and find the same in them. `PLEACH_BLESS=1` writes the newest anew,
//! which is right only before a schema is released.

use std::path::PathBuf;
use std::sync::Arc;

use pleach_kernel::{RootId, Timestamp};
use pleach_store::{Append, JournalEntry, Owner, Store, TreeSummary, digest};

use crate::contract::plugins_row;
use crate::fixture::{blob, check_sound, open, tenant, write};

const ROOT: RootId = RootId(0x0193_8f2e_7c00_7000_8000_0000_0000_00ab);

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn summary(last_seq: u64, finished_at: Option<u64>) -> TreeSummary {
    TreeSummary {
        root: ROOT,
        tenant: tenant("acme"),
        plugin: "lead@1.2.3".into(),
        status: if finished_at.is_some() { "completed" } else { "running" }.into(),
        created_at: Timestamp(1_750_000_000_000),
        finished_at: finished_at.map(Timestamp),
        run_count: 3,
        last_seq,
        policy_version: 2,
    }
}

fn appends() -> Vec<Append> {
    let append = |expected_seq: u64, events: &[&str], finished_at| Append {
        root: ROOT,
        tenant: tenant("acme"),
        expected_seq,
        events: events.iter().map(|event| event.as_bytes().into()).collect(),
        summary: summary(expected_seq + events.len() as u64, finished_at),
        forget: vec![],
        journal: vec![],
    };
    vec![
        append(0, &["{\"event\":\"first\"}", ""], None),
        append(2, &["third"], None),
        append(3, &["fourth", "\u{1f33f}", "last"], Some(1_750_000_060_000)),
    ]
}

/// A copy of a golden file, opened.
async fn opened(name: &str) -> (tempfile::TempDir, Arc<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::copy(golden(name), &path).unwrap();
    let store = open(&path).await.unwrap();
    (folder, store)
}

/// Checks what both files have, of `more` bytes besides.
async fn check_first_tree(store: &dyn Store, more: u64) {
    let acme = tenant("acme");
    let expected: Vec<Arc<[u8]>> = appends().into_iter().flat_map(|append| append.events).collect();
    let events = store.events(ROOT, 1, usize::MAX).await.unwrap();
    assert!((1..=6).eq(events.iter().map(|event| event.seq)));
    assert!(events.into_iter().map(|event| event.body).eq(expected));
    assert_eq!(store.tree(ROOT).await.unwrap(), Some(summary(6, Some(1_750_000_060_000))));
    let mut row = plugins_row("acme", "lead", "1.2.3", b"component");
    row.published = false;
    assert_eq!(store.plugins(&acme).await.unwrap(), [row]);
    let component = store.component(&digest(b"component")).await.unwrap();
    assert_eq!(component.as_deref(), Some(&b"component"[..]));
    let policies = [(1, "{\"limits\":{}}".into()), (2, "{}".into())];
    assert_eq!(store.policies(&acme).await.unwrap(), policies);
    let log: u64 = appends().iter().flat_map(|append| &append.events).map(|e| 4 + e.len() as u64).sum();
    assert_eq!(store.stored_bytes(&acme).await.unwrap(), log + 9 + more);
    assert_eq!(store.owner(ROOT).await.unwrap(), Owner::Dead);
    check_sound(store).await;
}

#[tokio::test]
async fn a_file_of_schema_1_opens_and_holds_what_was_written() {
    let (_folder, store) = opened("v1.db").await;
    check_first_tree(&*store, 0).await;
    let trees = store.trees(&tenant("acme"), Default::default()).await.unwrap();
    assert_eq!(trees, [summary(6, Some(1_750_000_060_000))]);
    assert!(store.unfinished().await.unwrap().is_empty());
    // What it did not know then can be written to it now.
    write(&*store, journaled()).await.unwrap();
    store.put_snapshot(OTHER, 1, b"state".to_vec()).await.unwrap();
    assert_eq!(store.remove(ROOT).await.unwrap().events, 6);
    check_sound(&*store).await;
}

const OTHER: RootId = RootId(0x0193_8f2e_7c00_7000_8000_0000_0000_00ac);

/// A tree that has not ended, whose second run was answered so often that rows were
/// merged.
fn journaled() -> Append {
    let mut summary = TreeSummary { root: OTHER, ..summary(2, None) };
    summary.created_at = Timestamp(1_750_000_100_000);
    let mut journal: Vec<JournalEntry> = (0..70)
        .map(|position| JournalEntry { run: 1, position, body: format!("answer {position}").into_bytes(), blob: None })
        .collect();
    journal[9].blob = Some(blob("a large answer"));
    let events = vec![b"one".as_slice().into(), b"two".as_slice().into()];
    Append { root: OTHER, tenant: tenant("acme"), expected_seq: 0, events, summary, forget: vec![], journal }
}

#[tokio::test]
async fn a_file_of_schema_2_opens_and_holds_what_was_written() {
    if std::env::var_os("PLEACH_BLESS").is_some() {
        bless().await;
    }
    let (_folder, store) = opened("v2.db").await;
    let written = journaled();
    let journal: u64 = written.journal.iter().map(|entry| 4 + entry.body.len() as u64).sum();
    check_first_tree(&*store, 2 * 7 + journal + 14 + 9).await;
    let unfinished = store.unfinished().await.unwrap();
    assert_eq!(unfinished, [written.summary]);
    let read = store.journal(OTHER, 1).await.unwrap();
    assert!(read.iter().eq(written.journal.iter().map(|entry| &entry.body)));
    let large = store.blob(&blob("a large answer").digest).await.unwrap();
    assert_eq!(large.as_deref(), Some(&b"a large answer"[..]));
    assert_eq!(store.snapshot(OTHER).await.unwrap(), Some((2, b"the state".to_vec())));
}

async fn bless() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v2.db");
    let store = open(&path).await.unwrap();
    for append in appends() {
        write(&*store, append).await.unwrap();
    }
    let row = plugins_row("acme", "lead", "1.2.3", b"component");
    store.put_plugin(row, b"component".to_vec()).await.unwrap();
    store.set_published(&tenant("acme"), "lead", "1.2.3", false).await.unwrap();
    for document in ["{\"limits\":{}}", "{}"] {
        store.put_policy(&tenant("acme"), document.into()).await.unwrap();
    }
    // One answer at a time, as a run that goes on is answered.
    let whole = journaled();
    write(&*store, Append { journal: vec![], ..whole.clone() }).await.unwrap();
    for entry in whole.journal.clone() {
        write(&*store, Append { expected_seq: 2, events: vec![], journal: vec![entry], ..whole.clone() })
            .await
            .unwrap();
    }
    store.put_snapshot(OTHER, 2, b"the state".to_vec()).await.unwrap();
    store.vacuum().await.unwrap();
    store.close().await.unwrap();
    std::fs::copy(&path, golden("v2.db")).unwrap();
}

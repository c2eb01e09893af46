//! A file that version 1 of the schema wrote, kept as it was. Every later version
//! has to open it and find the same in it. `PLEACH_BLESS=1` writes it anew, which is
//! right only before a schema is released.

use std::path::PathBuf;

use pleach_kernel::{RootId, Timestamp};
use pleach_store::{Append, Owner, TreeSummary, digest};

use crate::contract::plugins_row;
use crate::fixture::{open, tenant, write};

const ROOT: RootId = RootId(0x0193_8f2e_7c00_7000_8000_0000_0000_00ab);

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.db")
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
        events: events.iter().map(|event| event.as_bytes().to_vec()).collect(),
        summary: summary(expected_seq + events.len() as u64, finished_at),
    };
    vec![
        append(0, &["{\"event\":\"first\"}", ""], None),
        append(2, &["third"], None),
        append(3, &["fourth", "\u{1f33f}", "last"], Some(1_750_000_060_000)),
    ]
}

#[tokio::test]
async fn a_file_of_schema_1_opens_and_holds_what_was_written() {
    if std::env::var_os("PLEACH_BLESS").is_some() {
        bless().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.db");
    std::fs::copy(golden(), &path).unwrap();
    let store = open(&path).await.unwrap();
    let acme = tenant("acme");

    let expected: Vec<Vec<u8>> = appends().into_iter().flat_map(|append| append.events).collect();
    let events = store.events(ROOT, 1, usize::MAX).await.unwrap();
    assert!((1..=6).eq(events.iter().map(|event| event.seq)));
    assert!(events.into_iter().map(|event| event.body).eq(expected));
    let finished = summary(6, Some(1_750_000_060_000));
    assert_eq!(store.tree(ROOT).await.unwrap(), Some(finished.clone()));
    assert_eq!(store.trees(&acme, Default::default()).await.unwrap(), [finished]);
    let mut row = plugins_row("acme", "lead", "1.2.3", b"component");
    row.published = false;
    assert_eq!(store.plugins(&acme).await.unwrap(), [row]);
    let component = store.component(&digest(b"component")).await.unwrap();
    assert_eq!(component.as_deref(), Some(&b"component"[..]));
    let policies = [(1, "{\"limits\":{}}".into()), (2, "{}".into())];
    assert_eq!(store.policies(&acme).await.unwrap(), policies);
    let log: u64 = appends().iter().flat_map(|append| &append.events).map(|e| 4 + e.len() as u64).sum();
    assert_eq!(store.stored_bytes(&acme).await.unwrap(), log + 9);
    assert_eq!(store.owner(ROOT).await.unwrap(), Owner::Dead);
}

async fn bless() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.db");
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
    store.close().await.unwrap();
    std::fs::copy(&path, golden()).unwrap();
}

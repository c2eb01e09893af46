//! Damage to one part of one tree: it is named, a check finds it and goes on, and
//! other trees do not notice.

use std::fs;
use std::path::Path;

use pleach_store::{Error, JournalEntry, Problem, Store};
use rusqlite::Connection;

use crate::contract::plugins_row;
use crate::fixture::{Fixture, Kind, answers, append, blob, check_journal, check_log, check_sound, entry, tree, write};

const STATE: &[u8] = b"the state of the first tree";

/// A closed store: the first tree has everything, the second is a bystander.
async fn closed_store() -> Fixture {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let store = &*fixture.store;
    write(store, answers(append(tree(1), 0, 20), 5, 0, 10)).await.unwrap();
    let mut told = append(tree(1), 20, 0);
    told.journal.push(JournalEntry { blob: Some(blob("a large answer")), ..entry(tree(1), 7, 0) });
    write(store, told).await.unwrap();
    store.put_snapshot(tree(1), 15, STATE.to_vec()).await.unwrap();
    write(store, answers(append(tree(2), 0, 20), 5, 0, 10)).await.unwrap();
    store.put_plugin(plugins_row("acme", "lead", "1.0.0", b"component"), b"component".to_vec()).await.unwrap();
    store.close().await.unwrap();
    fixture
}

/// Flips a bit wherever `text` stands in a file.
fn flip(path: &Path, text: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    let found: Vec<usize> = (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(path, bytes).unwrap();
}

fn corrupt<T: std::fmt::Debug>(read: Result<T, Error>, names: &[&str]) {
    let error = read.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    for name in names {
        assert!(error.to_string().contains(name), "{error} should name {name}");
    }
}

async fn the_bystander_is_whole(store: &dyn Store) {
    check_log(store, tree(2), 20).await;
    check_journal(store, tree(2), 5, 10).await;
    assert!(store.adopt(tree(2)).await.unwrap());
    write(store, answers(append(tree(2), 20, 1), 5, 10, 1)).await.unwrap();
    check_journal(store, tree(2), 5, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_journal_names_the_tree_and_the_run() {
    let fixture = closed_store().await;
    flip(&fixture.path(), format!("answer 4 to 5 of {}", tree(1)).as_bytes());
    let store = fixture.open_again().await;
    corrupt(store.journal(tree(1), 5).await, &[&format!("run {}.5", tree(1))]);
    assert_eq!(store.journal(tree(1), 7).await.unwrap().len(), 1, "another run's is whole");
    check_log(&*store, tree(1), 20).await;
    the_bystander_is_whole(&*store).await;
    let problems = store.check().await.unwrap();
    assert_eq!(problems.iter().map(|problem| problem.tree).collect::<Vec<_>>(), [Some(tree(1))], "{problems:?}");
    assert!(problems[0].to_string().contains(".5"), "{}", problems[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_blob_names_the_run_that_mentions_it() {
    let fixture = closed_store().await;
    flip(&fixture.path(), b"a large answer");
    let store = fixture.open_again().await;
    let digest = blob("a large answer").digest;
    corrupt(store.blob(&digest).await, &[&digest, &format!("run {}.7", tree(1))]);
    the_bystander_is_whole(&*store).await;
    let problems = store.check().await.unwrap();
    assert!(problems.len() == 1 && problems[0].what.contains(&digest), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_snapshot_names_the_tree_whose_log_is_still_whole() {
    let fixture = closed_store().await;
    flip(&fixture.path(), STATE);
    let store = fixture.open_again().await;
    corrupt(store.snapshot(tree(1)).await, &[&format!("snapshot of tree {}", tree(1))]);
    check_log(&*store, tree(1), 20).await;
    the_bystander_is_whole(&*store).await;
    assert_eq!(store.check().await.unwrap().len(), 1);
    // A new one takes its place.
    assert!(store.adopt(tree(1)).await.unwrap());
    store.put_snapshot(tree(1), 20, b"anew".to_vec()).await.unwrap();
    assert_eq!(store.snapshot(tree(1)).await.unwrap(), Some((20, b"anew".to_vec())));
    check_sound(&*store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_garbage_names_the_tree_that_was_asked_for() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let mut large = append(tree(1), 0, 1);
    let body = vec![7; 200_000];
    large.journal.push(JournalEntry { run: 0, position: 0, body, blob: None });
    write(&*fixture.store, large).await.unwrap();
    fixture.store.close().await.unwrap();
    let conn = Connection::open(fixture.path()).unwrap();
    let page: usize = conn
        .query_row("SELECT pageno FROM dbstat WHERE name = 'journal' AND pagetype = 'overflow' LIMIT 1", [], |row| {
            row.get(0)
        })
        .unwrap_or(0);
    drop(conn);
    let mut bytes = fs::read(fixture.path()).unwrap();
    // Where SQLite was built without that table, the page is known by its contents.
    let at = match page {
        0 => bytes.chunks(4096).rposition(|page| page[4..].iter().all(|byte| *byte == 7)).unwrap() * 4096,
        page => (page - 1) * 4096,
    };
    // The number of the next page in the chain.
    bytes[at..at + 4].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
    fs::write(fixture.path(), bytes).unwrap();
    let store = fixture.open_again().await;
    corrupt(store.journal(tree(1), 0).await, &[&format!("the journal of run {}", tree(1)), "pleach.db"]);
    check_log(&*store, tree(1), 1).await;
    assert!(!store.check().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_finds_every_kind_of_damage_and_goes_on() {
    let one = Some(tree(1));
    for (damage, expected) in [
        ("UPDATE frames SET crc = crc + 1 WHERE id >> 32 = 1", vec![(one, "checksum")]),
        ("DELETE FROM frames WHERE id >> 32 = 1", vec![(one, "ends before"), (one, "0 bytes")]),
        ("INSERT INTO frames VALUES ((9 << 32) + 1, 0, x'00')", vec![(None, "number 9")]),
        ("UPDATE trees SET last_seq = 21 WHERE number = 1", vec![(one, "ends before")]),
        (
            "DELETE FROM journal WHERE run >> 32 = 1 AND run & 0xffff = 5",
            vec![(one, "1 answers, 11 by its row"), (None, "less")],
        ),
        (
            "UPDATE journal SET position = 1 WHERE run >> 32 = 1 AND run & 0xffff = 5",
            vec![(one, "expected"), (one, "checksum")],
        ),
        (
            "UPDATE journal SET entries = 9 WHERE run >> 32 = 1 AND run & 0xffff = 5",
            vec![(one, "as many"), (one, "10 answers")],
        ),
        ("UPDATE trees SET run_count = 6 WHERE number = 1", vec![(one, "6 runs")]),
        ("UPDATE trees SET finished_at = 1 WHERE number = 1", vec![(one, "ended"), (one, "ended")]),
        ("UPDATE blobs SET body = x'00'", vec![(None, "digest"), (None, "less")]),
        ("DELETE FROM blobs", vec![(None, "rows name what is not in blobs"), (one, "it is missing"), (None, "less")]),
        ("DELETE FROM blob_mentions", vec![(None, "no journal mentions it"), (None, "less")]),
        ("UPDATE blob_mentions SET run = run + 1", vec![(one, "the run has no journal")]),
        ("UPDATE snapshots SET seq = 16", vec![(one, "checksum")]),
        ("DELETE FROM snapshots", vec![(None, "less")]),
        ("UPDATE snapshots SET id = id + 1", vec![(one, "checksum")]),
        ("UPDATE components SET body = x'00'", vec![(None, "digest")]),
        ("DELETE FROM components", vec![(None, "rows name what is not in components")]),
        ("UPDATE usage SET bytes = bytes - 1", vec![(None, "more"), (None, "more")]),
    ] {
        let fixture = closed_store().await;
        let conn = Connection::open(fixture.path()).unwrap();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {damage}")).unwrap();
        drop(conn);
        let store = fixture.open_again().await;
        let problems = store.check().await.unwrap();
        let mut left: Vec<&Problem> = problems.iter().collect();
        for (tree, detail) in expected {
            let at = left.iter().position(|found| found.tree == tree && found.detail.contains(detail));
            left.remove(at.unwrap_or_else(|| panic!("{damage}: no {detail:?} in {problems:#?}")));
        }
        assert!(left.is_empty(), "{damage}: also {left:#?}");
    }
}

//! How journals lie in the file: few rows however they were written, each of them
//! verified before it becomes part of a larger one.

use pleach_store::{Append, JournalEntry};
use rusqlite::Connection;

use crate::fixture::{Fixture, Kind, answers, append, check_journal, check_sound, queue, tree, write};

fn rows(fixture: &Fixture) -> u64 {
    let conn = Connection::open(fixture.path()).unwrap();
    conn.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_written_one_by_one_has_few_rows() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let store = &*fixture.store;
    write(store, append(tree(1), 0, 1)).await.unwrap();
    for at in 0..1_000 {
        write(store, answers(append(tree(1), 1, 0), 3, at, 1)).await.unwrap();
        let most = u64::from(at / 64 + 64);
        assert!(rows(&fixture) <= most, "{} rows after {at} answers", rows(&fixture));
    }
    assert_eq!(rows(&fixture), 15 + 1_000 % 64);
    check_journal(store, tree(1), 3, 1_000).await;
    check_sound(store).await;
    write(store, Append { forget: vec![3], ..append(tree(1), 1, 0) }).await.unwrap();
    assert_eq!(rows(&fixture), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_ten_thousand_answers_has_a_few_hundred_rows_at_most() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let store = &*fixture.store;
    write(store, append(tree(1), 0, 1)).await.unwrap();
    let mut at = 0;
    // Batches of all sizes, as busy and quiet times make them.
    for size in (1..=7).cycle() {
        if at >= 10_000 {
            break;
        }
        let waiting: Vec<_> =
            (at..at + size).map(|at| queue(store, answers(append(tree(1), 1, 0), 0, at, 1))).collect();
        for answered in waiting {
            answered.await.unwrap().unwrap();
        }
        at += size;
    }
    assert!(rows(&fixture) < 300, "{} rows", rows(&fixture));
    check_journal(store, tree(1), 0, at).await;
    check_sound(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_not_merged_into_very_large_rows() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let store = &*fixture.store;
    write(store, append(tree(1), 0, 1)).await.unwrap();
    for position in 0..64 {
        let entry = JournalEntry { run: 0, position, body: vec![position as u8; 100_000], blob: None };
        write(store, Append { journal: vec![entry], ..append(tree(1), 1, 0) }).await.unwrap();
    }
    let conn = Connection::open(fixture.path()).unwrap();
    let longest: u64 = conn.query_row("SELECT max(length(body)) FROM journal", [], |row| row.get(0)).unwrap();
    assert!(longest <= 1 << 20, "{longest}");
    assert_eq!(rows(&fixture), 7, "ten a row");
    let read = store.journal(tree(1), 0).await.unwrap();
    assert!(read.iter().zip(0u8..).all(|(body, n)| *body == vec![n; 100_000]));
    check_sound(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_not_made_whole_by_being_merged() {
    for damage in [
        "UPDATE journal SET body = zeroblob(length(body)) WHERE position = 30",
        "DELETE FROM journal WHERE position = 30",
        "UPDATE journal SET entries = 2 WHERE position = 30",
    ] {
        let fixture = Fixture::new(Kind::Sqlite).await;
        let store = &*fixture.store;
        for at in 0..63 {
            write(store, answers(append(tree(1), 0, 0), 0, at, 1)).await.unwrap();
        }
        Connection::open(fixture.path()).unwrap().execute(damage, []).unwrap();
        // The run goes on; that its journal is damaged is said when it is read.
        write(store, answers(append(tree(1), 0, 0), 0, 63, 1)).await.unwrap();
        let error = store.journal(tree(1), 0).await.unwrap_err().to_string();
        assert!(error.contains(&tree(1).to_string()) && error.contains("answer 30"), "{damage}: {error}");
        assert!(rows(&fixture) >= 63);
    }
}

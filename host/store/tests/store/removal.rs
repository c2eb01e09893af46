//! Removals that are cut off, and what they may not disturb.

use pleach_kernel::Timestamp;
use pleach_store::{Error, Removed};
use rusqlite::Connection;

use crate::fixture::{Fixture, Kind, answers, append, check_journal, check_log, check_sound, soon, tree, write};

/// An ended tree of many frames, with a journal that nobody forgot.
async fn ended(fixture: &Fixture, n: u128, frames: u64) {
    let store = &*fixture.store;
    for nth in 0..frames {
        write(store, append(tree(n), nth, 1)).await.unwrap();
    }
    let mut last = answers(append(tree(n), frames, 0), 0, 0, 3);
    last.summary.finished_at = Some(Timestamp(9_000));
    write(store, last).await.unwrap();
    store.put_snapshot(tree(n), 1, b"state".to_vec()).await.unwrap();
}

fn count(fixture: &Fixture, table: &str) -> u64 {
    let conn = Connection::open(fixture.path()).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// What a process leaves that dies right after the first step of a removal.
fn cut_off(fixture: &Fixture, number: i64) {
    let conn = Connection::open(fixture.path()).unwrap();
    let begun = format!(
        "BEGIN;
         UPDATE usage SET bytes = bytes - (SELECT bytes FROM trees WHERE number = {number})
             - (SELECT coalesce(sum(length(body)), 0) FROM journal WHERE run >> 32 = {number})
             - (SELECT coalesce(sum(length(body)), 0) FROM snapshots WHERE id >> 32 = {number});
         DELETE FROM trees WHERE number = {number};
         INSERT INTO removals VALUES ({number});
         COMMIT"
    );
    conn.execute_batch(&begun).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_tree_is_removed_in_steps() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    ended(&fixture, 1, 1_500).await;
    write(&*fixture.store, answers(append(tree(2), 0, 4), 0, 0, 4)).await.unwrap();
    let before = fixture.store.stats().commits;
    let removed = fixture.store.remove(tree(1)).await.unwrap();
    assert_eq!(removed.events, 1_500);
    assert!(fixture.store.stats().commits - before >= 5, "several commits");
    for (table, left) in [("removals", 0), ("frames", 1), ("journal", 1), ("snapshots", 0), ("trees", 1)] {
        assert_eq!(count(&fixture, table), left, "{table}");
    }
    check_sound(&*fixture.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_off_is_finished_when_the_file_is_opened() {
    let mut fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 4)).await.unwrap();
    ended(&fixture, 2, 600).await;
    fixture.store.close().await.unwrap();
    cut_off(&fixture, 2);
    fixture.store = fixture.open_again().await;
    // Out of sight from the start, and sound at every moment.
    check_log(&*fixture.store, tree(2), 0).await;
    check_sound(&*fixture.store).await;
    let store = fixture.store.clone();
    soon(async {
        loop {
            let changed = store.changed();
            if count(&fixture, "removals") == 0 {
                break;
            }
            changed.await;
        }
    })
    .await;
    assert_eq!([count(&fixture, "frames"), count(&fixture, "journal"), count(&fixture, "snapshots")], [1, 0, 0]);
    check_log(&*fixture.store, tree(1), 4).await;
    check_sound(&*fixture.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_off_is_finished_by_the_next_one() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    ended(&fixture, 1, 20).await;
    ended(&fixture, 2, 20).await;
    cut_off(&fixture, 2);
    // A new tree does not come into the place of one that is not all gone.
    write(&*fixture.store, answers(append(tree(3), 0, 5), 0, 0, 5)).await.unwrap();
    let Removed { events, .. } = fixture.store.remove(tree(1)).await.unwrap();
    assert_eq!(events, 20);
    assert_eq!([count(&fixture, "removals"), count(&fixture, "frames")], [0, 1]);
    check_log(&*fixture.store, tree(3), 5).await;
    check_journal(&*fixture.store, tree(3), 0, 5).await;
    check_sound(&*fixture.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_wait_for_a_removal_gets_it_all_the_same() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    ended(&fixture, 1, 20).await;
    // Dropped without being awaited: its place in the queue is taken.
    drop(fixture.store.remove(tree(1)));
    write(&*fixture.store, append(tree(2), 0, 1)).await.unwrap();
    check_log(&*fixture.store, tree(1), 0).await;
    check_sound(&*fixture.store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_ended_tree_can_be_removed_and_its_owner_is_fenced() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    ended(&fixture, 1, 20).await;
    let other = fixture.open_again().await;
    assert_eq!(other.remove(tree(1)).await.unwrap().events, 20);
    let late = write(&*fixture.store, append(tree(1), 20, 1)).await.unwrap_err();
    assert!(late.to_string().contains("its log is at 0"), "{late}");
    check_sound(&*other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_tree_is_discarded_only_by_who_adopts_it() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 4)).await.unwrap();
    let other = fixture.open_again().await;
    assert_eq!(other.discard(tree(1)).await, Err(Error::NotOwner { tree: tree(1) }));
    check_log(&*other, tree(1), 4).await;
    fixture.store.close().await.unwrap();
    assert!(other.adopt(tree(1)).await.unwrap());
    assert_eq!(other.discard(tree(1)).await.unwrap().events, 4);
    check_log(&*other, tree(1), 0).await;
    check_sound(&*other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn room_is_given_back_to_the_file_system() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let mut large = append(tree(1), 0, 0);
    large.events = vec![vec![7; 20 << 20].into()];
    large.summary.last_seq = 1;
    large.summary.finished_at = Some(Timestamp(9_000));
    write(&*fixture.store, large).await.unwrap();
    write(&*fixture.store, answers(append(tree(2), 0, 5), 0, 0, 5)).await.unwrap();
    fixture.store.remove(tree(1)).await.unwrap();
    let size = || std::fs::metadata(fixture.path()).unwrap().len();
    fixture.store.vacuum().await.unwrap();
    assert!(size() < 1 << 20, "{} bytes", size());
    let log = std::fs::metadata(fixture.path().with_extension("db-wal")).map_or(0, |log| log.len());
    assert!(log < 1 << 20, "{log} bytes of log");
    write(&*fixture.store, append(tree(2), 5, 5)).await.unwrap();
    check_log(&*fixture.store, tree(2), 10).await;
    check_sound(&*fixture.store).await;
}

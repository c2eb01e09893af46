//! Snapshots, what a host that starts looks for, and what is cleared away.

use pleach_kernel::{RootId, Timestamp};
use pleach_store::{Append, Error, JournalEntry, Store, TreeSize};

use crate::contract::receive;
use crate::fixture::{
    answers, append, append_of, blob, check_journal, check_log, entry, hold, queue, soon, tenant, tree, write,
};

pub async fn a_snapshot_takes_the_place_of_an_older_one(store: &dyn Store) {
    let root = tree(1);
    assert_eq!(store.snapshot(root).await.unwrap(), None);
    let stored = async || store.stored_bytes(&tenant("default")).await.unwrap();
    write(store, append(root, 0, 9)).await.unwrap();
    let log = stored().await;
    // Of no bytes, of one piece, of several, of fewer again.
    let states =
        [(0, vec![]), (3, vec![7; 100]), (7, (0..20u32 << 20).map(|n| (n >> 8) as u8).collect()), (9, vec![1])];
    for (seq, state) in states {
        store.put_snapshot(root, seq, state.clone()).await.unwrap();
        assert!(store.snapshot(root).await.unwrap() == Some((seq, state.clone())), "the one at {seq}");
        assert_eq!(stored().await, log + state.len() as u64);
    }
    let ahead = store.put_snapshot(root, 10, vec![2]).await;
    assert_eq!(ahead, Err(Error::SnapshotAhead { tree: root, seq: 10, last_seq: 9 }));
    assert_eq!(store.put_snapshot(tree(2), 0, vec![]).await, Err(Error::NoSuchTree { tree: tree(2) }));
    assert_eq!(store.snapshot(root).await.unwrap(), Some((9, vec![1])));
    assert_eq!(store.snapshot(tree(2)).await.unwrap(), None);
}

pub async fn a_snapshot_takes_its_turn_behind_appends(store: &dyn Store) {
    let held = hold(store).await;
    let appended = queue(store, append(tree(1), 0, 5));
    let kept = store.put_snapshot(tree(1), 5, b"after five".to_vec());
    let more = queue(store, append(tree(1), 5, 1));
    drop(held);
    kept.await.unwrap();
    appended.await.unwrap().unwrap();
    more.await.unwrap().unwrap();
    assert_eq!(store.snapshot(tree(1)).await.unwrap(), Some((5, b"after five".to_vec())));
}

fn ends_at(at: u64, mut append: Append) -> Append {
    append.summary.finished_at = Some(Timestamp(at));
    append.summary.status = "completed".into();
    append
}

fn roots(found: Vec<pleach_store::TreeSummary>) -> Vec<RootId> {
    found.into_iter().map(|summary| summary.root).collect()
}

pub async fn unfinished_trees_of_all_tenants_are_found_oldest_first(store: &dyn Store) {
    for (n, owner, created_at) in [(1, "acme", 30), (2, "umbrella", 10), (3, "acme", 20), (4, "acme", 10)] {
        let mut append = append_of(owner, tree(n), 0, 1);
        append.summary.created_at = Timestamp(created_at);
        write(store, append).await.unwrap();
    }
    assert_eq!(roots(store.unfinished().await.unwrap()), [2, 4, 3, 1].map(tree));
    write(store, ends_at(40, append_of("acme", tree(3), 1, 1))).await.unwrap();
    write(store, ends_at(50, append_of("acme", tree(5), 0, 1))).await.unwrap();
    let found = store.unfinished().await.unwrap();
    assert_eq!(found[0].tenant, tenant("umbrella"));
    assert_eq!(roots(found), [2, 4, 1].map(tree));
}

pub async fn ended_trees_are_found_by_age_and_beyond_those_to_keep(store: &dyn Store) {
    for (n, owner, at) in [(1, "acme", 10), (2, "umbrella", 20), (3, "acme", 30), (4, "acme", 40), (5, "umbrella", 40)]
    {
        write(store, append_of(owner, tree(n), 0, 1)).await.unwrap();
        write(store, ends_at(at, append_of(owner, tree(n), 1, 1))).await.unwrap();
    }
    write(store, append_of("acme", tree(6), 0, 1)).await.unwrap();
    const ALL: usize = usize::MAX;
    for (before, keep, limit, expected) in [
        (None, 0, ALL, vec![1, 2, 3, 4, 5]),
        (None, 0, 2, vec![1, 2]),
        (Some(40), 0, ALL, vec![1, 2, 3]),
        (None, 1, ALL, vec![1, 2, 3]),
        (None, 2, ALL, vec![1]),
        (Some(30), 1, ALL, vec![1, 2]),
        (Some(30), 1, 1, vec![1]),
        (Some(10), 0, ALL, vec![]),
        (None, ALL, ALL, vec![]),
    ] {
        let found = store.ended(before.map(Timestamp), keep, limit).await.unwrap();
        let expected: Vec<RootId> = expected.into_iter().map(tree).collect();
        assert_eq!(roots(found), expected, "before {before:?}, keep {keep}, limit {limit}");
    }
}

/// A tree with everything that a tree can have, and what it takes up.
async fn whole_tree(store: &dyn Store, root: RootId) -> TreeSize {
    let mut whole = answers(append_of("acme", root, 0, 600), 2, 0, 150);
    let text = format!("only {root} was told");
    whole.journal.push(JournalEntry { blob: Some(blob(&text)), ..entry(root, 3, 0) });
    whole.journal.push(JournalEntry { blob: Some(blob("everybody was told")), ..entry(root, 4, 0) });
    let sum = |bodies: Vec<&[u8]>| bodies.into_iter().map(|body| 4 + body.len() as u64).sum::<u64>();
    let size = TreeSize {
        events: 600,
        log_bytes: sum(whole.events.iter().map(|event| &**event).collect()),
        journal_entries: 152,
        journal_bytes: sum(whole.journal.iter().map(|entry| &*entry.body).collect()),
        blob_bytes: text.len() as u64 + 18,
        snapshot_seq: Some(500),
        snapshot_bytes: 12 << 20,
    };
    write(store, whole).await.unwrap();
    store.put_snapshot(root, 500, vec![3; 12 << 20]).await.unwrap();
    size
}

pub async fn the_size_of_a_tree_is_what_it_counts_for(store: &dyn Store) {
    assert_eq!(store.tree_size(tree(1)).await.unwrap(), None);
    let one = whole_tree(store, tree(1)).await;
    let other = whole_tree(store, tree(2)).await;
    assert_eq!(store.tree_size(tree(1)).await.unwrap(), Some(one));
    assert_eq!(store.tree_size(tree(2)).await.unwrap(), Some(other));
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), one.bytes() + other.bytes());
}

pub async fn a_removed_tree_is_gone_and_everything_of_it(store: &dyn Store) {
    let (gone, stays) = (tree(1), tree(2));
    let forgotten = whole_tree(store, gone).await;
    let stays_size = whole_tree(store, stays).await;
    // An ended tree has no journals; the snapshot stays.
    let ended = Append { forget: vec![2, 3, 4], ..ends_at(9_000, append_of("acme", gone, 600, 0)) };
    write(store, ended).await.unwrap();
    store.post(gone, b"too late".to_vec()).await.unwrap();
    let removed = store.remove(gone).await.unwrap();
    assert_eq!((removed.events, removed.bytes), (600, forgotten.log_bytes + forgotten.snapshot_bytes));

    check_log(store, gone, 0).await;
    assert_eq!(store.snapshot(gone).await.unwrap(), None);
    assert_eq!(store.tree_size(gone).await.unwrap(), None);
    assert!(store.journal(gone, 2).await.unwrap().is_empty());
    assert_eq!(store.blob(&blob(&format!("only {gone} was told")).digest).await.unwrap(), None);
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), stays_size.bytes());
    assert_eq!(store.remove(gone).await, Err(Error::NoSuchTree { tree: gone }));
    assert_eq!(store.post(gone, vec![]).await, Err(Error::NoSuchTree { tree: gone }));
    let late = write(store, append_of("acme", gone, 600, 1)).await;
    assert_eq!(late, Err(Error::Fenced { tree: gone, expected: 600, found: 0 }));
    // What is left of others is whole.
    assert_eq!(store.tree_size(stays).await.unwrap(), Some(stays_size));
    check_log(store, stays, 600).await;
    check_journal(store, stays, 2, 150).await;
    for text in ["everybody was told".to_owned(), format!("only {stays} was told")] {
        assert_eq!(store.blob(&blob(&text).digest).await.unwrap(), Some(text.into_bytes()));
    }
    // The message went with the tree, and so it does not reach a namesake.
    write(store, answers(append_of("acme", gone, 0, 3), 2, 0, 2)).await.unwrap();
    let mut received = receive(store);
    store.post(gone, b"in time".to_vec()).await.unwrap();
    assert_eq!(soon(received.recv()).await.unwrap(), (gone, b"in time".to_vec()));
    check_log(store, gone, 3).await;
    check_journal(store, gone, 2, 2).await;
}

pub async fn journals_that_were_not_forgotten_go_with_their_tree(store: &dyn Store) {
    let size = whole_tree(store, tree(1)).await;
    write(store, ends_at(9_000, append_of("acme", tree(1), 600, 0))).await.unwrap();
    // Meanwhile a check says so.
    let problems = store.check().await.unwrap();
    assert_eq!(problems.len(), 3, "one a run: {problems:?}");
    assert!(problems.iter().all(|problem| problem.tree == Some(tree(1))));
    assert_eq!(store.remove(tree(1)).await.unwrap().bytes, size.bytes());
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), 0);
    assert_eq!(store.blob(&blob("everybody was told").digest).await.unwrap(), None);
    assert!(store.check().await.unwrap().is_empty());
}

pub async fn a_tree_that_has_not_ended_is_not_removed(store: &dyn Store) {
    write(store, answers(append(tree(1), 0, 3), 0, 0, 2)).await.unwrap();
    assert_eq!(store.remove(tree(1)).await, Err(Error::NotEnded { tree: tree(1) }));
    assert_eq!(store.remove(tree(2)).await, Err(Error::NoSuchTree { tree: tree(2) }));
    check_log(store, tree(1), 3).await;
    check_journal(store, tree(1), 0, 2).await;
}

pub async fn a_tree_is_discarded_whether_it_has_ended_or_not(store: &dyn Store) {
    let size = whole_tree(store, tree(1)).await;
    let stays = whole_tree(store, tree(2)).await;
    let discarded = store.discard(tree(1)).await.unwrap();
    assert_eq!((discarded.events, discarded.bytes), (600, size.bytes()));
    assert_eq!(store.discard(tree(1)).await, Err(Error::NoSuchTree { tree: tree(1) }));
    check_log(store, tree(1), 0).await;
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), stays.bytes());
    write(store, append(tree(3), 0, 3)).await.unwrap();
    write(store, ends_at(9_000, append(tree(3), 3, 1))).await.unwrap();
    assert_eq!(store.discard(tree(3)).await.unwrap().events, 4);
    assert_eq!(store.tree_size(tree(2)).await.unwrap(), Some(stays));
    check_journal(store, tree(2), 2, 150).await;
}

pub async fn giving_room_back_changes_nothing(store: &dyn Store) {
    let before = whole_tree(store, tree(1)).await;
    store.vacuum().await.unwrap();
    assert_eq!(store.tree_size(tree(1)).await.unwrap(), Some(before));
    check_log(store, tree(1), 600).await;
    check_journal(store, tree(1), 2, 150).await;
}

pub async fn what_is_queued_around_giving_room_back_is_written(store: &dyn Store) {
    let before = whole_tree(store, tree(1)).await;
    let held = hold(store).await;
    let waiting: Vec<_> = (2..30).map(|n| queue(store, answers(append(tree(n), 0, 2), 0, 0, 2))).collect();
    let vacuumed = store.vacuum();
    let after = queue(store, append(tree(2), 2, 1));
    drop(held);
    vacuumed.await.unwrap();
    for answered in waiting.into_iter().chain([after]) {
        answered.await.unwrap().unwrap();
    }
    assert_eq!(store.tree_size(tree(1)).await.unwrap(), Some(before));
    check_log(store, tree(1), 600).await;
    check_log(store, tree(2), 3).await;
    check_journal(store, tree(29), 0, 2).await;
}

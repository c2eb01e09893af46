//! Summaries, lists of trees, and what is counted beside them.

use pleach_kernel::{RootId, Timestamp};
use pleach_store::{Error, Store, TreeFilter};

use crate::fixture::{append, append_of, body, tenant, tree, write};

pub async fn a_summary_is_that_of_the_last_append(store: &dyn Store) {
    let root = tree(1);
    let first = append(root, 0, 2);
    write(store, first.clone()).await.unwrap();
    assert_eq!(store.tree(root).await.unwrap().as_ref(), Some(&first.summary));
    let mut last = append(root, 2, 1);
    last.summary.status = "completed".into();
    last.summary.plugin = "lead@1.0.1".into();
    last.summary.finished_at = Some(Timestamp(5_000));
    last.summary.run_count = 41;
    last.summary.policy_version = 7;
    let expected = last.summary.clone();
    last.summary.created_at = Timestamp(3_000);
    write(store, last).await.unwrap();
    // A tree is made once, whatever a later append says.
    assert_eq!(store.tree(root).await.unwrap(), Some(expected));
}

async fn make(store: &dyn Store, n: u128, created_at: u64, status: &str) {
    let mut append = append(tree(n), 0, 1);
    append.summary.created_at = Timestamp(created_at);
    append.summary.status = status.into();
    write(store, append).await.unwrap();
}

async fn list(store: &dyn Store, filter: TreeFilter) -> Vec<RootId> {
    let trees = store.trees(&tenant("default"), filter).await.unwrap();
    trees.into_iter().map(|summary| summary.root).collect()
}

pub async fn trees_are_listed_newest_first_and_by_page(store: &dyn Store) {
    // 3 and 4 are of one instant, and 5 was made by a clock that runs late.
    for (n, created_at, status) in
        [(1, 10, "completed"), (2, 20, "running"), (3, 30, "completed"), (4, 30, "failed"), (5, 15, "completed")]
    {
        make(store, n, created_at, status).await;
    }
    let order = [4, 3, 2, 5, 1].map(tree);
    assert_eq!(list(store, TreeFilter::default()).await, order);
    assert_eq!(list(store, TreeFilter { limit: 2, ..TreeFilter::default() }).await, order[..2]);
    assert!(list(store, TreeFilter { limit: 0, ..TreeFilter::default() }).await.is_empty());
    assert_eq!(list(store, TreeFilter { limit: usize::MAX, ..TreeFilter::default() }).await, order);
    for (at, root) in order.into_iter().enumerate() {
        let page = TreeFilter { before: Some(root), limit: 2, ..TreeFilter::default() };
        let end = order.len().min(at + 3);
        assert_eq!(list(store, page).await, order[at + 1..end], "after {root}");
    }
    let completed = TreeFilter { status: Some("completed".into()), ..TreeFilter::default() };
    assert_eq!(list(store, completed.clone()).await, [3, 5, 1].map(tree));
    let older = TreeFilter { before: Some(tree(3)), ..completed };
    assert_eq!(list(store, older).await, [5, 1].map(tree));
    let lost = TreeFilter { before: Some(tree(9)), ..TreeFilter::default() };
    let error = store.trees(&tenant("default"), lost).await.unwrap_err();
    assert_eq!(error, Error::NoSuchTree { tree: tree(9) });
}

pub async fn trees_of_another_tenant_are_not_listed(store: &dyn Store) {
    write(store, append_of("acme", tree(1), 0, 1)).await.unwrap();
    write(store, append_of("umbrella", tree(2), 0, 1)).await.unwrap();
    let trees = store.trees(&tenant("acme"), TreeFilter::default()).await.unwrap();
    assert_eq!(trees.iter().map(|summary| summary.root).collect::<Vec<_>>(), [tree(1)]);
    assert_eq!(trees[0].tenant, tenant("acme"));
    assert!(store.trees(&tenant("nobody"), TreeFilter::default()).await.unwrap().is_empty());
}

pub async fn stored_bytes_count_what_was_appended(store: &dyn Store) {
    let root = tree(1);
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), 0);
    let mut expected = 0;
    for (after, count) in [(0, 3), (3, 0), (3, 2)] {
        write(store, append_of("acme", root, after, count)).await.unwrap();
        // Each event is kept with its length, in 4 bytes.
        expected += (after + 1..=after + count).map(|seq| 4 + body(root, seq).len() as u64).sum::<u64>();
        assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), expected);
    }
    write(store, append_of("acme", root, 1, 2)).await.unwrap_err();
    write(store, append_of("umbrella", tree(2), 0, 1)).await.unwrap();
    assert_eq!(store.stored_bytes(&tenant("acme")).await.unwrap(), expected);
    assert!(store.stored_bytes(&tenant("umbrella")).await.unwrap() > 0);
}

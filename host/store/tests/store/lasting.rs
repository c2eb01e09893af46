//! What a file keeps when the store is closed, dropped or opened by many at once.

use std::sync::Arc;

use pleach_store::{Owner, Store, digest};

use crate::contract::plugins_row;
use crate::fixture::{Fixture, Kind, append, check_log, open, tenant, tree, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_reopened_store_shows_everything_that_was_confirmed() {
    let mut fixture = Fixture::new(Kind::Sqlite).await;
    let acme = tenant("acme");
    let row = plugins_row("acme", "lead", "1.0.0", b"component");
    for n in 1..=30 {
        write(&*fixture.store, append(tree(n), 0, n as u64)).await.unwrap();
    }
    fixture.store.put_plugin(row.clone(), b"component".to_vec()).await.unwrap();
    fixture.store.put_policy(&acme, "{}".into()).await.unwrap();
    let default_bytes = fixture.store.stored_bytes(&tenant("default")).await.unwrap();
    for _ in 0..2 {
        fixture.reopen().await;
        let store = &*fixture.store;
        for n in 1..=30 {
            check_log(store, tree(n), n as u64).await;
        }
        assert_eq!(store.plugins(&acme).await.unwrap(), std::slice::from_ref(&row));
        let component = store.component(&digest(b"component")).await.unwrap();
        assert_eq!(component.as_deref(), Some(&b"component"[..]));
        assert_eq!(store.policy(&acme).await.unwrap(), Some((1, "{}".into())));
        assert_eq!(store.stored_bytes(&tenant("default")).await.unwrap(), default_bytes);
        assert_eq!(store.stored_bytes(&acme).await.unwrap(), 9);
    }
    // The host that wrote it is gone, so the tree waits for a new owner.
    let store = &*fixture.store;
    assert_eq!(store.owner(tree(7)).await.unwrap(), Owner::Dead);
    assert!(store.adopt(tree(7)).await.unwrap());
    write(store, append(tree(7), 7, 3)).await.unwrap();
    check_log(store, tree(7), 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_leaves_one_file_without_a_log_to_replay() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 500)).await.unwrap();
    check_log(&*fixture.store, tree(1), 500).await;
    fixture.store.close().await.unwrap();
    let log = fixture.path().with_extension("db-wal");
    assert!(std::fs::metadata(&log).map_or(0, |log| log.len()) == 0, "the log is merged");
    let alone = fixture.path().with_file_name("copy.db");
    std::fs::copy(fixture.path(), &alone).unwrap();
    let copy = open(&alone).await.unwrap();
    check_log(&*copy, tree(1), 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_dropped_writes_out_what_is_queued() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let path = fixture.path();
    let answers: Vec<_> = (1..=100).map(|n| crate::fixture::queue(&*fixture.store, append(tree(n), 0, 2))).collect();
    let (store, folder) = fixture.take_apart();
    drop(store);
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let again = open(&path).await.unwrap();
    for n in 1..=100 {
        check_log(&*again, tree(n), 2).await;
    }
    drop(folder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_open_a_new_file_at_once_share_one_schema() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/pleach.db");
    let opening: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            tokio::spawn(async move { open(&path).await })
        })
        .collect();
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for opened in opening {
        stores.push(opened.await.unwrap().unwrap());
    }
    for (n, store) in (1..).zip(&stores) {
        write(&**store, append(tree(n), 0, 3)).await.unwrap();
    }
    for store in &stores {
        for n in 1..=8 {
            check_log(&**store, tree(n), 3).await;
        }
    }
}

//! Ownership, messages, changes, and the end.

use std::future::poll_fn;
use std::task::Poll;

use pleach_kernel::RootId;
use pleach_store::{Error, Owner, Store, TreeFilter};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::fixture::{append, queue, soon, tenant, tree, write};

/// Messages as they are handed over.
pub fn receive(store: &dyn Store) -> UnboundedReceiver<(RootId, Vec<u8>)> {
    let (sender, receiver) = unbounded_channel();
    store.watch(Box::new(move |messages| {
        assert!(!messages.is_empty());
        messages.into_iter().for_each(|message| sender.send(message).unwrap());
    }));
    receiver
}

pub async fn messages_arrive_once_and_in_order(store: &dyn Store) {
    write(store, append(tree(1), 0, 1)).await.unwrap();
    write(store, append(tree(2), 0, 1)).await.unwrap();
    // One that is there before anybody listens, and others after.
    store.post(tree(1), b"0".to_vec()).await.unwrap();
    let mut received = receive(store);
    for n in 1..50u8 {
        store.post(tree(1 + u128::from(n % 2)), vec![b'0' + n]).await.unwrap();
    }
    for n in 0..50u8 {
        let expected = (tree(1 + u128::from(n % 2)), vec![b'0' + n]);
        assert_eq!(soon(received.recv()).await.unwrap(), expected);
    }
    // Whoever listens next gets what comes next and nothing twice.
    let mut next = receive(store);
    store.post(tree(1), b"last".to_vec()).await.unwrap();
    assert_eq!(soon(next.recv()).await.unwrap(), (tree(1), b"last".to_vec()));
    assert!(received.try_recv().is_err());
}

pub async fn a_message_for_no_tree_is_an_error(store: &dyn Store) {
    let error = store.post(tree(1), b"cancel".to_vec()).await.unwrap_err();
    assert_eq!(error, Error::NoSuchTree { tree: tree(1) });
}

pub async fn a_tree_belongs_to_whoever_began_it(store: &dyn Store) {
    assert_eq!(store.owner(tree(1)).await.unwrap(), Owner::Unknown);
    assert!(!store.adopt(tree(1)).await.unwrap());
    write(store, append(tree(1), 0, 1)).await.unwrap();
    assert_eq!(store.owner(tree(1)).await.unwrap(), Owner::Mine);
    assert!(store.adopt(tree(1)).await.unwrap());
}

pub async fn a_change_is_noticed_when_it_was_made_after_the_call(store: &dyn Store) {
    for n in 0..20 {
        let changed = store.changed();
        write(store, append(tree(1), n, 1)).await.unwrap();
        soon(changed).await;
    }
    let changed = store.changed();
    store.put_policy(&tenant("acme"), "{}".into()).await.unwrap();
    soon(changed).await;
    // Two who wait do not take it from each other, and nobody waits past the end.
    let (one, other) = (store.changed(), store.changed());
    store.close().await.unwrap();
    soon(one).await;
    soon(other).await;
    soon(store.changed()).await;
}

pub async fn a_closed_store_answers_that_it_is_closed(store: &dyn Store) {
    let queued: Vec<_> = (1..=50).map(|n| queue(store, append(tree(n), 0, 1))).collect();
    store.close().await.unwrap();
    for mut answer in queued {
        // What was queued before is written, and everybody told, when `close` is through.
        let now = poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut answer).poll(context)));
        assert!(matches!(now.await, Poll::Ready(Ok(Ok(())))));
    }
    let (root, owner) = (tree(1), tenant("default"));
    assert_eq!(write(store, append(root, 1, 1)).await, Err(Error::Closed));
    assert_eq!(store.events(root, 1, 1).await, Err(Error::Closed));
    assert_eq!(store.tree(root).await, Err(Error::Closed));
    assert_eq!(store.trees(&owner, TreeFilter::default()).await, Err(Error::Closed));
    assert_eq!(store.put_policy(&owner, "{}".into()).await, Err(Error::Closed));
    assert_eq!(store.plugins(&owner).await, Err(Error::Closed));
    assert_eq!(store.post(root, b"x".to_vec()).await, Err(Error::Closed));
    assert_eq!(store.owner(root).await, Err(Error::Closed));
    assert_eq!(store.adopt(root).await, Err(Error::Closed));
    assert_eq!(store.journal(root, 0).await, Err(Error::Closed));
    assert_eq!(store.put_snapshot(root, 1, vec![]).await, Err(Error::Closed));
    assert_eq!(store.remove(root).await, Err(Error::Closed));
    assert_eq!(store.unfinished().await, Err(Error::Closed));
    assert_eq!(store.vacuum().await, Err(Error::Closed));
    store.close().await.unwrap();
}

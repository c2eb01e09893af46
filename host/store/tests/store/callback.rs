//! Callbacks: when they are called, and what they may do.

use std::sync::{Arc, mpsc};

use pleach_kernel::RootId;
use pleach_store::Store;
use tokio::sync::oneshot;

use crate::contract::receive;
use crate::fixture::{Fixture, Kind, append, check_log, queue, soon, tree, write};

/// Calls the store on a thread of its own, so that a call which never returns fails
/// the test instead of holding it up.
async fn apart(store: &Arc<dyn Store>, call: impl FnOnce(&dyn Store) + Send + 'static) {
    let (returned, returning) = oneshot::channel();
    let store = store.clone();
    std::thread::spawn(move || {
        call(&*store);
        // A test that has failed does not listen.
        let _ = returned.send(());
    });
    soon(returning).await.unwrap();
}

#[tokio::test]
async fn in_memory_everybody_was_told_when_a_call_returns() {
    let store = Fixture::new(Kind::Memory).await.store;
    let mut answers = Vec::new();
    for n in 0..10 {
        let mut answer = queue(&*store, append(tree(1), n, 1));
        answers.push(answer.try_recv());
    }
    assert_eq!(answers, vec![Ok(Ok(())); 10]);
    let mut received = receive(&*store);
    drop(store.post(tree(1), b"cancel".to_vec()));
    assert_eq!(received.try_recv(), Ok((tree(1), b"cancel".to_vec())));
    assert!(store.room().is_none());
    assert_eq!(store.queued_bytes(), 0);
    assert_eq!(store.stats().commits, 11, "ten appends and a message");
}

#[tokio::test]
async fn a_callback_may_append_to_its_own_store() {
    for kind in [Kind::Memory, Kind::Sqlite] {
        let (store, _folder) = Fixture::new(kind).await.take_apart();
        let (told, answer) = oneshot::channel();
        let inner = store.clone();
        let first = move |result: Result<(), _>| {
            result.unwrap();
            // To its own tree, and to another one.
            let again = append(tree(1), 1, 1);
            inner.append(again, Box::new(|result| result.unwrap()));
            inner.append(append(tree(2), 0, 1), Box::new(|result| told.send(result).unwrap()));
        };
        apart(&store, |store| store.append(append(tree(1), 0, 1), Box::new(first))).await;
        assert_eq!(soon(answer).await.unwrap(), Ok(()), "{kind:?}");
        check_log(&*store, tree(1), 2).await;
        check_log(&*store, tree(2), 1).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_receiver_of_messages_may_append_to_its_own_store() {
    for kind in [Kind::Memory, Kind::Sqlite] {
        let (store, _folder) = Fixture::new(kind).await.take_apart();
        write(&*store, append(tree(1), 0, 1)).await.unwrap();
        // One waits for it, the other comes later.
        store.post(tree(1), b"1".to_vec()).await.unwrap();
        let (told, answers) = mpsc::channel();
        let inner = store.clone();
        let messages = move |messages: Vec<(RootId, Vec<u8>)>| {
            for (root, message) in messages {
                let (told, after) = (told.clone(), u64::from(message[0] - b'0'));
                inner.append(append(root, after, 1), Box::new(move |result| told.send(result).unwrap()));
            }
        };
        apart(&store, |store| store.watch(Box::new(messages))).await;
        apart(&store, |store| drop(store.post(tree(1), b"2".to_vec()))).await;
        let told = tokio::task::spawn_blocking(move || answers.iter().take(2).collect::<Vec<_>>());
        assert_eq!(soon(told).await.unwrap(), [Ok(()), Ok(())], "{kind:?}");
        check_log(&*store, tree(1), 3).await;
        store.close().await.unwrap();
        // It holds the store, and the store it.
        store.watch(Box::new(|_| {}));
    }
}

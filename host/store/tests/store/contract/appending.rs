//! Appending and reading back: order, the fence, groups, answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use pleach_kernel::RootId;
use pleach_store::{EVENT_LIMIT_BYTES, Error, QUEUE_HIGH_WATER_BYTES, Store};

use crate::fixture::{append, append_of, body, check_log, hold, queue, summary, tenant, tree, write};

pub async fn events_come_back_in_order_and_without_a_gap(store: &dyn Store) {
    let (one, other) = (tree(1), tree(2));
    for (after, count) in [(0, 1), (1, 5), (6, 1), (7, 3)] {
        write(store, append(one, after, count)).await.unwrap();
        write(store, append(other, after, count)).await.unwrap();
    }
    check_log(store, one, 10).await;
    check_log(store, other, 10).await;
    for from_seq in 0..13 {
        for limit in [0, 1, 2, 5, 10, 11, usize::MAX] {
            let events = store.events(one, from_seq, limit).await.unwrap();
            let expected: Vec<u64> = (from_seq.max(1)..=10).take(limit).collect();
            let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
            assert_eq!(seqs, expected, "{limit} from {from_seq}");
            assert!(events.iter().all(|event| *event.body == body(one, event.seq)));
        }
    }
    assert!(store.events(one, u64::MAX, usize::MAX).await.unwrap().is_empty());
    assert!(store.events(tree(3), 1, usize::MAX).await.unwrap().is_empty());
    assert_eq!(store.tree(tree(3)).await.unwrap(), None);
}

pub async fn an_append_that_does_not_follow_is_fenced(store: &dyn Store) {
    let root = tree(1);
    let fenced = |expected, found| Err(Error::Fenced { tree: root, expected, found });
    assert_eq!(write(store, append(root, 4, 1)).await, fenced(4, 0));
    check_log(store, root, 0).await;
    write(store, append(root, 0, 3)).await.unwrap();
    for expected in [0, 1, 2, 4, 1_000] {
        assert_eq!(write(store, append(root, expected, 1)).await, fenced(expected, 3));
    }
    check_log(store, root, 3).await;
    write(store, append(root, 3, 1)).await.unwrap();
    check_log(store, root, 4).await;
}

pub async fn an_append_that_contradicts_itself_is_refused(store: &dyn Store) {
    let root = tree(1);
    write(store, append(root, 0, 1)).await.unwrap();
    let mut of_another_tree = append(root, 1, 1);
    of_another_tree.summary.root = tree(2);
    let mut miscounted = append(root, 1, 1);
    miscounted.summary.last_seq = 3;
    let mut endless = append(root, u64::from(u32::MAX), 1);
    endless.summary.last_seq = u64::from(u32::MAX) + 1;
    let mut huge = append(root, 1, 1);
    huge.events = vec![vec![0; EVENT_LIMIT_BYTES + 1].into()];
    for (append, reason) in [
        (of_another_tree, "another tree"),
        (miscounted, "ends at seq 3"),
        (endless, "longer than"),
        (huge, "event 2 has"),
    ] {
        let error = write(store, append).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    check_log(store, root, 1).await;
}

pub async fn an_append_for_another_tenants_tree_is_refused(store: &dyn Store) {
    let root = tree(1);
    write(store, append_of("acme", root, 0, 2)).await.unwrap();
    let error = write(store, append_of("umbrella", root, 2, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("acme"), "whose tree it is stays hidden: {error}");
    check_log(store, root, 2).await;
}

pub async fn an_append_of_no_events_writes_the_summary(store: &dyn Store) {
    let root = tree(1);
    write(store, append(root, 0, 2)).await.unwrap();
    let mut finished = append(root, 2, 0);
    finished.summary.status = "completed".into();
    write(store, finished).await.unwrap();
    check_log(store, root, 2).await;
    assert_eq!(store.tree(root).await.unwrap().unwrap().status, "completed");
}

pub async fn a_failed_append_dooms_what_was_queued_behind_it(store: &dyn Store) {
    let root = tree(1);
    write(store, append(root, 0, 5)).await.unwrap();
    let held = hold(store).await;
    // The second was decided on the first, and only by chance fits the log.
    let first = queue(store, append(root, 3, 2));
    let second = queue(store, append(root, 5, 1));
    drop(held);
    let fenced = Error::Fenced { tree: root, expected: 3, found: 5 };
    assert_eq!(first.await.unwrap(), Err(fenced));
    assert_eq!(second.await.unwrap(), Err(Error::AfterFailure { tree: root }));
    check_log(store, root, 5).await;
    // Whoever knows of the failure may go on.
    write(store, append(root, 5, 1)).await.unwrap();
    check_log(store, root, 6).await;
}

pub async fn a_failed_append_leaves_the_rest_of_its_group_alone(store: &dyn Store) {
    let held = hold(store).await;
    let commits = store.stats().commits;
    let good: Vec<_> = (1..=20).map(|n| queue(store, append(tree(n), 0, 3))).collect();
    let bad = queue(store, append(tree(5), 1, 1));
    let more: Vec<_> = (1..=20).map(|n| queue(store, append(tree(n), 3, 1))).collect();
    drop(held);
    let fenced = Error::Fenced { tree: tree(5), expected: 1, found: 3 };
    assert_eq!(bad.await.unwrap(), Err(fenced));
    for answer in good {
        answer.await.unwrap().unwrap();
    }
    for (n, answer) in (1..).zip(more) {
        let expected = if n == 5 { Err(Error::AfterFailure { tree: tree(5) }) } else { Ok(()) };
        assert_eq!(answer.await.unwrap(), expected);
    }
    assert_eq!(store.stats().commits, commits + 1);
    for n in 1..=20 {
        check_log(store, tree(n), if n == 5 { 3 } else { 4 }).await;
    }
}

pub async fn one_commit_carries_what_waited_for_all_trees(store: &dyn Store) {
    let held = hold(store).await;
    let before = store.stats();
    let answers: Vec<_> =
        (0..1_000u64).map(|n| queue(store, append(tree(u128::from(n % 100)), n / 100 * 2, 2))).collect();
    drop(held);
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let after = store.stats();
    assert_eq!(after.commits - before.commits, 1);
    assert_eq!(after.events - before.events, 2_000);
    for n in 0..100 {
        check_log(store, tree(n), 20).await;
    }
}

pub async fn appends_from_many_threads_are_answered_in_order(store: &dyn Store) {
    const THREADS: u128 = 8;
    const TREES: u128 = 10;
    const APPENDS: u64 = 25;
    let told: Arc<Mutex<HashMap<RootId, Vec<u64>>>> = Arc::default();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let told = &told;
            scope.spawn(move || {
                for nth in 0..APPENDS {
                    for n in 0..TREES {
                        let (root, told) = (tree(thread * TREES + n), told.clone());
                        let done = move |result: Result<(), Error>| {
                            result.unwrap();
                            told.lock().unwrap().entry(root).or_default().push(nth);
                        };
                        store.append(append(root, nth * 2, 2), Box::new(done));
                    }
                }
            });
        }
    });
    // Everything above was called before this one.
    write(store, append(tree(1_000), 0, 1)).await.unwrap();
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len() as u128, THREADS * TREES);
    assert!(told.values().all(|order| *order == (0..APPENDS).collect::<Vec<_>>()));
    for n in 0..THREADS * TREES {
        check_log(store, tree(n), APPENDS * 2).await;
    }
}

pub async fn large_events_are_kept_whole(store: &dyn Store) {
    let root = tree(1);
    let sizes = [0, 5 << 20, 5 << 20, 3, 9 << 20, 0, 1];
    let mut large = append(root, 0, 0);
    large.events = (0u8..).zip(sizes).map(|(n, size)| vec![n; size].into()).collect();
    large.summary = summary(root, 7);
    write(store, large.clone()).await.unwrap();
    for from_seq in 1..=7 {
        let events = store.events(root, from_seq, usize::MAX).await.unwrap();
        assert!(events.iter().map(|event| &event.body).eq(&large.events[from_seq as usize - 1..]));
    }
}

pub async fn a_callback_that_panics_hurts_nobody_else(store: &dyn Store) {
    let before = queue(store, append(tree(1), 0, 1));
    store.append(append(tree(2), 0, 1), Box::new(|_| panic!("on purpose")));
    let after = queue(store, append(tree(3), 0, 1));
    before.await.unwrap().unwrap();
    after.await.unwrap().unwrap();
    write(store, append(tree(2), 1, 1)).await.unwrap();
    check_log(store, tree(2), 2).await;
}

pub async fn other_writes_keep_their_place_among_appends(store: &dyn Store) {
    for n in 0..200 {
        let mut answer = queue(store, append(tree(1), n, 1));
        store.put_policy(&tenant("acme"), "{}".into()).await.unwrap();
        assert_eq!(answer.try_recv(), Ok(Ok(())), "called before, so answered before");
    }
    check_log(store, tree(1), 200).await;
}

pub async fn room_follows_what_is_queued(store: &dyn Store) {
    assert!(store.room().is_none());
    let held = hold(store).await;
    let mut large = append(tree(1), 0, 0);
    large.events = vec![vec![1; QUEUE_HIGH_WATER_BYTES as usize].into()];
    large.summary = summary(tree(1), 1);
    let answer = queue(store, large);
    assert!(store.queued_bytes() > QUEUE_HIGH_WATER_BYTES);
    let room = store.room().expect("there is none above the mark");
    drop(held);
    room.await;
    assert!(store.room().is_none());
    assert!(store.queued_bytes() < QUEUE_HIGH_WATER_BYTES);
    answer.await.unwrap().unwrap();
}

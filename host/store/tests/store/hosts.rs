//! Two hosts on one file: who may append, what they see of each other.

use pleach_store::{Error, Owner};

use crate::contract::receive;
use crate::fixture::{Fixture, Kind, append, check_log, soon, tree, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_appended_to_by_its_owner_alone() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let (ours, theirs) = (&*fixture.store, fixture.open_again().await);
    write(ours, append(tree(1), 0, 2)).await.unwrap();
    assert_eq!(theirs.owner(tree(1)).await.unwrap(), Owner::Live);
    assert!(!theirs.adopt(tree(1)).await.unwrap(), "its owner lives");
    let stale = write(&*theirs, append(tree(1), 1, 1)).await;
    assert_eq!(stale, Err(Error::Fenced { tree: tree(1), expected: 1, found: 2 }));
    let foreign = write(&*theirs, append(tree(1), 2, 1)).await;
    assert_eq!(foreign, Err(Error::NotOwner { tree: tree(1) }));
    write(&*theirs, append(tree(2), 0, 3)).await.unwrap();
    check_log(ours, tree(2), 3).await;
    check_log(&*theirs, tree(1), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_hosts_tree_is_adopted_by_one_and_only_one() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 2)).await.unwrap();
    let (one, other) = (fixture.open_again().await, fixture.open_again().await);
    fixture.store.close().await.unwrap();
    assert_eq!(one.owner(tree(1)).await.unwrap(), Owner::Dead);
    let (first, second) = (one.adopt(tree(1)), other.adopt(tree(1)));
    let adopted = (first.await.unwrap(), second.await.unwrap());
    assert!(adopted == (true, false) || adopted == (false, true), "{adopted:?}");
    let (owner, loser) = if adopted.0 { (one, other) } else { (other, one) };
    assert_eq!(owner.owner(tree(1)).await.unwrap(), Owner::Mine);
    assert_eq!(loser.owner(tree(1)).await.unwrap(), Owner::Live);
    write(&*owner, append(tree(1), 2, 1)).await.unwrap();
    check_log(&*loser, tree(1), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_the_owner_in_another_process_and_nobody_else() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let (ours, theirs) = (&*fixture.store, fixture.open_again().await);
    write(ours, append(tree(1), 0, 1)).await.unwrap();
    write(&*theirs, append(tree(2), 0, 1)).await.unwrap();
    let (mut to_us, mut to_them) = (receive(ours), receive(&*theirs));
    theirs.post(tree(1), b"cancel".to_vec()).await.unwrap();
    assert_eq!(soon(to_us.recv()).await.unwrap(), (tree(1), b"cancel".to_vec()));
    ours.post(tree(2), b"stop".to_vec()).await.unwrap();
    assert_eq!(soon(to_them.recv()).await.unwrap(), (tree(2), b"stop".to_vec()));
    assert!(to_us.try_recv().is_err() && to_them.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_for_a_dead_host_waits_for_whoever_adopts_the_tree() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 1)).await.unwrap();
    fixture.store.close().await.unwrap();
    let heir = fixture.open_again().await;
    let mut received = receive(&*heir);
    heir.post(tree(1), b"cancel".to_vec()).await.unwrap();
    write(&*heir, append(tree(2), 0, 1)).await.unwrap();
    heir.post(tree(2), b"mine".to_vec()).await.unwrap();
    assert_eq!(soon(received.recv()).await.unwrap(), (tree(2), b"mine".to_vec()), "only its own");
    assert!(heir.adopt(tree(1)).await.unwrap());
    assert_eq!(soon(received.recv()).await.unwrap(), (tree(1), b"cancel".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_another_process_is_a_change() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let (ours, theirs) = (&*fixture.store, fixture.open_again().await);
    write(ours, append(tree(1), 0, 1)).await.unwrap();
    let mut seen = 0;
    for last_seq in 2..=4 {
        write(ours, append(tree(1), last_seq - 1, 1)).await.unwrap();
        // As `events --follow` does it: nothing that happens in between is missed.
        while seen < last_seq {
            let changed = theirs.changed();
            let events = theirs.events(tree(1), seen + 1, usize::MAX).await.unwrap();
            match events.last() {
                Some(event) => seen = event.seq,
                None => soon(changed).await,
            }
        }
    }
    let changed = theirs.changed();
    write(ours, append(tree(1), 4, 1)).await.unwrap();
    soon(changed).await;
}

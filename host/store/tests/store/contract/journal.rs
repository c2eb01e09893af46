//! Journals: what guests were answered, beside the events of the same append.

use pleach_store::{Append, Blob, Error, JournalEntry, Store, digest};

use crate::fixture::{
    answer, answers, append, append_of, blob, check_journal, check_log, entry, hold, queue, tenant, tree, write,
};

pub async fn answers_come_back_in_order_and_without_a_gap(store: &dyn Store) {
    for (from, count) in [(0, 1), (1, 5), (6, 0), (6, 200), (206, 1)] {
        for n in 1..=2 {
            let seq = store.tree(tree(n)).await.unwrap().map_or(0, |summary| summary.last_seq);
            let mut append = append(tree(n), seq, 2);
            // Several runs of one append, their answers mixed.
            append.journal = (from..from + count).flat_map(|at| [0, 3, 7].map(|run| entry(tree(n), run, at))).collect();
            write(store, append).await.unwrap();
        }
    }
    for n in 1..=2 {
        for run in 0..10 {
            check_journal(store, tree(n), run, if [0, 3, 7].contains(&run) { 207 } else { 0 }).await;
        }
    }
    assert!(store.journal(tree(9), 0).await.unwrap().is_empty());
}

pub async fn a_journal_needs_no_events(store: &dyn Store) {
    write(store, append(tree(1), 0, 3)).await.unwrap();
    for at in 0..200 {
        write(store, answers(append(tree(1), 3, 0), 0, at, 1)).await.unwrap();
    }
    check_log(store, tree(1), 3).await;
    check_journal(store, tree(1), 0, 200).await;
}

pub async fn a_long_journal_is_kept_whole(store: &dyn Store) {
    write(store, append(tree(1), 0, 1)).await.unwrap();
    let waiting: Vec<_> = (0..10_000).map(|at| queue(store, answers(append(tree(1), 1, 0), 5, at, 1))).collect();
    for answered in waiting {
        answered.await.unwrap().unwrap();
    }
    check_journal(store, tree(1), 5, 10_000).await;
    let mut large = append(tree(1), 1, 0);
    let sizes = [0, 9 << 20, 3, 5 << 20, 5 << 20, 0];
    large.journal = (0u32..)
        .zip(sizes)
        .map(|(position, size)| JournalEntry { run: 6, position, body: vec![position as u8; size], blob: None })
        .collect();
    write(store, large.clone()).await.unwrap();
    let read = store.journal(tree(1), 6).await.unwrap();
    assert!(read.iter().eq(large.journal.iter().map(|entry| &entry.body)));
}

pub async fn an_answer_that_does_not_follow_is_refused_with_its_append(store: &dyn Store) {
    let root = tree(1);
    write(store, answers(append(root, 0, 2), 4, 0, 3)).await.unwrap();
    let with = |journal: Vec<JournalEntry>| Append { journal, ..append(root, 2, 1) };
    let mut unlike = entry(root, 4, 3);
    unlike.blob = Some(Blob { digest: digest(b"one"), body: b"other".to_vec() });
    for (refused, reason) in [
        (with(vec![entry(root, 4, 2)]), "answer 3 is next"),
        (with(vec![entry(root, 4, 4)]), "answer 3 is next"),
        (with(vec![entry(root, 4, 3), entry(root, 4, 3)]), "answer 4 is next"),
        (with(vec![entry(root, 4, 3), entry(root, 5, 1)]), "answer 0 is next"),
        (Append { forget: vec![4], ..with(vec![entry(root, 4, 3)]) }, "answer 0 is next"),
        (with(vec![entry(root, 40, 0)]), "to run 40, the tree has 40 runs"),
        (with(vec![unlike]), "has the digest"),
    ] {
        let bystander = queue(store, answers(append(tree(2), 0, 0), 0, 0, 0));
        let error = write(store, refused).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(reason) && text.contains(&root.to_string()), "{text}");
        bystander.await.unwrap().unwrap();
        check_log(store, root, 2).await;
        check_journal(store, root, 4, 3).await;
        check_journal(store, root, 5, 0).await;
    }
    write(store, answers(append(root, 2, 1), 4, 3, 1)).await.unwrap();
    check_journal(store, root, 4, 4).await;
}

pub async fn a_fenced_append_leaves_no_answer_behind(store: &dyn Store) {
    let root = tree(1);
    write(store, answers(append(root, 0, 2), 0, 0, 2)).await.unwrap();
    let fenced = write(store, answers(append(root, 1, 1), 0, 2, 1)).await;
    assert_eq!(fenced, Err(Error::Fenced { tree: root, expected: 1, found: 2 }));
    check_journal(store, root, 0, 2).await;
    write(store, answers(append(root, 2, 1), 0, 2, 1)).await.unwrap();
    check_journal(store, root, 0, 3).await;
}

pub async fn an_append_that_is_doomed_leaves_no_answer_behind(store: &dyn Store) {
    let root = tree(1);
    write(store, answers(append(root, 0, 2), 0, 0, 2)).await.unwrap();
    let held = hold(store).await;
    let fenced = queue(store, answers(append(root, 1, 1), 0, 2, 1));
    let doomed = queue(store, answers(append(root, 2, 1), 0, 2, 1));
    drop(held);
    assert_eq!(fenced.await.unwrap(), Err(Error::Fenced { tree: root, expected: 1, found: 2 }));
    assert_eq!(doomed.await.unwrap(), Err(Error::AfterFailure { tree: root }));
    check_journal(store, root, 0, 2).await;
    write(store, answers(append(root, 2, 1), 0, 2, 1)).await.unwrap();
    check_journal(store, root, 0, 3).await;
}

fn forget(run: u32, append: Append) -> Append {
    Append { forget: vec![run], ..append }
}

pub async fn a_forgotten_journal_begins_anew(store: &dyn Store) {
    let root = tree(1);
    write(store, answers(answers(append(root, 0, 1), 1, 0, 100), 2, 0, 3)).await.unwrap();
    write(store, forget(1, append(root, 1, 1))).await.unwrap();
    check_journal(store, root, 1, 0).await;
    check_journal(store, root, 2, 3).await;
    // Forgotten and begun in one append, and one that never was.
    write(store, forget(2, answers(append(root, 2, 1), 2, 0, 2))).await.unwrap();
    check_journal(store, root, 2, 2).await;
    write(store, forget(9, append(root, 3, 0))).await.unwrap();
    check_log(store, root, 3).await;
}

pub async fn a_journal_is_forgotten_several_times_in_one_commit(store: &dyn Store) {
    let root = tree(1);
    write(store, answers(append(root, 0, 3), 2, 0, 2)).await.unwrap();
    let held = hold(store).await;
    let waiting = [
        queue(store, answers(append(root, 3, 1), 1, 0, 70)),
        queue(store, forget(1, answers(append(root, 4, 0), 1, 0, 4))),
        queue(store, answers(append(root, 4, 0), 1, 4, 1)),
        queue(store, forget(2, append(root, 4, 0))),
        queue(store, forget(9, append(root, 4, 0))),
    ];
    drop(held);
    for answered in waiting {
        answered.await.unwrap().unwrap();
    }
    check_journal(store, root, 1, 5).await;
    check_journal(store, root, 2, 0).await;
    check_log(store, root, 4).await;
}

/// An append of one answer, which mentions a blob.
fn mentioning(n: u128, run: u32, at: u32, text: &str) -> Append {
    let mut append = append_of(if n == 3 { "umbrella" } else { "acme" }, tree(n), 0, 0);
    append.journal = vec![JournalEntry { blob: Some(blob(text)), ..entry(tree(n), run, at) }];
    append
}

pub async fn a_blob_is_kept_once_until_the_last_run_that_mentions_it_is_forgotten(store: &dyn Store) {
    let text = "a large answer ".repeat(10_000);
    let kept = blob(&text);
    for (n, run, at) in [(1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (3, 0, 0)] {
        write(store, mentioning(n, run, at, &text)).await.unwrap();
    }
    let stored = async |name: &str| store.stored_bytes(&tenant(name)).await.unwrap();
    let entry_bytes = 4 + answer(tree(1), 0, 0).len() as u64;
    let blob_bytes = text.len() as u64;
    // Once a tree.
    assert_eq!(stored("acme").await, 4 * entry_bytes + 2 * blob_bytes);
    assert_eq!(stored("umbrella").await, entry_bytes + blob_bytes);
    let forgotten = [(1, 0, 2 * entry_bytes + 2 * blob_bytes), (1, 1, entry_bytes + blob_bytes), (2, 0, 0)];
    for (n, run, left) in forgotten {
        assert_eq!(store.blob(&kept.digest).await.unwrap().as_ref(), Some(&kept.body));
        let forget = Append { forget: vec![run], ..append_of("acme", tree(n), 0, 0) };
        write(store, forget).await.unwrap();
        assert_eq!(stored("acme").await, left);
    }
    // The last is in another tenant's tree.
    assert_eq!(store.blob(&kept.digest).await.unwrap().as_ref(), Some(&kept.body));
    let mut replaced = mentioning(3, 0, 0, "another");
    replaced.forget = vec![0];
    write(store, replaced).await.unwrap();
    assert_eq!(store.blob(&kept.digest).await.unwrap(), None);
    assert_eq!(store.blob(&blob("another").digest).await.unwrap().as_deref(), Some(&b"another"[..]));
    assert_eq!(stored("umbrella").await, entry_bytes + 7);
}

//! Copies of a store that is in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pleach_store::Error;

use crate::fixture::{
    Fixture, Kind, answer, answers, append, blob, check_journal, check_log, check_sound, entry, open, queue, tree,
    write,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_though_everybody_goes_on_writing() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let other = fixture.open_again().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = [(1, fixture.store.clone()), (2, other)]
        .into_iter()
        .map(|(n, store)| {
            let stop = stop.clone();
            tokio::spawn(async move {
                for at in 0u32.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    write(&*store, answers(append(tree(n), u64::from(at), 1), 0, at, 1)).await.unwrap();
                }
            })
        })
        .collect();
    for nth in 0..5 {
        let confirmed = queue(&*fixture.store, append(tree(10 + nth), 0, 3));
        confirmed.await.unwrap().unwrap();
        let copy = fixture.path().with_file_name(format!("copy {nth}.db"));
        let bytes = fixture.store.backup(&copy).await.unwrap();
        assert_eq!(bytes, std::fs::metadata(&copy).unwrap().len());
        let copy = open(&copy).await.unwrap();
        check_sound(&*copy).await;
        check_log(&*copy, tree(10 + nth), 3).await;
        for n in 1..=2 {
            // Event and answer were appended together.
            let last_seq = copy.tree(tree(n)).await.unwrap().map_or(0, |summary| summary.last_seq);
            check_log(&*copy, tree(n), last_seq).await;
            check_journal(&*copy, tree(n), 0, last_seq as u32).await;
        }
        // A copy is a store like any other: its trees wait for a host.
        assert!(copy.adopt(tree(10 + nth)).await.unwrap());
        write(&*copy, append(tree(10 + nth), 3, 1)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let folder: Vec<_> = std::fs::read_dir(fixture.path().parent().unwrap()).unwrap().collect();
    assert!(folder.iter().flatten().all(|entry| !entry.path().to_string_lossy().ends_with("partial")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_everything_that_a_tree_has() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let mut whole = answers(append(tree(1), 0, 3), 1, 0, 100);
    whole.journal.push(pleach_store::JournalEntry { blob: Some(blob("large")), ..entry(tree(1), 2, 0) });
    write(&*fixture.store, whole).await.unwrap();
    fixture.store.put_snapshot(tree(1), 2, b"state".to_vec()).await.unwrap();
    fixture.store.post(tree(1), b"cancel".to_vec()).await.unwrap();
    let copy = fixture.path().with_file_name("copy.db");
    fixture.store.backup(&copy).await.unwrap();
    let copy = open(&copy).await.unwrap();
    check_log(&*copy, tree(1), 3).await;
    check_journal(&*copy, tree(1), 1, 100).await;
    assert_eq!(copy.journal(tree(1), 2).await.unwrap(), [answer(tree(1), 2, 0)]);
    assert_eq!(copy.blob(&blob("large").digest).await.unwrap().as_deref(), Some(&b"large"[..]));
    assert_eq!(copy.snapshot(tree(1)).await.unwrap(), Some((2, b"state".to_vec())));
    assert_eq!(copy.tree_size(tree(1)).await.unwrap(), fixture.store.tree_size(tree(1)).await.unwrap());
    check_sound(&*copy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_takes_no_files_place() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 3)).await.unwrap();
    let taken = fixture.path().with_file_name("taken");
    std::fs::write(&taken, "").unwrap();
    for path in [&taken, &fixture.path()] {
        let error = fixture.store.backup(path).await.unwrap_err();
        assert_eq!(error, Error::BackupExists { path: path.display().to_string() });
    }
    assert_eq!(std::fs::read(&taken).unwrap(), b"");
    // Of several at once one is written, and it is whole.
    let one = fixture.path().with_file_name("one.db");
    let (a, b) = tokio::join!(fixture.store.backup(&one), fixture.store.backup(&one));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    check_log(&*open(&one).await.unwrap(), tree(1), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_cannot_be_written_names_its_file() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    write(&*fixture.store, append(tree(1), 0, 3)).await.unwrap();
    let file = fixture.path().with_file_name("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.join("copy.db"), fixture.path().with_file_name("no folder").join("copy.db"), "/".into()] {
        let error = fixture.store.backup(&path).await.unwrap_err();
        assert!(matches!(error, Error::BackupFailed { .. } | Error::BackupExists { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    let memory = Fixture::new(Kind::Memory).await;
    let error = memory.store.backup(&memory.path()).await.unwrap_err();
    assert_eq!(error, Error::NoBackup);
    assert!(error.to_string().contains("sqlite:PATH"));
}

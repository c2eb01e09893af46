//! A write-ahead log that ends early, as a machine that loses power leaves it.
//!
//! What SQLite guarantees: a commit counts once all its pages are in the log with
//! their checksums, the last of them marked as the end of a commit. So a log that is
//! cut gives the state after the last commit that is wholly before the cut: a prefix
//! of what was confirmed, in whole commits. With `synchronous = FULL` a commit is
//! confirmed only once it is on disk, so only a disk that lies, or a file that was
//! damaged later, loses any of it.

use std::fs;

use crate::fixture::{Fixture, Kind, answers, append, check_journal, check_log, check_sound, open, tree, write};

const COMMITS: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_ends_early_gives_whole_commits_up_to_there() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let log = fixture.path().with_extension("db-wal");
    let log_len = || fs::metadata(&log).unwrap().len() as usize;
    // Where the log ends after each commit; each is events, answers and all.
    let mut ends = vec![log_len()];
    for nth in 0..COMMITS {
        write(&*fixture.store, answers(append(tree(1), nth * 3, 3), 2, nth as u32 * 4, 4)).await.unwrap();
        ends.push(log_len());
    }
    assert!(ends.is_sorted_by(|a, b| a < b), "no checkpoint came between: {ends:?}");
    let (database, whole) = (fs::read(fixture.path()).unwrap(), fs::read(&log).unwrap());

    let mut cuts: Vec<usize> = (ends[0]..=whole.len()).step_by(3_001).collect();
    cuts.extend(ends.iter().flat_map(|end| [end - 1, *end, end + 1]).filter(|cut| *cut <= whole.len()));
    let folder = tempfile::tempdir().unwrap();
    for (nth, cut) in cuts.into_iter().enumerate() {
        let copy = folder.path().join(format!("{nth}.db"));
        fs::write(&copy, &database).unwrap();
        fs::write(copy.with_extension("db-wal"), &whole[..cut]).unwrap();
        let commits = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1) as u64;
        let store = match open(&copy).await {
            Ok(store) => store,
            Err(error) => panic!("cut to {cut}: {error}"),
        };
        check_log(&*store, tree(1), commits * 3).await;
        check_journal(&*store, tree(1), 2, commits as u32 * 4).await;
        check_sound(&*store).await;
        // From there it goes on.
        if commits > 0 {
            assert!(store.adopt(tree(1)).await.unwrap());
        }
        write(&*store, answers(append(tree(1), commits * 3, 3), 2, commits as u32 * 4, 4)).await.unwrap();
        check_journal(&*store, tree(1), 2, commits as u32 * 4 + 4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_log_ends_it_there() {
    let fixture = Fixture::new(Kind::Sqlite).await;
    let log = fixture.path().with_extension("db-wal");
    let mut ends = vec![fs::metadata(&log).unwrap().len() as usize];
    for nth in 0..COMMITS {
        write(&*fixture.store, answers(append(tree(1), nth, 1), 2, nth as u32, 1)).await.unwrap();
        ends.push(fs::metadata(&log).unwrap().len() as usize);
    }
    let (database, whole) = (fs::read(fixture.path()).unwrap(), fs::read(&log).unwrap());
    let folder = tempfile::tempdir().unwrap();
    for at in (ends[0]..whole.len()).step_by(9_973) {
        let copy = folder.path().join(format!("{at}.db"));
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        fs::write(&copy, &database).unwrap();
        fs::write(copy.with_extension("db-wal"), flipped).unwrap();
        let commits = ends.iter().filter(|end| **end <= at).count() as u64 - 1;
        let store = open(&copy).await.unwrap();
        check_log(&*store, tree(1), commits).await;
        check_journal(&*store, tree(1), 2, commits as u32).await;
        check_sound(&*store).await;
    }
}

//! A process that is killed while it appends: the file opens, and everything that
//! was confirmed is there.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pleach_store::Owner;
use tokio::sync::Semaphore;

use crate::fixture::{append, check_log, open, tree, write};

const CHILD: &str = "PLEACH_STORE_TEST_CHILD";
const NAME: &str = "kill::a_killed_writer_loses_nothing_that_was_confirmed";
const TREES: u128 = 5;
/// The parent kills the child after so many confirmations.
const CONFIRMED: usize = 300;
/// Appends that the child has in flight, so that it is killed in the middle of some.
const IN_FLIGHT: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_loses_nothing_that_was_confirmed() {
    if let Ok(path) = std::env::var(CHILD) {
        return append_until_killed(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pleach.db");
    for round in 0..3 {
        let confirmed = kill_while_appending(&path, round);
        let store = open(&path).await.unwrap();
        for n in 0..TREES {
            let root = tree(u128::from(round) * TREES + n);
            let last_seq = store.tree(root).await.unwrap().map_or(0, |summary| summary.last_seq);
            let told = confirmed.get(&n).copied().unwrap_or(0);
            assert!(last_seq >= told, "{told} were confirmed, {last_seq} are there");
            check_log(&*store, root, last_seq).await;
            if last_seq > 0 {
                assert_eq!(store.owner(root).await.unwrap(), Owner::Dead);
                assert!(store.adopt(root).await.unwrap());
                write(&*store, append(root, last_seq, 1)).await.unwrap();
            }
        }
        store.close().await.unwrap();
    }
}

/// The last seq of each tree that the child said was durable before it was killed.
fn kill_while_appending(path: &Path, round: u8) -> HashMap<u128, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, path)
        .env("PLEACH_STORE_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut confirmed = HashMap::new();
    let mut count = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The test harness says something too, and the last line may be torn.
        let Some(told) = line.strip_prefix("durable ").and_then(|told| told.strip_suffix('.')) else {
            continue;
        };
        let (n, seq) = told.split_once(' ').unwrap();
        confirmed.insert(n.parse().unwrap(), seq.parse().unwrap());
        count += 1;
        if count == CONFIRMED {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && count >= CONFIRMED, "killed in the middle: {status}, {count}");
    confirmed
}

async fn append_until_killed(path: &Path) {
    let round: u128 = std::env::var("PLEACH_STORE_TEST_ROUND").unwrap().parse().unwrap();
    let store = open(path).await.unwrap();
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    for nth in 0.. {
        for n in 0..TREES {
            let permit = permits.clone().acquire_owned().await.unwrap();
            let done = move |result: Result<(), pleach_store::Error>| {
                result.unwrap();
                // Straight to the pipe: a test's own output may be held back.
                let line = format!("durable {n} {}.\n", nth * 3 + 3);
                std::io::stdout().write_all(line.as_bytes()).unwrap();
                drop(permit);
            };
            store.append(append(tree(round * TREES + n), nth * 3, 3), Box::new(done));
        }
    }
}

//! A process that is killed while it writes everything that can be written: the file
//! opens, what was confirmed is there, and nothing is there in part.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use pleach_kernel::Timestamp;
use pleach_store::{Append, Blob, Error, JournalEntry, Owner, Store};
use tokio::sync::Semaphore;

use crate::fixture::{answers, append, blob, check_journal, check_log, check_sound, entry, open, tree, write};

const CHILD: &str = "PLEACH_STORE_TEST_CHILD";
const ROUND: &str = "PLEACH_STORE_TEST_ROUND";
const NAME: &str = "kill::a_killed_writer_loses_nothing_that_was_confirmed_and_leaves_no_half";
const TREES: u128 = 4;
const ROUNDS: u64 = 32;
/// Appends that the child has in flight, so that it is killed in the middle of some.
const IN_FLIGHT: usize = 20;
/// Each append has so many events and, to run 1, so many answers.
const EVENTS: u64 = 3;
const ANSWERS: u64 = 2;
/// After so many appends the journal is forgotten and begins anew: some rows have
/// been merged by then.
const TRY: u64 = 40;
const SNAPSHOT_EVERY: u64 = 7;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_loses_nothing_that_was_confirmed_and_leaves_no_half() {
    if let Ok(path) = std::env::var(CHILD) {
        let round = std::env::var(ROUND).unwrap().parse().unwrap();
        return write_until_killed(open(Path::new(&path)).await.unwrap(), round).await;
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = since.as_nanos() as u64;
    println!("the instants of the kills are those of seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pleach.db");
    let (mut snapshots, mut removed) = (0, 0);
    for round in 0..ROUNDS {
        // splitmix64, so that neighbouring rounds are unlike.
        let mut z = seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let told = kill_while_writing(&path, round, 1 + (z ^ (z >> 27)) as usize % 600);
        let store = open(&path).await.unwrap();
        check_sound(&*store).await;
        for n in 0..TREES {
            check_tree(&*store, round, n, &told).await;
        }
        for removed in &told.removed {
            check_log(&*store, passing(round, *removed), 0).await;
        }
        check_sound(&*store).await;
        store.close().await.unwrap();
        (snapshots, removed) = (snapshots + told.snapshots.len(), removed + told.removed.len());
    }
    println!("{snapshots} snapshots and {removed} removals were confirmed");
    // Or the test has lost its point.
    assert!(snapshots > 0 && removed > 0);
}

/// The nth tree of a round that goes on for ever.
fn lasting(round: u64, n: u128) -> pleach_kernel::RootId {
    tree(u128::from(round) * 1_000_000 + n)
}

/// The nth tree of a round that ends and is removed.
fn passing(round: u64, n: u64) -> pleach_kernel::RootId {
    tree(u128::from(round) * 1_000_000 + 1_000 + u128::from(n))
}

fn state(seq: u64) -> Vec<u8> {
    format!("the state after {seq} ").into_bytes().repeat(500)
}

fn large_answer(n: u128, nth: u64) -> Blob {
    // Every other one is the same in all trees.
    let of = if nth.is_multiple_of(2) { n } else { 0 };
    blob(&format!("a large answer {} to {of}", nth / 8).repeat(100))
}

/// The nth append to a tree: events, answers, a blob, and now and then a new try.
fn nth_append(round: u64, n: u128, nth: u64) -> Append {
    let (root, at) = (lasting(round, n), (nth % TRY * ANSWERS) as u32);
    let mut append = answers(append(root, nth * EVENTS, EVENTS), 1, at, ANSWERS as u32 - 1);
    let last = entry(root, 1, at + ANSWERS as u32 - 1);
    append.journal.push(JournalEntry { blob: Some(large_answer(n, nth)), ..last });
    if at == 0 && nth > 0 {
        append.forget = vec![1];
    }
    append
}

async fn check_tree(store: &dyn Store, round: u64, n: u128, told: &Told) {
    let root = lasting(round, n);
    let last_seq = store.tree(root).await.unwrap().map_or(0, |summary| summary.last_seq);
    let confirmed = told.seqs.get(&n).copied().unwrap_or(0);
    assert!(last_seq >= confirmed, "round {round}: {confirmed} were confirmed, {last_seq} are there");
    check_log(store, root, last_seq).await;
    assert_eq!(last_seq % EVENTS, 0, "no append is there in part");
    let appends = last_seq / EVENTS;
    let in_try = if appends == 0 { 0 } else { (appends - 1) % TRY + 1 };
    check_journal(store, root, 1, (in_try * ANSWERS) as u32).await;
    for nth in appends - in_try..appends {
        let large = large_answer(n, nth);
        assert_eq!(store.blob(&large.digest).await.unwrap(), Some(large.body));
    }
    let snapshot = store.snapshot(root).await.unwrap();
    let seq = snapshot.as_ref().map_or(0, |(seq, _)| *seq);
    assert!(seq >= told.snapshots.get(&n).copied().unwrap_or(0), "round {round}: a snapshot was confirmed");
    if let Some((seq, body)) = snapshot {
        assert!(body == state(seq));
    }
    if last_seq > 0 {
        assert_eq!(store.owner(root).await.unwrap(), Owner::Dead);
        assert!(store.adopt(root).await.unwrap());
        write(store, nth_append(round, n, appends)).await.unwrap();
    }
}

/// What the child said was durable before it was killed.
#[derive(Default)]
struct Told {
    seqs: HashMap<u128, u64>,
    snapshots: HashMap<u128, u64>,
    removed: HashSet<u64>,
}

fn kill_while_writing(path: &Path, round: u64, after: usize) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = Told::default();
    let mut count = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The test harness says something too, and the last line may be torn.
        let Some(said) = line.strip_suffix('.') else {
            continue;
        };
        let said: Vec<&str> = said.split(' ').collect();
        match said[..] {
            ["durable", n, seq] => told.seqs.insert(n.parse().unwrap(), seq.parse().unwrap()),
            ["snapshot", n, seq] => told.snapshots.insert(n.parse().unwrap(), seq.parse().unwrap()),
            ["removed", n] => told.removed.insert(n.parse().unwrap()).then_some(0),
            _ => continue,
        };
        count += 1;
        if count == after {
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && count >= after, "killed in the middle: {status}, {count}");
    told
}

/// Straight to the pipe: a test's own output may be held back.
fn say(line: String) {
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

async fn write_until_killed(store: Arc<dyn Store>, round: u64) {
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    for nth in 0.. {
        for n in 0..TREES {
            let permit = permits.clone().acquire_owned().await.unwrap();
            let done = move |result: Result<(), Error>| {
                result.unwrap();
                say(format!("durable {n} {}.\n", (nth + 1) * EVENTS));
                drop(permit);
            };
            store.append(nth_append(round, n, nth), Box::new(done));
            if nth % SNAPSHOT_EVERY == 0 {
                let seq = (nth + 1) * EVENTS;
                // The future lives as long as the store's handle, which is for ever.
                let kept = Box::leak(Box::new(store.clone())).put_snapshot(lasting(round, n), seq, state(seq));
                tokio::spawn(async move {
                    kept.await.unwrap();
                    say(format!("snapshot {n} {seq}.\n"));
                });
            }
        }
        tokio::spawn(end_and_remove(store.clone(), round, nth));
    }
}

async fn end_and_remove(store: Arc<dyn Store>, round: u64, n: u64) {
    let root = passing(round, n);
    write(&*store, answers(append(root, 0, 3), 0, 0, 3)).await.unwrap();
    let mut last = Append { forget: vec![0], ..append(root, 3, 2) };
    last.summary.finished_at = Some(Timestamp(9_000));
    write(&*store, last).await.unwrap();
    store.remove(root).await.unwrap();
    say(format!("removed {n}.\n"));
}

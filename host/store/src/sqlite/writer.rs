//! The one thread that writes. It takes whatever waits, for all trees together, as
//! one transaction with one wait for the disk, and only then tells everybody.

use std::sync::atomic::Ordering;

use pleach_kernel::RootId;
use rusqlite::Connection;

use super::batch::{Batch, Trouble};
use super::doomed::Doomed;
use super::queue::{AbandonOnExit, Job, Queued};
use super::task::{self, Task};
use super::{Shared, fault};
use crate::{Done, Error};

/// The thread, until the queue is closed and empty.
pub(super) fn run(connection: Connection, shared: &Shared) {
    let _abandon = AbandonOnExit(&shared.queue);
    let mut writer = Writer { connection, shared, doomed: Doomed::default() };
    while let Some(group) = shared.queue.next_group() {
        let bytes = group.bytes();
        // Like the engine's and the sandbox's stages: seen by whoever listens.
        tracing::trace_span!(target: "pleach::stage", "commit").in_scope(|| writer.serve(group.jobs));
        shared.queue.finished(bytes);
    }
    // The next to open it need not read the log again. Whatever stands in the way
    // (another process that reads) does not matter: the log is as good.
    let emptied = writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = emptied {
        tracing::debug!(%error, "the write-ahead log stays");
    }
}

struct Writer<'a> {
    connection: Connection,
    shared: &'a Shared,
    doomed: Doomed,
}

/// Somebody to tell when the transaction has ended.
enum Answer {
    Append { root: RootId, done: Done, result: Result<(), Error> },
    Task(Box<dyn Task>),
}

impl Writer<'_> {
    /// Serves a group in order: as one transaction, but for tasks that run alone.
    fn serve(&mut self, jobs: Vec<Job>) {
        let mut together = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job {
                Job::Task(mut task) if task.is_alone() => {
                    if !together.is_empty() {
                        self.commit(std::mem::take(&mut together));
                    }
                    let failed = task.run(&self.connection).err();
                    task.answer(failed.as_ref());
                }
                Job::Task(_) | Job::Append(_) => together.push(job),
            }
        }
        if !together.is_empty() {
            self.commit(together);
        }
    }

    /// Writes jobs in one transaction and answers everybody in it.
    fn commit(&mut self, jobs: Vec<Job>) {
        let served = jobs.iter().filter_map(ticket).max().unwrap_or(0);
        let mut jobs = jobs.into_iter();
        let mut answers = Vec::with_capacity(jobs.len());
        let written = self.write(&mut jobs, &mut answers);
        let failed = written.err();
        match &failed {
            None => {
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                self.shared.watcher.committed();
            }
            Some(error) => {
                // Everybody in it is told.
                tracing::info!(%error, "a group of writes failed and was taken back");
                self.take_back();
                answers.extend(jobs.map(unserved));
            }
        }
        for answer in answers {
            match answer {
                Answer::Task(task) => task.answer(failed.as_ref()),
                Answer::Append { root, done, result } => {
                    let result = match (&failed, result) {
                        // Doomed it stays: its owner knows of an earlier failure.
                        (_, Err(error @ Error::AfterFailure { .. })) => Err(error),
                        (Some(error), _) => Err(error.clone()),
                        (None, result) => result,
                    };
                    self.doomed.tell(root, done, result, &self.shared.queue);
                }
            }
        }
        self.doomed.end_group(served);
    }

    /// One transaction. An error means that none of it counts.
    fn write(&mut self, jobs: &mut impl Iterator<Item = Job>, answers: &mut Vec<Answer>) -> Result<(), Error> {
        let conn = &self.connection;
        // Waits here, and only here, for other processes that write.
        conn.execute_batch("BEGIN IMMEDIATE").map_err(fault::during("starting to write", conn))?;
        let mut batch = Batch::new(conn, self.shared.hosts.id());
        for job in jobs {
            let (answer, broken) = match job {
                Job::Append(mut queued) => {
                    let root = queued.append.root;
                    let (result, broken) = match append(&mut batch, &mut queued, &self.doomed) {
                        Ok(()) => (Ok(()), None),
                        Err(Trouble::Append(error)) => {
                            self.doomed.failed(root, &error, &self.shared.queue);
                            (Err(error), None)
                        }
                        Err(Trouble::Database(error)) => (Ok(()), Some(error)),
                    };
                    (Answer::Append { root, done: queued.done, result }, broken)
                }
                Job::Task(mut task) => {
                    let broken = batch.flush().and_then(|()| task::run(conn, &mut *task)).err();
                    (Answer::Task(task), broken)
                }
            };
            // Before anything else: a job that is not among the answers gets none.
            answers.push(answer);
            if let Some(error) = broken {
                return Err(error);
            }
        }
        batch.flush()?;
        conn.execute_batch("COMMIT").map_err(fault::during("committing", conn))?;
        self.shared.events.fetch_add(batch.events(), Ordering::Relaxed);
        Ok(())
    }

    /// Ends a transaction that failed. SQLite has done so itself after some errors.
    fn take_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }
}

fn ticket(job: &Job) -> Option<u64> {
    match job {
        Job::Append(queued) => Some(queued.ticket),
        Job::Task(_) => None,
    }
}

/// A job whose turn did not come, because one before it ended the transaction.
fn unserved(job: Job) -> Answer {
    match job {
        Job::Append(queued) => Answer::Append { root: queued.append.root, done: queued.done, result: Ok(()) },
        Job::Task(task) => Answer::Task(task),
    }
}

fn append(batch: &mut Batch<'_>, queued: &mut Queued, doomed: &Doomed) -> Result<(), Trouble> {
    doomed.check(queued).map_err(Trouble::Append)?;
    match queued.refused.take() {
        Some(error) => Err(Trouble::Append(error)),
        None => batch.append(&mut queued.append),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;

    use pleach_kernel::{Tenant, Timestamp};

    use super::super::queue::Queue;
    use super::super::readers::Readers;
    use super::super::task::task;
    use super::super::watch::Watcher;
    use super::super::{check, journal, open, policies, tree};
    use super::*;
    use crate::{Append, Blob, JournalEntry, TreeSummary, digest};

    /// A store's parts without its threads, so that the disk can be filled between
    /// two groups.
    fn parts(path: &Path) -> (Connection, Shared) {
        let opened = open::open(path).unwrap();
        let shared = Shared {
            readers: Readers::new(opened.reading),
            path: opened.path,
            queue: Queue::new(),
            hosts: opened.hosts,
            watcher: Watcher::new(),
            commits: AtomicU64::new(0),
            events: AtomicU64::new(0),
        };
        (opened.connection, shared)
    }

    const EVENT_BYTES: usize = 1000;

    fn append(root: u128, after: u64, count: u64) -> Append {
        let (root, tenant) = (RootId(root), Tenant::default_tenant());
        let summary = TreeSummary {
            root,
            tenant: tenant.clone(),
            plugin: "lead".into(),
            status: "running".into(),
            created_at: Timestamp(1),
            finished_at: None,
            run_count: 1,
            last_seq: after + count,
            policy_version: 1,
        };
        let events = (0..count).map(|_| vec![b'x'; EVENT_BYTES].into()).collect();
        Append { root, tenant, expected_seq: after, events, summary, forget: vec![], journal: vec![] }
    }

    impl Writer<'_> {
        /// Commits appends as one group and gives back what each was told.
        fn appended(&mut self, appends: Vec<Append>) -> Vec<Result<(), Error>> {
            let (told, answers) = mpsc::channel();
            for append in appends {
                let told = told.clone();
                self.shared.queue.append(append, Box::new(move |result| told.send(result).unwrap()));
            }
            let group = self.shared.queue.next_group().unwrap();
            let bytes = group.bytes();
            self.serve(group.jobs);
            self.shared.queue.finished(bytes);
            answers.try_iter().collect()
        }

        /// Lets the file grow by so many pages and no more.
        fn leave_pages(&self, pages: i64) {
            let count: i64 = self.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            let limit = format!("PRAGMA max_page_count = {}", count + pages);
            self.connection.query_row(&limit, [], |_| Ok(())).unwrap();
        }

        fn last_seq(&self, root: u128) -> u64 {
            let events = tree::events(&self.connection, RootId(root), 1, usize::MAX).unwrap();
            let summary = tree::summary(&self.connection, RootId(root)).unwrap();
            assert_eq!(summary.map_or(0, |summary| summary.last_seq), events.len() as u64);
            events.len() as u64
        }
    }

    #[test]
    fn a_full_disk_fails_the_group_and_loses_nothing_that_was_confirmed() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, shared) = parts(&folder.path().join("pleach.db"));
        let mut writer = Writer { connection, shared: &shared, doomed: Doomed::default() };
        assert_eq!(writer.appended(vec![append(1, 0, 5), append(2, 0, 5)]), [Ok(()), Ok(())]);

        writer.leave_pages(4);
        let answers = writer.appended(vec![append(1, 5, 3), append(2, 5, 100), append(3, 0, 1)]);
        assert_eq!(answers.len(), 3);
        for answer in answers {
            let error = answer.unwrap_err();
            assert!(matches!(error, Error::Full { .. }), "{error}");
            assert!(error.to_string().contains("pleach.db"), "{error}");
        }
        assert_eq!([1, 2, 3].map(|root| writer.last_seq(root)), [5, 5, 0]);
        assert_eq!(shared.queue.queued_bytes(), 0);

        // There is room for something small still, and later for everything.
        assert_eq!(writer.appended(vec![append(1, 5, 1)]), [Ok(())]);
        writer.leave_pages(1000);
        let answers = writer.appended(vec![append(1, 6, 3), append(2, 5, 100), append(3, 0, 1)]);
        assert_eq!(answers, [Ok(()), Ok(()), Ok(())]);
        assert_eq!([1, 2, 3].map(|root| writer.last_seq(root)), [9, 105, 1]);
        assert_eq!(shared.commits.load(Ordering::Relaxed), 3);
        assert_eq!(shared.events.load(Ordering::Relaxed), 10 + 1 + 104);
    }

    /// The same, with answers to run 0, each with a blob of its own.
    fn journaled(mut append: Append, from: u32, count: u32) -> Append {
        let entry = |position: u32| {
            let body = format!("{position} of {}", append.root).repeat(EVENT_BYTES).into_bytes();
            let blob = Some(Blob { digest: digest(&body), body });
            JournalEntry { run: 0, position, body: vec![b'y'; EVENT_BYTES], blob }
        };
        append.journal = (from..from + count).map(entry).collect();
        append
    }

    #[test]
    fn a_full_disk_leaves_no_event_without_its_answers() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, shared) = parts(&folder.path().join("pleach.db"));
        let mut writer = Writer { connection, shared: &shared, doomed: Doomed::default() };
        assert_eq!(writer.appended(vec![journaled(append(1, 0, 2), 0, 63)]), [Ok(())]);
        let answers = |writer: &Writer<'_>| journal::read(&writer.connection, RootId(1), 0).unwrap().len();
        let mut room = 1;
        // With ever more room, at each place where it can run out. The answer completes
        // a block, so rows are merged as well.
        loop {
            writer.leave_pages(room);
            let mut last = journaled(append(1, 2, 30), 63, 3);
            last.forget = if room % 2 == 0 { vec![] } else { vec![9] };
            match &writer.appended(vec![last])[..] {
                [Ok(())] => break,
                [Err(error @ Error::Full { .. })] => assert!(error.to_string().contains("pleach.db"), "{error}"),
                other => panic!("{other:?}"),
            }
            assert_eq!((writer.last_seq(1), answers(&writer)), (2, 63), "{room} pages were left");
            assert_eq!(check::run(&writer.connection), Ok(vec![]));
            room += 1;
        }
        assert!(room > 10, "it failed in many places");
        assert_eq!((writer.last_seq(1), answers(&writer)), (32, 66));
        assert_eq!(check::run(&writer.connection), Ok(vec![]));
    }

    #[test]
    fn a_task_that_fills_the_disk_fails_with_a_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, shared) = parts(&folder.path().join("pleach.db"));
        let mut writer = Writer { connection, shared: &shared, doomed: Doomed::default() };
        writer.leave_pages(4);
        let document = "x".repeat(100_000);
        let (putting, mut put) = task(move |conn| policies::put(conn, &Tenant::default_tenant(), &document));
        shared.queue.task(putting, 0);
        let answers = writer.appended(vec![append(1, 0, 1)]);
        let error = put.try_recv().unwrap().unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error}");
        // What shared its transaction is written or told of the failure, no third way.
        match &answers[..] {
            [Ok(())] => assert_eq!(writer.last_seq(1), 1),
            [Err(Error::Full { .. })] => assert_eq!(writer.last_seq(1), 0),
            other => panic!("{other:?}"),
        }
        assert_eq!(policies::list(&writer.connection, &Tenant::default_tenant()), Ok(vec![]));
    }

    #[test]
    fn a_task_that_is_refused_takes_back_what_it_did_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, shared) = parts(&folder.path().join("pleach.db"));
        let mut writer = Writer { connection, shared: &shared, doomed: Doomed::default() };
        let (refusing, mut refused) = task(|conn| {
            policies::put(conn, &Tenant::default_tenant(), "{}")?;
            Err::<(), _>(Error::NoSuchTree { tree: RootId(9) })
        });
        let (putting, mut put) = task(|conn| policies::put(conn, &Tenant::default_tenant(), "{\"kept\":1}"));
        shared.queue.task(refusing, 0);
        shared.queue.task(putting, 0);
        assert_eq!(writer.appended(vec![append(1, 0, 1)]), [Ok(())]);
        assert_eq!(refused.try_recv().unwrap(), Err(Error::NoSuchTree { tree: RootId(9) }));
        assert_eq!(put.try_recv().unwrap(), Ok(1));
        assert_eq!(writer.last_seq(1), 1);
        let kept = policies::list(&writer.connection, &Tenant::default_tenant());
        assert_eq!(kept, Ok(vec![(1, "{\"kept\":1}".into())]));
    }
}

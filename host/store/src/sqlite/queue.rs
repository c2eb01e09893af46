//! The queue in front of the one writer. Any number of threads add to it and never
//! wait; the writer takes everything that is there at once, which is what makes a
//! group commit. What is done with a group is the writer's business.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::task::Task;
use crate::callback::tell;
use crate::{Append, Done, Error};

/// From here on whoever takes in new work should wait for [`Store::room`](crate::Store::room).
/// Appends are still taken: the trees they belong to run already.
pub const QUEUE_HIGH_WATER_BYTES: u64 = 64 << 20;

/// From here on appends fail, because memory is not endless and nobody listened.
pub const QUEUE_LIMIT_BYTES: u64 = 512 << 20;

/// One group is no larger than this, so that nobody waits for a very long commit.
const GROUP_LIMIT_BYTES: usize = 32 << 20;

/// What a task is taken to weigh, beside what it holds.
const TASK_BYTES: usize = 256;

/// Something to write.
pub(super) enum Job {
    Append(Box<Queued>),
    Task(Box<dyn Task>),
}

/// An append in its place in the queue.
pub(super) struct Queued {
    /// Numbers rise in queue order.
    pub(super) ticket: u64,
    pub(super) append: Append,
    /// Set where the queue was full, or a blob wrong; the contents are gone then.
    pub(super) refused: Option<Error>,
    pub(super) done: Done,
}

/// Jobs that the writer took together.
pub(super) struct Group {
    pub(super) jobs: Vec<Job>,
    bytes: usize,
}

pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// Told when `bytes` falls below the high-water mark.
    room: Notify,
}

struct State {
    /// Each with what it weighs.
    jobs: VecDeque<(Job, usize)>,
    /// Of the jobs and of the group that is being written.
    bytes: usize,
    /// The last ticket given out.
    issued: u64,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        let state = State { jobs: VecDeque::new(), bytes: 0, issued: 0, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new(), room: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an append; tells `done` at once where the queue is closed.
    pub(super) fn append(&self, mut append: Append, done: Done) {
        let mut weight = append.bytes();
        let mismatch = append.check_blobs().err();
        let mut state = self.state();
        if state.closed {
            drop(state);
            return tell(done, Err(Error::Closed));
        }
        let queued_bytes = state.bytes as u64;
        let overloaded = (queued_bytes + weight as u64 > QUEUE_LIMIT_BYTES && queued_bytes > 0)
            .then_some(Error::Overloaded { tree: append.root, queued_bytes });
        let refused = overloaded.or(mismatch);
        if refused.is_some() {
            // It keeps its place, so that answers stay in order, but not its weight.
            append.strip();
            weight = append.bytes();
        }
        state.issued += 1;
        let ticket = state.issued;
        state.push(Job::Append(Box::new(Queued { ticket, append, refused, done })), weight);
        drop(state);
        self.filled.notify_one();
    }

    /// Adds a task that holds so many bytes, which count like those of appends. Where
    /// the queue is closed the task is dropped, which its answer shows.
    pub(super) fn task(&self, task: Box<dyn Task>, bytes: usize) {
        let mut state = self.state();
        if !state.closed {
            state.push(Job::Task(task), TASK_BYTES + bytes);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Waits for jobs and takes them; none once the queue is closed and empty.
    pub(super) fn next_group(&self) -> Option<Group> {
        let mut state = self.state();
        while state.jobs.is_empty() {
            if state.closed {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut group = Group { jobs: Vec::with_capacity(state.jobs.len()), bytes: 0 };
        while let Some((_, weight)) = state.jobs.front() {
            if !group.jobs.is_empty() && group.bytes + weight > GROUP_LIMIT_BYTES {
                break;
            }
            if let Some((job, weight)) = state.jobs.pop_front() {
                group.bytes += weight;
                group.jobs.push(job);
            }
        }
        Some(group)
    }

    /// Takes a group's weight off, once everybody in it has been answered.
    pub(super) fn finished(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(bytes);
        let room = (state.bytes as u64) < QUEUE_HIGH_WATER_BYTES;
        drop(state);
        if room {
            self.room.notify_waiters();
        }
    }

    /// Takes nothing more. What is queued is still to be written.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_all();
    }

    /// Closes and answers everybody: for a writer that cannot go on.
    fn abandon(&self) {
        let mut state = self.state();
        state.closed = true;
        state.bytes = 0;
        let jobs = take(&mut state.jobs);
        drop(state);
        for (job, _) in jobs {
            match job {
                Job::Append(queued) => tell(queued.done, Err(Error::Closed)),
                // Whoever waits for it sees that it was dropped.
                Job::Task(_) => {}
            }
        }
        self.room.notify_waiters();
    }

    pub(super) fn queued_bytes(&self) -> u64 {
        self.state().bytes as u64
    }

    /// The last ticket given out.
    pub(super) fn issued(&self) -> u64 {
        self.state().issued
    }

    /// Whether less than the high-water mark waits.
    pub(super) fn has_room(&self) -> bool {
        self.queued_bytes() < QUEUE_HIGH_WATER_BYTES
    }

    /// Resolves below the high-water mark.
    pub(super) async fn room(&self) {
        loop {
            let told = self.room.notified();
            tokio::pin!(told);
            // Listening starts before looking, or the last word could be missed.
            told.as_mut().enable();
            if self.has_room() {
                return;
            }
            told.await;
        }
    }
}

impl State {
    fn push(&mut self, job: Job, weight: usize) {
        self.bytes += weight;
        self.jobs.push_back((job, weight));
    }
}

impl Group {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Abandons the queue when the writer's thread ends, however it ends, so that
/// nobody waits for an answer that cannot come.
pub(super) struct AbandonOnExit<'a>(pub(super) &'a Queue);

impl Drop for AbandonOnExit<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use pleach_kernel::{RootId, Tenant, Timestamp};
    use tokio::sync::oneshot::error::TryRecvError;

    use super::super::task::task;
    use super::*;
    use crate::TreeSummary;

    fn append(events: Vec<Vec<u8>>) -> Append {
        let events: Vec<Arc<[u8]>> = events.into_iter().map(Into::into).collect();
        let (root, tenant) = (RootId(1), Tenant::default_tenant());
        let summary = TreeSummary {
            root,
            tenant: tenant.clone(),
            plugin: "lead".into(),
            status: "running".into(),
            created_at: Timestamp(1),
            finished_at: None,
            run_count: 1,
            last_seq: events.len() as u64,
            policy_version: 1,
        };
        Append { root, tenant, expected_seq: 0, events, summary, forget: vec![], journal: vec![] }
    }

    #[test]
    fn a_group_takes_what_waits_up_to_its_limit() {
        let queue = Queue::new();
        for _ in 0..5 {
            queue.append(append(vec![vec![0; GROUP_LIMIT_BYTES / 2 - 4096]]), Box::new(|_| {}));
        }
        let mut sizes = Vec::new();
        queue.close();
        while let Some(group) = queue.next_group() {
            sizes.push(group.jobs.len());
            queue.finished(group.bytes());
        }
        assert_eq!(sizes, [2, 2, 1]);
        assert_eq!(queue.queued_bytes(), 0);
    }

    #[test]
    fn a_full_queue_refuses_in_order_and_a_closed_one_at_once() {
        let queue = Queue::new();
        let event = vec![vec![0; 16 << 20]];
        let fit = (QUEUE_LIMIT_BYTES / (16 << 20)) as usize - 1;
        for _ in 0..fit + 2 {
            queue.append(append(event.clone()), Box::new(|_| {}));
        }
        queue.close();
        let mut refused = Vec::new();
        while let Some(group) = queue.next_group() {
            for job in &group.jobs {
                let Job::Append(queued) = job else { panic!("only appends were queued") };
                refused.push(matches!(queued.refused, Some(Error::Overloaded { .. })));
            }
            queue.finished(group.bytes());
        }
        assert_eq!(refused.iter().filter(|refused| !**refused).count(), fit);
        assert!(refused[fit..].iter().all(|refused| *refused));

        let (told, answer) = mpsc::channel();
        queue.append(append(vec![]), Box::new(move |result| told.send(result).unwrap()));
        assert_eq!(answer.try_recv().unwrap(), Err(Error::Closed));
        let (refused, mut answer) = task(|_| Ok(()));
        queue.task(refused, 0);
        assert_eq!(answer.try_recv(), Err(TryRecvError::Closed));
    }

    #[tokio::test]
    async fn room_is_there_once_the_writer_has_caught_up() {
        let queue = Queue::new();
        queue.room().await;
        queue.append(append(vec![vec![0; QUEUE_HIGH_WATER_BYTES as usize]]), Box::new(|_| {}));
        let mut waiting = Box::pin(queue.room());
        let now = std::future::poll_fn(|context| std::task::Poll::Ready(waiting.as_mut().poll(context).is_ready()));
        assert!(!now.await, "above the mark there is no room");
        let group = queue.next_group().unwrap();
        queue.finished(group.bytes());
        waiting.await;
    }
}

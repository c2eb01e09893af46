//! Which task has its turn on which worker, and when a worker sleeps.
//!
//! Nobody is missed: who puts a task into a queue looks afterwards whether a worker is
//! asleep, and a worker that falls asleep looks afterwards into the queues. All of that
//! is sequentially consistent, so at least one of the two sees the other.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::ptr::from_ref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::coop::unconstrained;

use super::SHUTDOWN;
use super::queue::{Line, Queue};
use super::task::{BoxFuture, Task};
use crate::handback::{give_back_all, give_back_kept};
use crate::ticker::TICK;

/// A worker looks at its timers after so long.
const BETWEEN_TIMERS: Duration = TICK;

thread_local! {
    /// The worker that this thread is: its scheduler's address, and its number.
    static HERE: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
    /// A task has its turn here; else it is the worker's timers that wake tasks.
    static IN_TURN: Cell<bool> = const { Cell::new(false) };
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a task has its turn on this thread, beside others.
pub(super) fn is_in_turn() -> bool {
    IN_TURN.get()
}

/// A worker's timers, and its threads for files.
pub(super) struct Timers(Option<Runtime>);

impl Timers {
    pub(super) fn new(disk_threads: usize) -> io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        runtime.enable_time().thread_name("pleach-disk").max_blocking_threads(disk_threads);
        Ok(Self(Some(runtime.build()?)))
    }

    fn run(&self, turns: impl Future<Output = ()>) {
        if let Some(runtime) = &self.0 {
            runtime.block_on(turns);
        }
    }

    /// Waits for what is being read or written.
    fn end(mut self, patience: Duration) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(patience);
        }
    }
}

impl Drop for Timers {
    /// Where its thread could not be started: without waiting, which may not be allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

pub(super) struct Scheduler {
    workers: Box<[Worker]>,
    asleep: AtomicUsize,
    searching: AtomicUsize,
    stopping: AtomicBool,
    gone: Mutex<Gone>,
    going: Condvar,
    /// Where the next task goes that comes from outside.
    next_home: AtomicUsize,
}

struct Worker {
    /// None once it has stopped.
    queue: Mutex<Option<Queue<Arc<Task>>>>,
    /// How many wait in it, for those who look for work.
    waiting: AtomicUsize,
    has_next: AtomicBool,
    asleep: AtomicBool,
    /// It looks for work: nobody else need be woken for that.
    searches: AtomicBool,
    waker: OnceLock<Waker>,
    /// Tasks that were spawned here and are not over. None once it has stopped.
    tasks: Mutex<Option<HashMap<usize, Arc<Task>>>>,
}

/// How many workers give no turns any more, and how many threads have ended.
#[derive(Default)]
struct Gone {
    loops: usize,
    threads: usize,
}

impl Scheduler {
    pub(super) fn new(workers: usize) -> Self {
        let worker = || Worker {
            queue: Mutex::new(Some(Queue::default())),
            waiting: AtomicUsize::new(0),
            has_next: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            searches: AtomicBool::new(false),
            waker: OnceLock::new(),
            tasks: Mutex::new(Some(HashMap::new())),
        };
        Self {
            workers: std::iter::repeat_with(worker).take(workers).collect(),
            asleep: AtomicUsize::new(0),
            searching: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            gone: Mutex::default(),
            going: Condvar::new(),
            next_home: AtomicUsize::new(0),
        }
    }

    /// The number of the worker that this thread is.
    fn here(&self) -> Option<usize> {
        HERE.get().filter(|(scheduler, _)| *scheduler == from_ref(self).addr()).map(|(_, number)| number)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    pub(super) fn spawn(self: &Arc<Self>, line: Line, lets_pass: usize, future: BoxFuture<'static, ()>) {
        let home = self.here().unwrap_or_else(|| self.next_home.fetch_add(1, SeqCst) % self.workers.len());
        let task = Task::new(self.clone(), line, lets_pass, home, future);
        match &mut *lock(&self.workers[home].tasks) {
            Some(tasks) => drop(tasks.insert(Arc::as_ptr(&task).addr(), task.clone())),
            None => return,
        }
        self.hand_on(task);
    }

    /// The task is over.
    pub(super) fn forget(&self, task: &Task) {
        let task = lock(&self.workers[task.born].tasks).as_mut().and_then(|tasks| tasks.remove(&from_ref(task).addr()));
        drop(task);
    }

    /// A task was woken. If by another that has its turn, it goes next here; else it waits,
    /// here or where it was last.
    pub(super) fn hand_on(&self, task: Arc<Task>) {
        match self.here() {
            Some(here) if is_in_turn() => {
                let others_wait = self.put(here, |queue| {
                    queue.hand_on(task.line, task.lets_pass, task);
                    queue.waiting() > 0
                });
                if others_wait == Some(true) {
                    self.wake_one();
                }
            }
            here => {
                let home = here.unwrap_or_else(|| task.home.load(SeqCst));
                self.put(home, |queue| queue.push(task.line, task));
                if !self.wake(home) {
                    self.wake_one();
                }
            }
        }
    }

    /// A task that has had a turn wants another: it gives way to whoever waits, or to as
    /// many as it lets pass.
    pub(super) fn put_again(&self, task: Arc<Task>) {
        let Some(here) = self.here().filter(|_| task.lets_pass == 0) else { return self.hand_on(task) };
        let others_wait = self.put(here, |queue| {
            let others_wait = queue.waiting() > 0;
            queue.push(task.line, task);
            others_wait
        });
        // To wake another worker for what this one goes on with next would only move it.
        if others_wait == Some(true) {
            self.wake_one();
        }
    }

    /// Changes a worker's queue, if it has not stopped.
    fn put<T>(&self, number: usize, change: impl FnOnce(&mut Queue<Arc<Task>>) -> T) -> Option<T> {
        let worker = &self.workers[number];
        let mut queue = lock(&worker.queue);
        let queue = queue.as_mut()?;
        let result = change(queue);
        worker.waiting.store(queue.waiting(), SeqCst);
        worker.has_next.store(queue.has_next(), Relaxed);
        Some(result)
    }

    /// Wakes this worker; false if it was awake.
    fn wake(&self, number: usize) -> bool {
        let worker = &self.workers[number];
        let was_asleep = worker.asleep.load(SeqCst) && worker.asleep.swap(false, SeqCst);
        if was_asleep {
            self.asleep.fetch_sub(1, SeqCst);
            worker.wake();
        }
        was_asleep
    }

    /// Wakes a worker to look for work, if one is asleep and none is looking already.
    fn wake_one(&self) {
        if self.asleep.load(SeqCst) == 0 || self.searching.load(SeqCst) > 0 {
            return;
        }
        if let Some(worker) = self.workers.iter().find(|worker| worker.asleep.swap(false, SeqCst)) {
            self.asleep.fetch_sub(1, SeqCst);
            self.begin_search(worker);
            worker.wake();
        }
    }

    fn begin_search(&self, worker: &Worker) {
        if !worker.searches.swap(true, SeqCst) {
            self.searching.fetch_add(1, SeqCst);
        }
    }

    /// Whether it was the last that looked.
    fn end_search(&self, worker: &Worker) -> bool {
        worker.searches.swap(false, SeqCst) && self.searching.fetch_sub(1, SeqCst) == 1
    }

    /// The task that has its turn now.
    fn next(&self, here: usize) -> Option<Arc<Task>> {
        let worker = &self.workers[here];
        let found = self.put(here, Queue::pop).flatten().or_else(|| {
            self.begin_search(worker);
            self.steal(here)
        });
        if worker.searches.load(SeqCst) && self.end_search(worker) && found.is_some() {
            // Where there was work for one, there may be for two.
            self.wake_one();
        }
        found
    }

    /// Takes over half of what waits for another worker; or where nobody waits, what goes
    /// next there: the system may have taken the processor from its thread.
    fn steal(&self, here: usize) -> Option<Arc<Task>> {
        let count = self.workers.len();
        let others = || (1..count).map(|step| (here + step) % count);
        let mut halves = others()
            .filter(|other| self.workers[*other].waiting.load(SeqCst) > 0)
            .filter_map(|other| self.put(other, Queue::split));
        let Some(half) = halves.find(|half| !half.is_empty()) else {
            let mut with_next = others().filter(|other| self.workers[*other].has_next.load(Relaxed));
            return with_next.find_map(|other| self.put(other, Queue::take_next).flatten());
        };
        let mut half = half.into_iter();
        let first = half.next();
        if half.len() > 0 {
            self.put(here, |queue| half.for_each(|task| queue.push(task.line, task)));
        }
        first
    }

    /// A thread's work, from its start to its end.
    pub(super) fn work(self: Arc<Self>, here: usize, timers: Timers) {
        HERE.set(Some((Arc::as_ptr(&self).addr(), here)));
        // tokio's budget is for one task, and this is many: drivers give way by themselves.
        timers.run(unconstrained(poll_fn(|context| self.turns(here, context))));
        give_back_all();
        self.note_gone(|gone| gone.loops += 1);
        let worker = &self.workers[here];
        let tasks = lock(&worker.tasks).take();
        for task in tasks.into_iter().flat_map(HashMap::into_values) {
            task.discard();
        }
        let queue = lock(&worker.queue).take();
        drop(queue);
        // A task that has its turn elsewhere may look at a timer of this runtime.
        self.wait_until(SHUTDOWN, |gone| gone.loops);
        timers.end(SHUTDOWN);
        self.note_gone(|gone| gone.threads += 1);
    }

    /// Gives turns until there is nobody left who wants one.
    fn turns(&self, here: usize, context: &mut Context<'_>) -> Poll<()> {
        let worker = &self.workers[here];
        worker.waker.get_or_init(|| context.waker().clone());
        let begun = Instant::now();
        while !self.is_stopping() {
            match self.next(here) {
                Some(task) => {
                    task.home.store(here, SeqCst);
                    IN_TURN.set(true);
                    task.run();
                    IN_TURN.set(false);
                    give_back_kept();
                    if begun.elapsed() >= BETWEEN_TIMERS {
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                None => {
                    give_back_all();
                    if self.falls_asleep(worker) {
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(())
    }

    /// Whether there is nothing to do for it, or it is woken already. What comes from now
    /// on wakes it.
    fn falls_asleep(&self, worker: &Worker) -> bool {
        // In this order: where the count says that nobody is asleep, nobody is.
        self.asleep.fetch_add(1, SeqCst);
        worker.asleep.store(true, SeqCst);
        let is_wanted = self.is_stopping() || self.workers.iter().any(|worker| worker.waiting.load(SeqCst) > 0);
        if is_wanted && worker.asleep.swap(false, SeqCst) {
            self.asleep.fetch_sub(1, SeqCst);
            return false;
        }
        true
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, SeqCst);
        for number in 0..self.workers.len() {
            self.wake(number);
        }
    }

    /// So many threads could not be started.
    pub(super) fn gone_without_starting(&self, count: usize) {
        self.note_gone(|gone| {
            gone.loops += count;
            gone.threads += count;
        });
    }

    fn note_gone(&self, note: impl FnOnce(&mut Gone)) {
        note(&mut lock(&self.gone));
        self.going.notify_all();
    }

    pub(super) fn wait_for_threads(&self, patience: Duration) {
        self.wait_until(patience, |gone| gone.threads);
    }

    fn wait_until(&self, patience: Duration, gone: impl Fn(&Gone) -> usize) {
        let all = self.workers.len();
        let waited = self.going.wait_timeout_while(lock(&self.gone), patience, |counts| gone(counts) < all);
        drop(waited);
    }
}

impl Worker {
    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }
}

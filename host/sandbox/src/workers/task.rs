//! One task: a future, and how it stands between being woken and having its turn.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

use super::queue::Line;
use super::scheduler::{Scheduler, is_in_turn, lock};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Nobody has woken it.
const WAITING: u8 = 0;
/// It stands in a queue, or is about to.
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// It was woken while it ran.
const WOKEN: u8 = 3;
const OVER: u8 = 4;

thread_local! {
    /// The task that has its turn here wants to go on apart.
    static WANTS_APART: Cell<bool> = const { Cell::new(false) };
}

pub(super) struct Task {
    scheduler: Arc<Scheduler>,
    pub(super) line: Line,
    /// So many of those who wait, when it is woken by another.
    pub(super) lets_pass: usize,
    /// The worker that it was spawned on.
    pub(super) born: usize,
    /// The worker that has polled it last.
    pub(super) home: AtomicUsize,
    state: AtomicU8,
    /// Locked while it is polled. None once it is over.
    future: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Task {
    /// To be put into a queue.
    pub(super) fn new(
        scheduler: Arc<Scheduler>,
        line: Line,
        lets_pass: usize,
        home: usize,
        future: BoxFuture<'static, ()>,
    ) -> Arc<Self> {
        let (born, home, state) = (home, AtomicUsize::new(home), AtomicU8::new(QUEUED));
        Arc::new(Self { scheduler, line, lets_pass, born, home, state, future: Mutex::new(Some(future)) })
    }

    /// Gives it a turn.
    pub(super) fn run(self: Arc<Self>) {
        // It sees what whoever woke it has done before.
        self.state.swap(RUNNING, Ordering::SeqCst);
        WANTS_APART.set(false);
        if self.poll().is_ready() {
            self.state.store(OVER, Ordering::SeqCst);
            return self.scheduler.forget(&self);
        }
        if self.scheduler.is_stopping() {
            return self.discard();
        }
        if self.state.compare_exchange(RUNNING, WAITING, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return;
        }
        self.state.store(QUEUED, Ordering::SeqCst);
        match WANTS_APART.take() {
            true => self.run_apart(),
            false => {
                let scheduler = self.scheduler.clone();
                scheduler.put_again(self);
            }
        }
    }

    fn run_apart(self: Arc<Self>) {
        let task = self.clone();
        let started = catch_unwind(|| drop(Handle::current().spawn_blocking(move || task.run())));
        if started.is_err() {
            // The system has no thread to give: then in turn with the others.
            let scheduler = self.scheduler.clone();
            scheduler.put_again(self);
        }
    }

    fn poll(self: &Arc<Self>) -> Poll<()> {
        let mut future = lock(&self.future);
        let Some(running) = future.as_mut() else { return Poll::Ready(()) };
        let waker = Waker::from(self.clone());
        // A task that panics is over, and nobody else's affair: the panic was reported
        // where it happened.
        let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut Context::from_waker(&waker))));
        let polled = polled.unwrap_or(Poll::Ready(()));
        if polled.is_ready() {
            drop_safely(&mut future);
        }
        polled
    }

    /// Drops its future, unless it is polled right now: then whoever does so sees
    /// afterwards that the scheduler is stopping, and drops it.
    pub(super) fn discard(&self) {
        match self.future.try_lock() {
            Ok(mut future) => drop_safely(&mut future),
            Err(TryLockError::Poisoned(poisoned)) => drop_safely(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

fn drop_safely(future: &mut Option<BoxFuture<'static, ()>>) {
    let _ = catch_unwind(AssertUnwindSafe(|| *future = None));
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        loop {
            match self.state.compare_exchange(WAITING, QUEUED, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    let scheduler = self.scheduler.clone();
                    return scheduler.hand_on(self);
                }
                Err(OVER) => return,
                // Woken already: written all the same, for whoever runs it to see what was
                // done before this.
                Err(state) => {
                    let woken = if state == RUNNING { WOKEN } else { state };
                    if self.state.compare_exchange(state, woken, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                        return;
                    }
                }
            }
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Most of the time it is woken for the first time, and an owner is needed.
        self.clone().wake();
    }
}

/// Has the rest of this task's turn take place on a thread of its own, where it may
/// compute for long and holds up nobody. False, and at once, where it is on one already, or
/// is no task of a [`crate::Sandbox`].
pub async fn apart() -> bool {
    let mut asked = false;
    poll_fn(|context| {
        if asked || !is_in_turn() {
            return Poll::Ready(asked);
        }
        asked = true;
        WANTS_APART.set(true);
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Has those go first who wait for a turn: of this tenant all, of the others as many as
/// have theirs meanwhile.
pub async fn give_way() {
    let mut gave_way = false;
    poll_fn(|context| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

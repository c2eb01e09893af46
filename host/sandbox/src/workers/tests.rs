//! Tasks on real threads: none is missed, none left behind.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::handback::{give_back, keep_others_from_it};

/// Longer than anything here takes, and short enough to be told of a hang.
const LONG: Duration = Duration::from_secs(20);

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

/// The workers of one test, which end with it.
struct Threads(Arc<Workers>);

impl Threads {
    fn start(count: usize) -> Self {
        Self(Arc::new(Workers::start(count).unwrap()))
    }

    /// What a task of its own comes to.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let (done, result) = std::sync::mpsc::channel();
        self.0.spawn(&tenant("main"), async move { done.send(work.await).unwrap() });
        result.recv_timeout(LONG).expect("the task ends")
    }

    fn spawn(&self, tenant_name: &str, work: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(&tenant(tenant_name), work);
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.stop();
        self.0.wait();
    }
}

/// Counts how many of it were dropped.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn tasks_that_wake_each_other_across_threads_all_come_to_their_end() {
    let threads = Threads::start(4);
    let (done, mut ends) = mpsc::unbounded_channel();
    const PAIRS: usize = 64;
    const ROUNDS: usize = 500;
    for pair in 0..PAIRS {
        let ((to_b, mut from_a), (to_a, mut from_b)) = (mpsc::channel(1), mpsc::channel(1));
        threads.spawn(&format!("t{}", pair % 5), async move {
            for round in 0..ROUNDS {
                to_b.send(round).await.unwrap();
                assert_eq!(from_b.recv().await, Some(round));
                if round % 7 == 0 {
                    give_way().await;
                }
            }
        });
        let done = done.clone();
        threads.spawn(&format!("t{}", pair % 3), async move {
            while let Some(round) = from_a.recv().await {
                to_a.send(round).await.unwrap();
            }
            done.send(pair).unwrap();
        });
    }
    drop(done);
    let ended = threads.run(async move {
        let mut ended = 0;
        while ends.recv().await.is_some() {
            ended += 1;
        }
        ended
    });
    assert_eq!(ended, PAIRS);
}

#[test]
fn what_is_woken_from_outside_is_never_missed() {
    let threads = Threads::start(2);
    for round in 0..2_000 {
        let (reply, answer) = oneshot::channel();
        let (done, result) = std::sync::mpsc::channel();
        threads.spawn("one", async move { done.send(answer.await.unwrap()).unwrap() });
        if round % 2 == 0 {
            // Now and then it waits already, now and then not.
            std::thread::yield_now();
        }
        reply.send(round).unwrap();
        assert_eq!(result.recv_timeout(LONG), Ok(round));
    }
}

#[test]
fn timers_ring_on_workers_that_sleep_and_beside_tasks_that_give_way() {
    let threads = Threads::start(1);
    let stop = Arc::new(AtomicUsize::new(0));
    let spinning = stop.clone();
    threads.spawn("busy", async move {
        while spinning.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_micros(200));
            give_way().await;
        }
    });
    let slept = threads.run(async {
        let begun = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        begun.elapsed()
    });
    assert!(slept >= Duration::from_millis(20));
    stop.store(1, Ordering::SeqCst);
    threads.run(async { tokio::time::sleep(Duration::from_millis(5)).await });
}

#[test]
fn a_worker_without_work_takes_over_what_waits_for_one_that_is_held_up() {
    let threads = Threads::start(2);
    let workers = threads.0.clone();
    let ended = threads.run(async move {
        // Spawned on this thread, which goes on with nothing until they have ended.
        let (done, ends) = std::sync::mpsc::channel();
        for task in 0..10 {
            let done = done.clone();
            workers.spawn(&tenant("others"), async move { done.send(task).unwrap() });
        }
        let mut ended: Vec<i32> = std::iter::from_fn(|| ends.recv_timeout(LONG).ok()).take(10).collect();
        ended.sort_unstable();
        ended
    });
    assert_eq!(ended, (0..10).collect::<Vec<_>>());
}

#[test]
fn tenants_have_turns_alike_however_many_tasks_they_have() {
    let threads = Threads::start(1);
    let workers = threads.0.clone();
    let order = Arc::new(Mutex::new(Vec::new()));
    let noted = order.clone();
    threads.run(async move {
        let spawn = |name: &'static str, turns: usize| {
            let noted = noted.clone();
            workers.spawn(&tenant(name), async move {
                for _ in 0..turns {
                    noted.lock().unwrap().push(name);
                    give_way().await;
                }
            });
        };
        for _ in 0..30 {
            spawn("many", 2);
        }
        spawn("few", 3);
    });
    threads.run(async {
        for _ in 0..200 {
            give_way().await;
        }
    });
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 63);
    let last_of_few = order.iter().rposition(|name| *name == "few").unwrap();
    assert!(last_of_few < 10, "{order:?}");
}

#[test]
fn a_task_that_panics_is_over_and_nobody_else() {
    let threads = Threads::start(1);
    let dropped = Arc::new(AtomicUsize::new(0));
    let held = Dropped(dropped.clone());
    threads.spawn("one", async move {
        let _held = held;
        give_way().await;
        panic!("as a test");
    });
    threads.run(async {
        for _ in 0..4 {
            give_way().await;
        }
    });
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn stopping_drops_every_task_whatever_it_waits_for() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let threads = Threads::start(2);
    let workers = threads.0.clone();
    for task in 0..30 {
        let (held, workers) = (Dropped(dropped.clone()), workers.clone());
        threads.spawn("one", async move {
            let _held = held;
            match task % 3 {
                // It holds what would wake it.
                0 => {
                    let (_reply, answer) = oneshot::channel::<()>();
                    let _ = answer.await;
                }
                1 => tokio::time::sleep(LONG).await,
                _ => loop {
                    workers.spawn(&tenant("other"), give_way());
                    give_way().await;
                },
            }
        });
    }
    threads.run(async {
        for _ in 0..10 {
            give_way().await;
        }
    });
    threads.0.stop();
    threads.0.wait();
    assert_eq!(dropped.load(Ordering::SeqCst), 30);
    // And what comes after that.
    let late = Dropped(dropped.clone());
    threads.spawn("one", async move { drop(late) });
    assert_eq!(dropped.load(Ordering::SeqCst), 31);
    // No task is left that holds the scheduler; a thread does until its very end.
    let begun = Instant::now();
    while Arc::strong_count(&threads.0.0) > 1 {
        assert!(begun.elapsed() < LONG, "{} hold it", Arc::strong_count(&threads.0.0));
        std::thread::yield_now();
    }
}

#[test]
fn what_takes_place_apart_holds_up_nobody_on_the_one_worker() {
    let threads = Threads::start(1);
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (done, ended) = std::sync::mpsc::channel();
    threads.spawn("one", async move {
        assert!(apart().await);
        held.recv().unwrap();
        // From the next wait on it is back among the others.
        give_way().await;
        done.send(scheduler::is_in_turn()).unwrap();
    });
    threads.run(async move { release.send(()).unwrap() });
    assert_eq!(ended.recv_timeout(LONG), Ok(true));
}

#[test]
fn a_turn_that_does_not_end_keeps_no_task_of_another_worker() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let threads = Threads::start(2);
    let ((begin, begun), (release, held)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    threads.spawn("one", async move {
        begin.send(()).unwrap();
        let _ = held.recv();
    });
    begun.recv_timeout(LONG).unwrap();
    for _ in 0..4 {
        let held = Dropped(dropped.clone());
        threads.spawn("one", async move {
            let _held = held;
            std::future::pending().await
        });
    }
    threads.0.stop();
    let stopped = Instant::now();
    // From outside, tasks are spread over the workers.
    while dropped.load(Ordering::SeqCst) < 2 {
        assert!(stopped.elapsed() < SHUTDOWN / 2, "{} were dropped", dropped.load(Ordering::SeqCst));
        std::thread::yield_now();
    }
    drop(release);
    threads.0.wait();
    assert_eq!(dropped.load(Ordering::SeqCst), 4);
}

#[test]
fn what_is_apart_is_dropped_as_well_whether_it_panics_or_all_is_stopped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let threads = Threads::start(1);
    let ((begin, begun), (release, held)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
    let (panics, stays) = (Dropped(dropped.clone()), Dropped(dropped.clone()));
    threads.spawn("one", async move {
        let _panics = panics;
        apart().await;
        panic!("as a test");
    });
    threads.spawn("one", async move {
        let _stays = stays;
        apart().await;
        begin.send(()).unwrap();
        let _ = held.recv();
        std::future::pending().await
    });
    begun.recv_timeout(LONG).unwrap();
    threads.0.stop();
    drop(release);
    threads.0.wait();
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn where_there_are_no_workers_nothing_is_apart() {
    assert!(!apart().await);
}

#[test]
fn what_a_guest_left_is_given_back_before_the_worker_sleeps_and_while_it_never_does() {
    let another_gives_back = keep_others_from_it();
    let dropped = Arc::new(AtomicUsize::new(0));
    let threads = Threads::start(1);
    let leave = || {
        let remains = Dropped(dropped.clone());
        threads.run(async move { give_back(remains) });
    };
    let are_given_back = |count| {
        let begun = Instant::now();
        while dropped.load(Ordering::SeqCst) < count {
            assert!(begun.elapsed() < LONG, "{} were given back", dropped.load(Ordering::SeqCst));
            std::thread::yield_now();
        }
    };
    leave();
    are_given_back(1);
    threads.spawn("busy", async {
        loop {
            give_way().await;
        }
    });
    leave();
    drop(another_gives_back);
    are_given_back(2);
}

#[test]
fn what_panics_when_it_is_given_back_ends_no_worker() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("as a test");
        }
    }
    let another_gives_back = keep_others_from_it();
    let threads = Threads::start(1);
    threads.run(async { give_back(Panics) });
    let dropped = Arc::new(AtomicUsize::new(0));
    let (remains, stays) = (Dropped(dropped.clone()), Dropped(dropped.clone()));
    threads.run(async move { give_back(remains) });
    // A worker that is gone would drop nothing of this.
    threads.spawn("one", async move {
        let _stays = stays;
        std::future::pending().await
    });
    threads.0.stop();
    threads.0.wait();
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    drop(another_gives_back);
}

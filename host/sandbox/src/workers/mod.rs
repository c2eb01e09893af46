//! The threads that guests run on, with the drivers of their trees.
//!
//! A task that is woken by the one that has its turn goes next on the same worker: a
//! guest asks, its tree's driver decides, another guest starts, and no other thread has
//! to be woken or find all of it in memory. What waits longer stands in line, in turn
//! with other tenants, and a worker without work takes half of another's. Each worker
//! is also a small tokio runtime, for timers and for what guests read from disk. A timer
//! stays with the worker that it was made on.

mod queue;
mod scheduler;
mod task;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pleach_kernel::Tenant;

use crate::error::Error;
use queue::Line;
use scheduler::{Scheduler, Timers};
pub(crate) use task::BoxFuture;
pub use task::{apart, give_way};

/// Threads for what guests read from disk, and for what goes on [apart](apart), shared
/// out among the workers.
const DISK_THREADS: usize = 16;

/// A worker has so many however many there are.
const FEWEST_DISK_THREADS: usize = 8;

/// Where many wait, a listener hears from about so many in one turn.
const HEARD_TOGETHER: usize = 16;

/// How long is waited for a turn that does not end, when nobody else gets one any more.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// The threads. Dropping this stops them.
pub(crate) struct Workers(Arc<Scheduler>);

impl Workers {
    pub(crate) fn start(count: usize) -> Result<Self, Error> {
        let setup = |e: std::io::Error| Error::Setup { what: "starting the threads for guests", why: e.to_string() };
        let workers = Self(Arc::new(Scheduler::new(count)));
        for number in 0..count {
            let started = Timers::new((DISK_THREADS / count).max(FEWEST_DISK_THREADS)).and_then(|timers| {
                let scheduler = workers.0.clone();
                let name = thread::Builder::new().name("pleach-guest".into());
                name.spawn(move || scheduler.work(number, timers))
            });
            if let Err(error) = started {
                workers.0.gone_without_starting(count - number);
                return Err(setup(error));
            }
        }
        Ok(workers)
    }

    /// Runs a guest, in the turns of its tenant. After a stop, it is dropped.
    pub(crate) fn spawn(&self, tenant: &Tenant, guest: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(line(tenant), 0, Box::pin(guest));
    }

    /// The same for a task that many others tell something: it lets some of them pass
    /// before it takes that in.
    pub(crate) fn spawn_listener(&self, tenant: &Tenant, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(line(tenant), HEARD_TOGETHER, Box::pin(task));
    }

    /// No task gets another turn: all are dropped, and the threads end, without being
    /// waited for.
    pub(crate) fn stop(&self) {
        self.0.stop();
    }

    /// Waits until the threads have ended, and for ten seconds at most.
    pub(crate) fn wait(&self) {
        self.0.wait_for_threads(SHUTDOWN);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // Not waiting: this may be one of the threads.
        self.stop();
    }
}

fn line(tenant: &Tenant) -> Line {
    let mut line = DefaultHasher::new();
    tenant.hash(&mut line);
    Line(line.finish())
}

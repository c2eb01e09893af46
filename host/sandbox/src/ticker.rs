//! The epoch clock: every millisecond, whatever guest is computing has to let
//! another have its turn.
//!
//! One thread ticks while guests compute and sleeps when none has for a while,
//! so that an idle host costs nothing and a short run wakes no thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

use crate::error::Error;

pub(crate) const TICK: Duration = Duration::from_millis(1);

/// So many ticks without a guest computing put the thread to sleep.
const IDLE_TICKS: u32 = 100;

/// Cheap to clone; the thread ends with [`Ticker::stop`].
#[derive(Clone)]
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

struct State {
    /// Guests that are computing right now.
    computing: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engines: Vec<Engine>) -> Result<Self, Error> {
        let state = Arc::new(State {
            computing: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let ticking = state.clone();
        let handle = thread::Builder::new()
            .name("pleach-epoch".into())
            .spawn(move || tick(&ticking, &engines))
            .map_err(|e| Error::Setup { what: "starting the epoch thread", why: e.to_string() })?;
        Ok(Self { state, thread: handle.thread().clone() })
    }

    /// A guest computes until the answer is dropped.
    pub(crate) fn computing(&self) -> Computing<'_> {
        self.state.computing.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Computing(&self.state)
    }

    pub(crate) fn stop(&self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

pub(crate) struct Computing<'a>(&'a State);

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(state: &State, engines: &[Engine]) {
    let mut idle = 0;
    while !state.stopped.load(Ordering::SeqCst) {
        idle = if state.computing.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle > IDLE_TICKS {
            // A guest that begins now sees `asleep`, or is seen here.
            state.asleep.store(true, Ordering::SeqCst);
            if state.computing.load(Ordering::SeqCst) == 0 && !state.stopped.load(Ordering::SeqCst) {
                thread::park();
            }
            state.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
        thread::sleep(TICK);
        for engine in engines {
            engine.increment_epoch();
        }
    }
}

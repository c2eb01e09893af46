//! Noticing what other processes commit, and taking the messages they leave.
//!
//! SQLite's own means for this is `PRAGMA data_version`: on one connection its
//! value changes whenever any other connection has committed. It has to be asked
//! for, so a thread asks, and only while somebody wants to know.

use std::future::ready;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pleach_kernel::RootId;
use rusqlite::Connection;
use tokio::sync::watch;

use super::task::task;
use super::{Shared, fault, mail};
use crate::callback::hand_over;
use crate::store::BoxFuture;
use crate::{Error, Messages};

/// How late another process's commit may be noticed.
const POLL: Duration = Duration::from_millis(100);

pub(super) struct Watcher {
    attention: Arc<Attention>,
    /// Told of every commit; the number means nothing but that it moved.
    commits: watch::Sender<u64>,
}

/// What the thread waits on.
struct Attention {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    messages: Option<Arc<Messages>>,
    /// How many wait for a change.
    lookers: usize,
    /// Look now: this process knows that there is something.
    nudged: bool,
    closed: bool,
}

impl Watcher {
    pub(super) fn new() -> Self {
        let attention = Attention { state: Mutex::default(), woken: Condvar::new() };
        Self { attention: Arc::new(attention), commits: watch::Sender::new(0) }
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        self.commits.send_modify(|commits| *commits = commits.wrapping_add(1));
    }

    /// There may be a message: looks for it now rather than at the next turn.
    pub(super) fn nudge(&self) {
        self.attention.update(|state| state.nudged = true);
    }

    pub(super) fn receive(&self, messages: Messages) {
        let messages = Some(Arc::new(messages));
        self.attention.update(|state| {
            state.messages = messages;
            state.nudged = true;
        });
    }

    /// Resolves at the first commit after this call.
    pub(super) fn changed(&self) -> BoxFuture<'static, ()> {
        let mut commits = self.commits.subscribe();
        let mut closed = false;
        self.attention.update(|state| {
            state.lookers += 1;
            closed = state.closed;
        });
        let looker = Looker(self.attention.clone());
        if closed {
            return Box::pin(ready(()));
        }
        Box::pin(async move {
            let _looker = looker;
            // An error means that the store is gone, which is a change too.
            let _ = commits.changed().await;
        })
    }

    pub(super) fn close(&self) {
        self.attention.update(|state| state.closed = true);
        self.committed();
    }
}

/// One who waits for a change, until dropped.
struct Looker(Arc<Attention>);

impl Drop for Looker {
    fn drop(&mut self) {
        self.0.state().lookers -= 1;
    }
}

impl Attention {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.woken.notify_all();
    }

    fn messages(&self) -> Option<Arc<Messages>> {
        self.state().messages.clone()
    }

    /// Waits for the next turn; none once the store is closed.
    fn next(&self) -> Option<Turn> {
        let mut state = self.state();
        while !state.closed && !state.nudged && state.messages.is_none() && state.lookers == 0 {
            state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let waits = |state: &mut State| !state.nudged && !state.closed;
        let waited = self.woken.wait_timeout_while(state, POLL, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let turn = Turn { is_heard: state.messages.is_some(), nudged: std::mem::take(&mut state.nudged) };
        (!state.closed).then_some(turn)
    }
}

struct Turn {
    /// Somebody takes messages.
    is_heard: bool,
    nudged: bool,
}

/// The thread. It never writes: taking messages goes through the writer's queue.
pub(super) fn run(shared: &Shared) {
    let mut eye = Eye { conn: None, seen: None };
    let mut blind = false;
    while let Some(turn) = shared.watcher.attention.next() {
        match eye.look(shared, &turn) {
            Ok(()) => blind = false,
            // Said once, not ten times a second.
            Err(error) if !blind => {
                blind = true;
                tracing::warn!(%error, "cannot see what other processes write; looking again");
            }
            Err(_) => {}
        }
    }
}

struct Eye {
    conn: Option<Connection>,
    /// The version that was seen last; none at first, which counts as a change.
    seen: Option<i64>,
}

impl Eye {
    fn look(&mut self, shared: &Shared, turn: &Turn) -> Result<(), Error> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => shared.readers.connect()?,
        };
        let version = data_version(&conn)?;
        let moved = self.seen != Some(version);
        if moved {
            shared.watcher.committed();
        }
        if turn.is_heard && (moved || turn.nudged) {
            while mail::is_waiting(&conn, shared.hosts.id())? {
                let taken = take(shared)?;
                if taken.is_empty() {
                    break;
                }
                // Whoever listens now: one that came meanwhile gets what came after it.
                if let Some(messages) = shared.watcher.attention.messages() {
                    hand_over(&messages, taken);
                }
            }
        }
        // Kept only now, so that after an error the next turn tries again.
        self.seen = Some(version);
        self.conn = Some(conn);
        Ok(())
    }
}

fn data_version(conn: &Connection) -> Result<i64, Error> {
    let failed = fault::during("looking for changes", conn);
    let mut ask = conn.prepare_cached("PRAGMA data_version").map_err(&failed)?;
    ask.query_row([], |row| row.get(0)).map_err(&failed)
}

/// They are gone from the database before they are handed over: each is handed over
/// once at most, and one that a crash swallows had a dying host for its receiver.
fn take(shared: &Shared) -> Result<Vec<(RootId, Vec<u8>)>, Error> {
    let host = shared.hosts.id().to_owned();
    let (taking, taken) = task(move |conn| mail::take(conn, &host));
    shared.queue.task(taking, 0);
    taken.blocking_recv().unwrap_or(Ok(Vec::new()))
}

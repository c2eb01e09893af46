//! Writes that are no appends: a plugin, a policy, a message. They share the
//! writer's transaction with everybody else's writes and fail alone.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault;
use crate::Error;

/// One such write.
pub(super) trait Task: Send {
    /// Writes, inside a transaction that also holds others' writes. After an error
    /// whatever it did is taken back.
    fn run(&mut self, conn: &Connection) -> Result<(), Error>;

    /// Whether it runs by itself, outside any transaction. Then it answers for
    /// taking back what it did, too.
    fn is_alone(&self) -> bool;

    /// Tells whoever waits, once the transaction has ended: committed or `failed`.
    fn answer(self: Box<Self>, failed: Option<&Error>);
}

/// A task and its answer to come.
pub(super) fn task<T: Send + 'static>(
    ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
) -> (Box<dyn Task>, oneshot::Receiver<Result<T, Error>>) {
    asked(ask, false)
}

/// A task for which the writer ends its transaction first.
pub(super) fn alone<T: Send + 'static>(
    ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
) -> (Box<dyn Task>, oneshot::Receiver<Result<T, Error>>) {
    asked(ask, true)
}

fn asked<T: Send + 'static>(
    ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    alone: bool,
) -> (Box<dyn Task>, oneshot::Receiver<Result<T, Error>>) {
    let (answer, answered) = oneshot::channel();
    (Box::new(Asked { ask: Some(ask), alone, result: Err(Error::Closed), answer }), answered)
}

struct Asked<F, T> {
    alone: bool,
    /// None once it was asked.
    ask: Option<F>,
    result: Result<T, Error>,
    answer: oneshot::Sender<Result<T, Error>>,
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, Error> + Send> Task for Asked<F, T> {
    fn run(&mut self, conn: &Connection) -> Result<(), Error> {
        if let Some(ask) = self.ask.take() {
            self.result = ask(conn);
        }
        self.result.as_ref().map(|_| ()).map_err(Error::clone)
    }

    fn is_alone(&self) -> bool {
        self.alone
    }

    fn answer(self: Box<Self>, failed: Option<&Error>) {
        let result = match (self.result, failed) {
            // What was refused would have been refused anyway.
            (Err(error), _) if self.ask.is_none() => Err(error),
            (_, Some(error)) => Err(error.clone()),
            (result, None) => result,
        };
        // Whoever asked may have gone away.
        let _ = self.answer.send(result);
    }
}

/// Runs a task so that it can fail alone. An error here is the transaction's.
pub(super) fn run(conn: &Connection, task: &mut dyn Task) -> Result<(), Error> {
    let failed = fault::during("writing", conn);
    conn.execute_batch("SAVEPOINT task").map_err(&failed)?;
    if let Err(error) = task.run(conn) {
        // A full disk may have rolled back everything, the savepoint included.
        if conn.is_autocommit() {
            return Err(error);
        }
        conn.execute_batch("ROLLBACK TO task").map_err(&failed)?;
    }
    conn.execute_batch("RELEASE task").map_err(&failed)
}

//! Connections that only read, a few of them, on threads where they may block. What
//! is read is none of this file's business.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::open::Reading;
use crate::Error;

/// Reads at the same time. More would only wait for the same disk.
const READERS: u32 = 4;

pub(super) struct Readers {
    pool: Arc<Pool>,
    permits: Arc<Semaphore>,
}

struct Pool {
    reading: Reading,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(reading: Reading) -> Self {
        let pool = Arc::new(Pool { reading, idle: Mutex::default() });
        Self { pool, permits: Arc::new(Semaphore::new(READERS as usize)) }
    }

    /// A connection that only reads, for whoever keeps it.
    pub(super) fn connect(&self) -> Result<Connection, Error> {
        self.pool.reading.connect()
    }

    /// Asks on a connection of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let pool = self.pool.clone();
        let answer = tokio::task::spawn_blocking(move || {
            // The permit stays with the work: who asked may have gone away.
            let _permit = permit;
            let conn = pool.take()?;
            let answer = ask(&conn);
            pool.give_back(conn);
            answer
        });
        answer.await.unwrap_or_else(|error| {
            let path = self.pool.reading.path.clone();
            Err(Error::Failed { doing: "reading", path, detail: error.to_string() })
        })
    }

    /// Waits for reads that have begun, lets no other begin, and closes them all.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.permits.acquire_many(READERS).await {
            self.permits.close();
            drop(all);
        }
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Pool {
    fn take(&self) -> Result<Connection, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.reading.connect(), Ok)
    }

    fn give_back(&self, conn: Connection) {
        // One that is still inside a transaction has seen an error: start afresh.
        if conn.is_autocommit() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

//! The floor of durability: one thread that writes rows into SQLite and commits
//! whatever waits, with `synchronous=FULL`.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use rusqlite::Connection;

/// A log that takes bytes and says when they are on disk.
pub struct Log {
    to_writer: mpsc::Sender<Vec<u8>>,
    writer: JoinHandle<rusqlite::Result<u64>>,
}

impl Log {
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(file).context("opening the floor's log")?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE event (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;",
        )?;
        let (to_writer, waiting) = mpsc::channel();
        let writer = std::thread::spawn(move || write(&connection, &waiting));
        Ok(Self { to_writer, writer })
    }

    pub fn sender(&self) -> mpsc::Sender<Vec<u8>> {
        self.to_writer.clone()
    }

    /// Waits until everything is on disk; how many commits that took.
    pub fn close(self) -> anyhow::Result<u64> {
        drop(self.to_writer);
        Ok(self.writer.join().ok().context("the floor's writer panicked")??)
    }
}

fn write(connection: &Connection, waiting: &mpsc::Receiver<Vec<u8>>) -> rusqlite::Result<u64> {
    let mut commits = 0;
    while let Ok(first) = waiting.recv() {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        {
            let mut insert = connection.prepare_cached("INSERT INTO event (body) VALUES (?1)")?;
            insert.execute([first])?;
            while let Ok(event) = waiting.try_recv() {
                insert.execute([event])?;
            }
        }
        connection.execute_batch("COMMIT")?;
        commits += 1;
    }
    Ok(commits)
}

//! A copy of the whole file, taken while it is written to; and giving room back.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::fault;
use crate::Error;

/// Writes everything that is committed now to a new file; its size in bytes.
///
/// The copy is made beside `file` and takes its name only once it is on disk, so
/// that what has the name of a backup is one.
pub(super) fn write(conn: &Connection, file: &Path) -> Result<u64, Error> {
    let path = file.display().to_string();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::BackupExists { path: path.clone() },
        _ => Error::BackupFailed { path: path.clone(), detail: error.to_string() },
    };
    if file.symlink_metadata().is_ok() {
        return Err(Error::BackupExists { path });
    }
    let unfinished = Unfinished::beside(file).map_err(failed)?;
    let written = conn.execute("VACUUM INTO ?1", [unfinished.path.to_string_lossy()]);
    written.map_err(|error| match fault::at("backing up", &path, &error) {
        error @ Error::Corrupt { .. } => error,
        error => Error::BackupFailed { path: path.clone(), detail: detail(&error) },
    })?;
    unfinished.publish(file).map_err(failed)
}

/// What SQLite said, without advice that is meant for the store itself.
fn detail(error: &Error) -> String {
    match error {
        Error::Full { detail, .. } | Error::Unusable { detail, .. } | Error::Failed { detail, .. } => detail.clone(),
        other => other.to_string(),
    }
}

/// No two backups of one process are written under the same name.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A backup that is not whole yet. Dropped, it is gone.
struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Its file, empty: SQLite takes an empty file for a new one.
    fn beside(file: &Path) -> io::Result<Self> {
        let name = file.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut partial = OsString::from(name);
        partial.push(format!(".{}-{count}.partial", std::process::id()));
        let path = file.with_file_name(partial);
        // SQLite is given the name as text.
        if path.to_str().is_none() {
            return Err(io::Error::other("its name is not UTF-8"));
        }
        File::create_new(&path)?;
        Ok(Self { path })
    }

    /// Puts it on disk, and in its place if there is nothing.
    fn publish(self, file: &Path) -> io::Result<u64> {
        let copy = File::open(&self.path)?;
        copy.sync_all()?;
        // Unlike renaming, a link never takes another file's place; where the file
        // system has no links, the look that was taken before has to do.
        match fs::hard_link(&self.path, file) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::rename(&self.path, file)?,
            linked => linked?,
        }
        let _ = fs::remove_file(&self.path);
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(copy.metadata()?.len())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Published or never made, it is not there.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes the file anew without its gaps, and cuts it down to that.
pub(super) fn vacuum(conn: &Connection) -> Result<(), Error> {
    let failed = fault::during("giving room back", conn);
    // The copy that this makes on the way may be larger than memory.
    conn.execute_batch("PRAGMA temp_store = FILE").map_err(&failed)?;
    let vacuumed = conn.execute_batch("VACUUM").map_err(&failed);
    conn.execute_batch("PRAGMA temp_store = MEMORY").map_err(&failed)?;
    vacuumed?;
    // Somebody who reads keeps the log long; it is cut down at the next occasion.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(&failed)
}

//! Opening a file: what it is, whether this program may touch it, and bringing it
//! to the newest schema. A file that is refused is left as it was.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::hosts::{Hosts, Opening};
use super::{fault, schema};
use crate::Error;

/// How long another program may hold the file before it counts as locked.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// Once the write-ahead log has so many pages it is copied into the database.
const CHECKPOINT_PAGES: u32 = 4096;

/// After that the log's file is cut down to this.
const LOG_LIMIT_BYTES: u32 = 64 << 20;

/// Statements that stay prepared on a connection.
const STATEMENTS: usize = 64;

/// A file that is ours and up to date.
pub(super) struct Opened {
    /// Without links, so that every process puts its hosts' folder in one place.
    pub(super) path: String,
    /// The writer's; where the file cannot be written to, its writes fail.
    pub(super) connection: Connection,
    pub(super) reading: Reading,
    pub(super) hosts: Hosts,
    pub(super) can_write: bool,
}

/// How a connection that only reads is made.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) path: String,
    /// Nobody changes the file meanwhile, so that nothing has to be kept beside it.
    pub(super) is_still: bool,
}

impl Reading {
    pub(super) fn connect(&self) -> Result<Connection, Error> {
        let read_only = OpenFlags::SQLITE_OPEN_READ_ONLY;
        if !self.is_still {
            return connect(Path::new(&self.path), &self.path, read_only);
        }
        // What means something else in SQLite's URLs than in a path.
        let path = self.path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let url = PathBuf::from(format!("file:{path}?immutable=1"));
        connect(&url, &self.path, read_only | OpenFlags::SQLITE_OPEN_URI)
    }
}

/// Opens a file, and makes it where there is none.
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    let (path, opening) = begin(path)?;
    let name = path.display().to_string();
    let version = probe(&connect(&path, &name, OpenFlags::SQLITE_OPEN_READ_WRITE)?, &name)?;
    let mut connection = writer(&path, &name)?;
    if version < schema::KNOWN {
        schema::migrate(&mut connection)?;
    }
    let hosts = opening.register()?;
    let reading = Reading { path: name.clone(), is_still: false };
    Ok(Opened { path: name, connection, reading, hosts, can_write: true })
}

/// Finds the file, or makes it and the folders above it, and so finds out whether we
/// may write there. From then on nobody else opens it.
fn begin(path: &Path) -> Result<(PathBuf, Opening), Error> {
    let unusable =
        |error: std::io::Error| Error::Unusable { path: path.display().to_string(), detail: error.to_string() };
    let touch = |path: &Path| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unusable)?;
    }
    let is_there = path.exists();
    if is_there {
        if is_empty(path) && !Opening::was_begun(&fs::canonicalize(path).map_err(unusable)?) {
            return Err(Error::Empty { path: path.display().to_string() });
        }
        OpenOptions::new().read(true).write(true).open(path).map_err(unusable)?;
    } else if path.is_symlink() {
        // The place is where the link leads to, which shows when something is there.
        touch(path).map_err(unusable)?;
    }
    let path = resolve(path).map_err(unusable)?;
    let opening = Opening::begin(&path)?;
    // Whoever makes a store holds the lock until there is something in the file.
    if is_there && is_empty(&path) && !opening.is_making() {
        return Err(Error::Empty { path: path.display().to_string() });
    }
    if is_empty(&path) || !path.exists() {
        opening.make()?;
        touch(&path).map_err(unusable)?;
    }
    Ok((path, opening))
}

/// Without links, also where there is no such file yet.
fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    match (fs::canonicalize(path), path.file_name()) {
        (Err(error), Some(name)) if error.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Ok(fs::canonicalize(folder.unwrap_or(Path::new(".")))?.join(name))
        }
        (resolved, _) => resolved,
    }
}

pub(super) fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0)
}

/// The schema of a file, 0 for an empty one; refuses what is not ours to use.
pub(super) fn probe(conn: &Connection, name: &str) -> Result<i64, Error> {
    let doing = "looking at the schema";
    // A newer program may have left a log behind that only it should merge.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fault::during(doing, conn))?;
    let ask = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = ask("PRAGMA application_id").map_err(fault::during(doing, conn))?;
    let version = ask("PRAGMA user_version").map_err(fault::during(doing, conn))?;
    let tables = ask("SELECT count(*) FROM sqlite_schema").map_err(fault::during(doing, conn))?;
    match application {
        schema::APPLICATION_ID if version > schema::KNOWN => {
            Err(Error::NewerSchema { path: name.to_owned(), found: version, known: schema::KNOWN })
        }
        schema::APPLICATION_ID => Ok(version),
        // What a crash between the first two steps of making a file leaves behind.
        0 if version == 0 && only_our_history(tables, conn)? => Ok(0),
        _ => Err(Error::Foreign { path: name.to_owned() }),
    }
}

/// Whether there is no table, or only the one that migrations are noted in.
fn only_our_history(tables: i64, conn: &Connection) -> Result<bool, Error> {
    if tables == 0 {
        return Ok(true);
    }
    let sql = "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'";
    let others: i64 =
        conn.query_row(sql, [], |row| row.get(0)).map_err(fault::during("looking at the schema", conn))?;
    Ok(others == 0)
}

fn writer(path: &Path, name: &str) -> Result<Connection, Error> {
    let conn = connect(path, name, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let set = |sql: &str| conn.execute_batch(sql).map_err(fault::during("setting it up", &conn));
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(fault::during("setting up its log", &conn))?;
    if mode != "wal" {
        let detail = format!("its file system allows no write-ahead log (mode {mode}); use a local disk");
        return Err(Error::Unusable { path: name.to_owned(), detail });
    }
    // FULL is what makes a commit durable: the log is on disk before it counts.
    set("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY")?;
    set(&format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"))?;
    set(&format!("PRAGMA journal_size_limit = {LOG_LIMIT_BYTES}"))?;
    Ok(conn)
}

fn connect(path: &Path, name: &str, mode: OpenFlags) -> Result<Connection, Error> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|error| fault::at("opening", name, &error))?;
    conn.busy_timeout(BUSY_LIMIT).map_err(fault::during("opening", &conn))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

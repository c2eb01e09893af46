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
    pub(super) connection: Connection,
    pub(super) hosts: Hosts,
}

/// Opens a file, and makes it where there is none.
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    let path = create(path)?;
    let opening = Opening::begin(&path)?;
    let name = path.display().to_string();
    let version = probe(&path, &name)?;
    let mut connection = writer(&path, &name)?;
    if version < schema::KNOWN {
        schema::migrate(&mut connection)?;
    }
    let hosts = opening.register()?;
    Ok(Opened { path: name, connection, hosts })
}

/// A connection that only reads.
pub(super) fn reader(path: &str) -> Result<Connection, Error> {
    connect(Path::new(path), path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Makes the folders and an empty file, and so finds out whether we may write there.
fn create(path: &Path) -> Result<PathBuf, Error> {
    let unusable =
        |error: std::io::Error| Error::Unusable { path: path.display().to_string(), detail: error.to_string() };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unusable)?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(unusable)?;
    fs::canonicalize(path).map_err(unusable)
}

/// The schema of a file, 0 for an empty one; refuses what is not ours to use.
fn probe(path: &Path, name: &str) -> Result<i64, Error> {
    let conn = connect(path, name, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let doing = "looking at the schema";
    // A newer program may have left a log behind that only it should merge.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fault::during(doing, &conn))?;
    let ask = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application = ask("PRAGMA application_id").map_err(fault::during(doing, &conn))?;
    let version = ask("PRAGMA user_version").map_err(fault::during(doing, &conn))?;
    let tables = ask("SELECT count(*) FROM sqlite_schema").map_err(fault::during(doing, &conn))?;
    match application {
        schema::APPLICATION_ID if version > schema::KNOWN => {
            Err(Error::NewerSchema { path: name.to_owned(), found: version, known: schema::KNOWN })
        }
        schema::APPLICATION_ID => Ok(version),
        // What a crash between the first two steps of making a file leaves behind.
        0 if version == 0 && only_our_history(tables, &conn)? => Ok(0),
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

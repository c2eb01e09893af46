//! Removing a tree. Its row goes first, so that nobody sees half a tree; what
//! is left goes in steps, each a transaction that is over soon. A removal that was
//! cut off is finished by the next one, or when the file is opened.

use pleach_kernel::{RootId, Tenant};
use rusqlite::{Connection, OptionalExtension as _};

use super::{blobs, fault, size, tree};
use crate::{Error, Removed};

/// One step takes away so many rows, or rows of so many bytes.
const STEP_ROWS: usize = 512;
const STEP_BYTES: i64 = 16 << 20;

/// Begins to remove a tree that has ended, whoever owns it.
pub(super) fn ended(conn: &Connection, root: RootId) -> Result<Removed, Error> {
    match tree::summary(conn, root)? {
        None => Err(Error::NoSuchTree { tree: root }),
        Some(summary) if summary.finished_at.is_none() => Err(Error::NotEnded { tree: root }),
        Some(_) => begin(conn, root),
    }
}

/// Begins to remove a tree of this host, whether it has ended or not.
pub(super) fn owned(conn: &Connection, root: RootId, host: &str) -> Result<Removed, Error> {
    match tree::owner(conn, root)? {
        None => Err(Error::NoSuchTree { tree: root }),
        Some(owner) if owner != host => Err(Error::NotOwner { tree: root }),
        Some(_) => begin(conn, root),
    }
}

/// Takes a tree out of sight, and off what its tenant has stored.
fn begin(conn: &Connection, root: RootId) -> Result<Removed, Error> {
    let failed = fault::during("removing a tree", conn);
    let found: Option<(i64, String)> = conn
        .query_row("SELECT number, tenant FROM trees WHERE root = ?1", [tree::root_bytes(root)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(&failed)?;
    let (number, tenant) = found.ok_or(Error::NoSuchTree { tree: root })?;
    let size = size::of(conn, number)?;
    for sql in [
        "DELETE FROM messages WHERE tree = ?1",
        "DELETE FROM trees WHERE number = ?1",
        "INSERT INTO removals (number) VALUES (?1)",
    ] {
        conn.execute(sql, [number]).map_err(&failed)?;
    }
    let tenant: Tenant =
        tenant.parse().map_err(|_| fault::damaged(conn.path().unwrap_or_default(), "a tenant's name is none"))?;
    tree::add_stored_bytes(conn, &tenant, -(size.bytes() as i64))?;
    Ok(Removed { events: size.events, bytes: size.bytes() })
}

/// Whether a removal is to be gone on with.
pub(super) fn is_left(conn: &Connection) -> Result<bool, Error> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM removals)", [], |row| row.get(0))
        .map_err(fault::during("looking for removals", conn))
}

/// Goes on with a removal; whether there is more to do.
pub(super) fn step(conn: &Connection) -> Result<bool, Error> {
    let failed = fault::during("removing a tree", conn);
    let next: Option<i64> =
        conn.query_row("SELECT min(number) FROM removals", [], |row| row.get(0)).map_err(&failed)?;
    let Some(number) = next else {
        return Ok(false);
    };
    if !some_rows(conn, number)? && !some_mentions(conn, number)? {
        conn.execute("DELETE FROM removals WHERE number = ?1", [number]).map_err(&failed)?;
    }
    is_left(conn)
}

/// Takes some rows away; whether there were any.
fn some_rows(conn: &Connection, number: i64) -> Result<bool, Error> {
    let failed = fault::during("removing a tree", conn);
    let (first, last) = (tree::run_key(number, 0), tree::run_key(number, u32::MAX));
    for (table, key, place) in [("frames", "id", "id"), ("snapshots", "id", "id"), ("journal", "run", "position")] {
        let sql = format!(
            "SELECT {key}, {place}, length(body) FROM {table} WHERE {key} BETWEEN ?1 AND ?2
             ORDER BY {key}, {place} LIMIT {STEP_ROWS}"
        );
        let mut ask = conn.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = ask.query([first, last]).map_err(&failed)?;
        let (mut until, mut bytes) = (None, 0);
        while bytes < STEP_BYTES
            && let Some(row) = rows.next().map_err(&failed)?
        {
            until = Some((row.get::<_, i64>(0).map_err(&failed)?, row.get::<_, i64>(1).map_err(&failed)?));
            bytes += row.get::<_, i64>(2).map_err(&failed)?;
        }
        drop(rows);
        if let Some((until, up_to)) = until {
            let sql = format!("DELETE FROM {table} WHERE {key} BETWEEN ?1 AND ?2 AND ({key} < ?2 OR {place} <= ?3)");
            let keys = [first, until, up_to];
            conn.prepare_cached(&sql).and_then(|mut delete| delete.execute(keys)).map_err(&failed)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes some mentions of blobs back; whether there were any.
fn some_mentions(conn: &Connection, number: i64) -> Result<bool, Error> {
    let failed = fault::during("removing a tree", conn);
    let sql = "SELECT run, digest, coalesce(length(body), 0) FROM blob_mentions LEFT JOIN blobs USING (digest)
        WHERE run BETWEEN ?1 AND ?2 ORDER BY run, digest LIMIT ?3";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let keys = [tree::run_key(number, 0), tree::run_key(number, u32::MAX), STEP_ROWS as i64];
    let rows = ask.query_map(keys, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(&failed)?;
    let rows: Vec<(i64, String, i64)> = rows.collect::<Result<_, _>>().map_err(&failed)?;
    let mut bytes = 0;
    for (run, digest, length) in &rows {
        blobs::take_back(conn, *run, digest)?;
        bytes += length;
        if bytes >= STEP_BYTES {
            break;
        }
    }
    Ok(!rows.is_empty())
}

//! Large answers in SQL: each is kept once, and goes with the last journal that
//! mentions it. Within a tree it counts once too.

use pleach_kernel::{RootId, RunId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault;
use crate::{Blob, Error, plugin};

/// The runs of the same tree as `run`.
pub(super) fn tree_of(run: i64) -> (i64, i64) {
    (run & !i64::from(u32::MAX), run | i64::from(u32::MAX))
}

/// Keeps a blob for a run; by how much its tree has grown.
pub(super) fn mention(conn: &Connection, run: i64, blob: &Blob) -> Result<i64, Error> {
    let failed = fault::during("storing a large answer", conn);
    let known = is_mentioned(conn, &blob.digest, tree_of(run))?;
    let keep = "INSERT INTO blobs (digest, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut keep = conn.prepare_cached(keep).map_err(&failed)?;
    keep.execute(params![blob.digest, blob.body]).map_err(&failed)?;
    let note = "INSERT INTO blob_mentions (run, digest) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut note = conn.prepare_cached(note).map_err(&failed)?;
    note.execute(params![run, blob.digest]).map_err(&failed)?;
    Ok(if known { 0 } else { blob.body.len() as i64 })
}

/// Takes a run's mentions back, and the blobs that nobody mentions any more; by how
/// much its tree has shrunk.
pub(super) fn forget(conn: &Connection, run: i64) -> Result<i64, Error> {
    let failed = fault::during("forgetting large answers", conn);
    let sql =
        "SELECT digest, coalesce(length(body), 0) FROM blob_mentions LEFT JOIN blobs USING (digest) WHERE run = ?1";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let mentioned = ask.query_map([run], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)?;
    let mentioned: Vec<(String, i64)> = mentioned.collect::<Result<_, _>>().map_err(&failed)?;
    let mut shrunk = 0;
    for (digest, bytes) in mentioned {
        take_back(conn, run, &digest)?;
        if !is_mentioned(conn, &digest, tree_of(run))? {
            shrunk += bytes;
        }
    }
    Ok(shrunk)
}

/// Takes one mention back, and with the last one the blob.
pub(super) fn take_back(conn: &Connection, run: i64, digest: &str) -> Result<(), Error> {
    let failed = fault::during("forgetting a large answer", conn);
    let sql = "DELETE FROM blob_mentions WHERE run = ?1 AND digest = ?2";
    conn.prepare_cached(sql).and_then(|mut delete| delete.execute(params![run, digest])).map_err(&failed)?;
    if !is_mentioned(conn, digest, (0, i64::MAX))? {
        let sql = "DELETE FROM blobs WHERE digest = ?1";
        conn.prepare_cached(sql).and_then(|mut delete| delete.execute([digest])).map_err(&failed)?;
    }
    Ok(())
}

/// Whether one of these runs mentions a blob.
fn is_mentioned(conn: &Connection, digest: &str, (from, to): (i64, i64)) -> Result<bool, Error> {
    let failed = fault::during("looking for a large answer", conn);
    let sql = "SELECT EXISTS (SELECT 1 FROM blob_mentions WHERE digest = ?1 AND run BETWEEN ?2 AND ?3)";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    ask.query_row(params![digest, from, to], |row| row.get(0)).map_err(&failed)
}

/// A blob, verified. An error says in which run it is missed.
pub(super) fn read(conn: &Connection, digest: &str) -> Result<Option<Vec<u8>>, Error> {
    let sql = "SELECT body FROM blobs WHERE digest = ?1";
    let named = || fault::reading(format!("the blob {digest}{}", mentioned_by(conn, digest)), conn);
    let found: Option<Vec<u8>> =
        conn.query_row(sql, [digest], |row| row.get(0)).optional().map_err(|error| named()(error))?;
    let Some(body) = found else {
        return Ok(None);
    };
    match plugin::digest(&body) {
        found if found == digest => Ok(Some(body)),
        found => Err(Error::Corrupt {
            what: format!("the blob {digest}{}", mentioned_by(conn, digest)),
            detail: format!("its contents have the digest {found}"),
        }),
    }
}

/// Who needs a blob, for an error's text; nothing where that cannot be found out.
fn mentioned_by(conn: &Connection, digest: &str) -> String {
    let sql = "SELECT root, run & 0xffffffff FROM blob_mentions JOIN trees ON number = run >> 32
        WHERE digest = ?1 ORDER BY run LIMIT 1";
    let run = conn.query_row(sql, [digest], |row| {
        Ok(RunId { root: RootId(u128::from_be_bytes(row.get(0)?)), index: row.get(1)? })
    });
    run.map_or_else(|_| String::new(), |run| format!(" of run {run}"))
}

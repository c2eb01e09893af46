//! How large a tree is, in SQL.

use pleach_kernel::RootId;
use rusqlite::{Connection, OptionalExtension as _};

use super::{fault, tree};
use crate::{Error, TreeSize};

/// What a tree takes up.
pub(super) fn read(conn: &Connection, root: RootId) -> Result<Option<TreeSize>, Error> {
    let failed = fault::reading(format!("the size of tree {root}"), conn);
    let view = conn.unchecked_transaction().map_err(&failed)?;
    match tree::number(&view, root)? {
        Some((number, _)) => of(&view, number).map(Some),
        None => Ok(None),
    }
}

/// The same by a tree's number. Lengths of bodies stand beside them, so none is read.
pub(super) fn of(conn: &Connection, number: i64) -> Result<TreeSize, Error> {
    let failed = fault::during("measuring a tree", conn);
    let keys = [tree::run_key(number, 0), tree::run_key(number, u32::MAX)];
    let sum = |sql: &str| -> Result<(u64, u64), Error> {
        let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
        ask.query_row(keys, |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)
    };
    let (journal_entries, journal_bytes) = sum("SELECT coalesce(sum(entries), 0), coalesce(sum(length(body)), 0)
         FROM journal WHERE run BETWEEN ?1 AND ?2")?;
    let (_, blob_bytes) = sum("SELECT count(*), coalesce(sum(length(body)), 0) FROM blobs WHERE digest IN
         (SELECT digest FROM blob_mentions WHERE run BETWEEN ?1 AND ?2)")?;
    let (pieces, snapshot_bytes) = sum("SELECT count(*), coalesce(sum(length(body)), 0)
         FROM snapshots WHERE id BETWEEN ?1 AND ?2")?;
    let snapshot_seq = match pieces {
        0 => None,
        _ => conn
            .query_row("SELECT seq FROM snapshots WHERE id BETWEEN ?1 AND ?2 LIMIT 1", keys, |row| row.get(0))
            .optional()
            .map_err(&failed)?,
    };
    let (events, log_bytes) = conn
        .query_row("SELECT last_seq, bytes FROM trees WHERE number = ?1", [number], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .map_err(&failed)?;
    Ok(TreeSize { events, log_bytes, journal_entries, journal_bytes, blob_bytes, snapshot_seq, snapshot_bytes })
}

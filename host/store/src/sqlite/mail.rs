//! Messages for a tree's owner, in SQL. When they are looked for is in `watch.rs`.

use pleach_kernel::RootId;
use rusqlite::{Connection, params};

use super::{fault, tree};
use crate::Error;

/// Taken at once. Others that wait come right after.
const TAKE_LIMIT: u32 = 1024;

/// Leaves a message at a tree.
pub(super) fn post(conn: &Connection, root: RootId, message: &[u8]) -> Result<(), Error> {
    let posted = conn
        .execute(
            "INSERT INTO messages (tree, body) SELECT number, ?2 FROM trees WHERE root = ?1",
            params![tree::root_bytes(root), message],
        )
        .map_err(fault::during("leaving a message", conn))?;
    match posted {
        0 => Err(Error::NoSuchTree { tree: root }),
        _ => Ok(()),
    }
}

/// Whether something waits for `host`. Asked of a reader, so that looking in vain
/// costs the writer nothing.
pub(super) fn is_waiting(conn: &Connection, host: &str) -> Result<bool, Error> {
    let failed = fault::during("looking for messages", conn);
    let sql = "SELECT EXISTS (SELECT 1 FROM messages JOIN trees ON number = tree WHERE owner = ?1)";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    ask.query_row([host], |row| row.get(0)).map_err(&failed)
}

/// Takes what waits for `host`, oldest first.
pub(super) fn take(conn: &Connection, host: &str) -> Result<Vec<(RootId, Vec<u8>)>, Error> {
    let failed = fault::during("taking messages", conn);
    let sql = "SELECT id, root, body FROM messages JOIN trees ON number = tree
        WHERE owner = ?1 ORDER BY id LIMIT ?2";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let mut remove = conn.prepare_cached("DELETE FROM messages WHERE id = ?1").map_err(&failed)?;
    let mut taken = Vec::new();
    let rows = ask.query_map(params![host, TAKE_LIMIT], |row| {
        let root = RootId(u128::from_be_bytes(row.get(1)?));
        Ok((row.get::<_, i64>(0)?, (root, row.get(2)?)))
    });
    for row in rows.map_err(&failed)? {
        taken.push(row.map_err(&failed)?);
    }
    taken.into_iter().map(|(id, message)| remove.execute([id]).map(|_| message).map_err(&failed)).collect()
}

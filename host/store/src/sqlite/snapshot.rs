//! Snapshots in SQL: the state of a long log, so that not all of it has to be
//! folded. What the state is, is none of this file's business.

use pleach_kernel::{RootId, Tenant};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{fault, tree};
use crate::frame::{self, FRAME_LIMIT_BYTES};
use crate::{Error, Snapshot};

/// Keeps a snapshot in the place of an older one.
pub(super) fn put(conn: &Connection, host: &str, root: RootId, seq: u64, body: &[u8]) -> Result<(), Error> {
    let failed = fault::during("storing a snapshot", conn);
    let sql = "SELECT number, last_seq, tenant, owner = ?2 FROM trees WHERE root = ?1";
    let found: Option<(i64, u64, String, bool)> = conn
        .query_row(sql, params![tree::root_bytes(root), host], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()
        .map_err(&failed)?;
    let (number, last_seq, tenant, mine) = found.ok_or(Error::NoSuchTree { tree: root })?;
    if !mine {
        return Err(Error::NotOwner { tree: root });
    }
    if seq > last_seq {
        return Err(Error::SnapshotAhead { tree: root, seq, last_seq });
    }
    let keys = [frame::key(number, 0), frame::key(number, u64::from(u32::MAX))];
    let sql = "SELECT coalesce(sum(length(body)), 0) FROM snapshots WHERE id BETWEEN ?1 AND ?2";
    let before: i64 = conn.query_row(sql, keys, |row| row.get(0)).map_err(&failed)?;
    conn.execute("DELETE FROM snapshots WHERE id BETWEEN ?1 AND ?2", keys).map_err(&failed)?;

    let sql = "INSERT INTO snapshots (id, seq, pieces, crc, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = conn.prepare_cached(sql).map_err(&failed)?;
    // A state of no bytes is one too: a row has to say so.
    let pieces = body.len().div_ceil(FRAME_LIMIT_BYTES).max(1);
    for nth in 0..pieces {
        let from = nth * FRAME_LIMIT_BYTES;
        let piece = &body[from..body.len().min(from + FRAME_LIMIT_BYTES)];
        let id = frame::key(number, nth as u64);
        let crc = frame::checksum(&[id, tree::integer(seq), pieces as i64], piece);
        insert.execute(params![id, tree::integer(seq), pieces as i64, crc, piece]).map_err(&failed)?;
    }
    let tenant: Tenant =
        tenant.parse().map_err(|_| fault::damaged(conn.path().unwrap_or_default(), "a tenant's name is none"))?;
    tree::add_stored_bytes(conn, &tenant, body.len() as i64 - before)
}

/// A tree's snapshot and the seq it is of, verified.
pub(super) fn read(conn: &Connection, root: RootId) -> Result<Option<Snapshot>, Error> {
    let view = conn.unchecked_transaction().map_err(fault::during("reading a snapshot", conn))?;
    match tree::number(&view, root)? {
        Some((number, last_seq)) => verify(&view, root, number, last_seq),
        None => Ok(None),
    }
}

/// The same inside a view of the file, for a tree that was looked up.
pub(super) fn verify(conn: &Connection, root: RootId, number: i64, last_seq: u64) -> Result<Option<Snapshot>, Error> {
    let name = format!("the snapshot of tree {root}");
    let failed = fault::reading(name.clone(), conn);
    let mut reading = Reading::new(number);
    let sql = "SELECT id, seq, pieces, crc, body FROM snapshots WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let keys = [frame::key(number, 0), frame::key(number, u64::from(u32::MAX))];
    let mut rows = ask.query(keys).map_err(&failed)?;
    let damaged = |detail: &str| Error::Corrupt { what: name.clone(), detail: detail.to_owned() };
    while let Some(row) = rows.next().map_err(&failed)? {
        let body = row.get_ref(4).map_err(&failed)?.as_blob().map_err(|error| failed(error.into()))?;
        let [id, seq, pieces, crc] = [0, 1, 2, 3].map(|at| row.get::<_, i64>(at));
        let (id, seq, pieces) = (id.map_err(&failed)?, seq.map_err(&failed)?, pieces.map_err(&failed)?);
        reading.piece(id, seq, pieces, crc.map_err(&failed)?, body).map_err(damaged)?;
    }
    match reading.finish().map_err(damaged)? {
        Some((seq, _)) if seq > last_seq => Err(damaged("it is of a seq that the log does not reach")),
        whole => Ok(whole),
    }
}

/// A snapshot as it is put together.
struct Reading {
    number: i64,
    /// Its seq and how many pieces it has; none before the first.
    head: Option<(i64, i64)>,
    read: i64,
    body: Vec<u8>,
}

impl Reading {
    fn new(number: i64) -> Self {
        Self { number, head: None, read: 0, body: Vec::new() }
    }

    fn piece(&mut self, id: i64, seq: i64, pieces: i64, crc: i64, body: &[u8]) -> Result<(), &'static str> {
        if i64::from(frame::checksum(&[id, seq, pieces], body)) != crc {
            return Err("its checksum does not match");
        }
        if id != frame::key(self.number, self.read as u64) || *self.head.get_or_insert((seq, pieces)) != (seq, pieces) {
            return Err("a piece of it is missing");
        }
        self.read += 1;
        self.body.extend_from_slice(body);
        Ok(())
    }

    fn finish(self) -> Result<Option<Snapshot>, &'static str> {
        match self.head {
            None => Ok(None),
            Some((seq, pieces)) if pieces == self.read => Ok(Some((seq.unsigned_abs(), self.body))),
            Some(_) => Err("a piece of it is missing"),
        }
    }
}

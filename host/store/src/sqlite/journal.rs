//! Journals in SQL: what guests were answered, several answers a row. Which answers
//! an append may add is decided in `append.rs`, for every store alike.
//!
//! An append adds a row. Once a block of positions is full its rows become one, so
//! that a long journal is neither many rows nor one that is written again and again.

use std::mem::take;
use std::ops::AddAssign;

use pleach_kernel::{RootId, RunId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{blobs, fault, tree};
use crate::frame::{self, FRAME_LIMIT_BYTES};
use crate::{Blob, Error, JournalEntry};

/// Rows that start in the same block are merged once the block is full.
const BLOCK: u32 = 64;

/// A merged row is no longer than this; what is longer stays by itself.
const MERGED_LIMIT_BYTES: usize = 1 << 20;

/// One run's journal in one transaction.
pub(super) struct Journal {
    run: i64,
    /// The position after the last.
    next: u32,
    /// Entries that are in no row yet; the last of them is before `next`.
    pending: Vec<u8>,
    pending_count: u32,
    blobs: Vec<Blob>,
    blob_bytes: usize,
    /// Whatever was there before this transaction is still to go.
    forgotten: bool,
}

/// By how much a tree's journals have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) entries: i64,
    /// Blobs included.
    pub(super) bytes: i64,
}

impl AddAssign for Change {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

impl Journal {
    /// The journal of a run, which has got to `next`.
    pub(super) fn new(run: i64, next: u32) -> Self {
        let (pending, blobs) = (Vec::new(), Vec::new());
        Self { run, next, pending, pending_count: 0, blobs, blob_bytes: 0, forgotten: false }
    }

    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Drops what there is, in the file and here.
    pub(super) fn forget(&mut self) {
        *self = Self { forgotten: true, ..Self::new(self.run, 0) };
    }

    /// Adds an entry that was found to follow.
    pub(super) fn push(&mut self, entry: JournalEntry) {
        debug_assert_eq!(entry.position, self.next);
        frame::push(&mut self.pending, &entry.body);
        self.pending_count += 1;
        self.next += 1;
        if let Some(blob) = entry.blob {
            self.blob_bytes += blob.body.len();
            self.blobs.push(blob);
        }
    }

    /// Whether so much is pending that it should not wait for the rest.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() + self.blob_bytes > FRAME_LIMIT_BYTES
    }

    /// Writes what is pending.
    pub(super) fn write(&mut self, conn: &Connection) -> Result<Change, Error> {
        let mut change = Change::default();
        if take(&mut self.forgotten) {
            change += forget(conn, self.run)?;
        }
        self.blob_bytes = 0;
        for blob in take(&mut self.blobs) {
            change.bytes += blobs::mention(conn, self.run, &blob)?;
        }
        let entries = take(&mut self.pending_count);
        if entries == 0 {
            return Ok(change);
        }
        let piece = Piece { first: self.next - entries, entries, body: take(&mut self.pending) };
        change += Change { entries: i64::from(entries), bytes: piece.body.len() as i64 };
        let block = piece.first - piece.first % BLOCK;
        match piece.first > block && piece.end() >= block + BLOCK {
            true => self.merge(conn, block, piece)?,
            false => insert(conn, self.run, &piece)?,
        }
        Ok(change)
    }

    /// Makes the rows of a block, which `last` completes, into one.
    fn merge(&self, conn: &Connection, block: u32, last: Piece) -> Result<(), Error> {
        let rows = match pieces(conn, self.run, block, last.first) {
            Ok(rows) => rows,
            // With a new checksum damage could not be told from what is whole.
            Err(error) => {
                let (tree_number, run) = (self.run >> 32, self.run & i64::from(u32::MAX));
                tracing::warn!(%error, tree_number, run, "a journal is damaged; its rows stay as they are");
                return insert(conn, self.run, &last);
            }
        };
        let mut merged: Vec<Piece> = Vec::new();
        for piece in rows.into_iter().chain([last]) {
            match merged.last_mut() {
                Some(before) if before.body.len() + piece.body.len() <= MERGED_LIMIT_BYTES => before.extend(&piece),
                Some(_) | None => merged.push(piece),
            }
        }
        let failed = fault::during("appending to a journal", conn);
        let sql = "DELETE FROM journal WHERE run = ?1 AND position >= ?2";
        let mut delete = conn.prepare_cached(sql).map_err(&failed)?;
        delete.execute(params![self.run, block]).map_err(&failed)?;
        merged.iter().try_for_each(|piece| insert(conn, self.run, piece))
    }
}

/// The entries of one row.
pub(super) struct Piece {
    pub(super) first: u32,
    pub(super) entries: u32,
    pub(super) body: Vec<u8>,
}

impl Piece {
    /// A row of `position, entries, crc, body`, and what is wrong with it if anything is.
    pub(super) fn read(run: i64, row: &Row<'_>) -> rusqlite::Result<(Self, Option<&'static str>)> {
        let piece = Self { first: row.get(0)?, entries: row.get(1)?, body: row.get(3)? };
        let crc: u32 = row.get(2)?;
        let wrong = if piece.checksum(run) != crc {
            Some("its checksum does not match")
        } else if frame::events(&piece.body).take_while(Result::is_ok).count() as u64 != u64::from(piece.entries) {
            Some("it does not hold as many answers as it says")
        } else {
            None
        };
        Ok((piece, wrong))
    }

    /// The position after its last.
    pub(super) fn end(&self) -> u32 {
        self.first.saturating_add(self.entries)
    }

    fn checksum(&self, run: i64) -> u32 {
        frame::checksum(&[run, i64::from(self.first)], &self.body)
    }

    fn extend(&mut self, next: &Self) {
        debug_assert_eq!(self.end(), next.first);
        self.entries += next.entries;
        self.body.extend_from_slice(&next.body);
    }
}

/// The whole rows from `from` up to `to`, verified to be without a gap.
fn pieces(conn: &Connection, run: i64, from: u32, to: u32) -> Result<Vec<Piece>, Error> {
    let failed = fault::during("reading a journal", conn);
    let sql = "SELECT position, entries, crc, body FROM journal
        WHERE run = ?1 AND position >= ?2 ORDER BY position";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let mut pieces: Vec<Piece> = Vec::new();
    let damaged = |detail: &str| fault::damaged(conn.path().unwrap_or_default(), detail);
    for row in ask.query_map(params![run, from], |row| Piece::read(run, row)).map_err(&failed)? {
        let (piece, wrong) = row.map_err(&failed)?;
        if let Some(wrong) = wrong {
            return Err(damaged(wrong));
        }
        if pieces.last().is_some_and(|before| before.end() != piece.first) {
            return Err(damaged("an answer is missing"));
        }
        pieces.push(piece);
    }
    match pieces.last().is_none_or(|last| last.end() == to) {
        true => Ok(pieces),
        false => Err(damaged("an answer is missing")),
    }
}

fn insert(conn: &Connection, run: i64, piece: &Piece) -> Result<(), Error> {
    let failed = fault::during("appending to a journal", conn);
    let sql = "INSERT INTO journal (run, position, entries, crc, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = conn.prepare_cached(sql).map_err(&failed)?;
    insert.execute(params![run, piece.first, piece.entries, piece.checksum(run), piece.body]).map_err(&failed)?;
    Ok(())
}

/// Where a run's journal has got to.
pub(super) fn next(conn: &Connection, run: i64) -> Result<u32, Error> {
    let failed = fault::during("looking for the end of a journal", conn);
    let sql = "SELECT position + entries FROM journal WHERE run = ?1 ORDER BY position DESC LIMIT 1";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    Ok(ask.query_row([run], |row| row.get(0)).optional().map_err(&failed)?.unwrap_or(0))
}

/// Drops a run's journal and what only it mentions.
fn forget(conn: &Connection, run: i64) -> Result<Change, Error> {
    let failed = fault::during("forgetting a journal", conn);
    let sql = "SELECT coalesce(sum(entries), 0), coalesce(sum(length(body)), 0) FROM journal WHERE run = ?1";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let (entries, bytes): (i64, i64) = ask.query_row([run], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)?;
    let mut delete = conn.prepare_cached("DELETE FROM journal WHERE run = ?1").map_err(&failed)?;
    delete.execute([run]).map_err(&failed)?;
    let blobs = blobs::forget(conn, run)?;
    Ok(Change { entries: -entries, bytes: -bytes - blobs })
}

/// A run's journal; every position is checked to be there.
pub(super) fn read(conn: &Connection, root: RootId, run: u32) -> Result<Vec<Vec<u8>>, Error> {
    let name = || format!("the journal of run {}", RunId { root, index: run });
    let failed = fault::reading(name(), conn);
    let view = conn.unchecked_transaction().map_err(&failed)?;
    let Some((number, _)) = tree::number(&view, root)? else {
        return Ok(Vec::new());
    };
    let key = tree::run_key(number, run);
    let sql = "SELECT position, entries, crc, body FROM journal WHERE run = ?1 ORDER BY position";
    let mut ask = view.prepare_cached(sql).map_err(&failed)?;
    let mut read: Vec<Vec<u8>> = Vec::new();
    let damaged = |position: u64, detail: &str| Error::Corrupt {
        what: format!("{} at answer {position}", name()),
        detail: detail.to_owned(),
    };
    for row in ask.query_map([key], |row| Piece::read(key, row)).map_err(&failed)? {
        let (piece, wrong) = row.map_err(&failed)?;
        let next = read.len() as u64;
        if u64::from(piece.first) != next {
            return Err(damaged(next, "it is missing"));
        }
        if let Some(wrong) = wrong {
            return Err(damaged(next, wrong));
        }
        read.extend(frame::events(&piece.body).filter_map(Result::ok).map(<[u8]>::to_vec));
    }
    Ok(read)
}

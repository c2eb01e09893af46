//! Each tree by itself: its log, its journals, its snapshot; and rows that belong to
//! no tree.

use pleach_kernel::{RootId, RunId};
use rusqlite::Connection;

use super::unreadable;
use crate::frame;
use crate::sqlite::journal::Piece;
use crate::sqlite::{fault, snapshot, tree};
use crate::{Error, Problem};

/// A tree as its row has it.
struct Row {
    number: i64,
    root: RootId,
    last_seq: u64,
    bytes: u64,
    run_count: u32,
    journal_entries: i64,
    ended: bool,
}

impl Row {
    fn problem(&self, what: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { tree: Some(self.root), what: what.into(), detail: detail.into() }
    }

    fn keys(&self) -> [i64; 2] {
        [tree::run_key(self.number, 0), tree::run_key(self.number, u32::MAX)]
    }
}

pub(super) fn check(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    strays(conn, found)?;
    let failed = fault::during("checking trees", conn);
    let sql = "SELECT number, root, last_seq, bytes, run_count, journal_entries, finished_at IS NOT NULL
        FROM trees ORDER BY number";
    let mut ask = conn.prepare(sql).map_err(&failed)?;
    let rows = ask.query_map([], |row| {
        Ok(Row {
            number: row.get(0)?,
            root: RootId(u128::from_be_bytes(row.get(1)?)),
            last_seq: row.get(2)?,
            bytes: row.get(3)?,
            run_count: row.get(4)?,
            journal_entries: row.get(5)?,
            ended: row.get(6)?,
        })
    });
    for row in rows.map_err(&failed)? {
        let row = row.map_err(&failed)?;
        for part in [log, journals, snapshot_of] {
            if let Err(error) = part(conn, &row, found) {
                found.push(Problem { tree: Some(row.root), ..unreadable(error) });
            }
        }
    }
    Ok(())
}

/// Rows of trees that are neither there nor being removed.
fn strays(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::during("looking for rows without a tree", conn);
    for (table, key) in [("frames", "id"), ("journal", "run"), ("snapshots", "id"), ("blob_mentions", "run")] {
        let sql = format!(
            "SELECT {key} >> 32 AS tree, count(*) FROM {table} WHERE tree NOT IN (SELECT number FROM trees)
             AND tree NOT IN (SELECT number FROM removals) GROUP BY tree"
        );
        let mut ask = conn.prepare(&sql).map_err(&failed)?;
        for row in ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)? {
            let (number, count): (i64, u64) = row.map_err(&failed)?;
            let detail = format!("{count} rows are of tree number {number}, which is not there");
            found.push(Problem { tree: None, what: format!("the table {table}"), detail });
        }
    }
    Ok(())
}

fn log(conn: &Connection, of: &Row, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::reading(format!("the log of tree {}", of.root), conn);
    let sql = "SELECT id, crc, body FROM frames WHERE id BETWEEN ?1 AND ?2 ORDER BY id";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let mut rows = ask.query(of.keys()).map_err(&failed)?;
    let (mut next, mut bytes) = (1, 0);
    let mut report = |seq: u64, detail: String| {
        found.push(of.problem(format!("the log of tree {} at seq {seq}", of.root), detail));
    };
    while let Some(row) = rows.next().map_err(&failed)? {
        let [key, crc] = [0, 1].map(|at| row.get::<_, i64>(at));
        let (key, crc) = (key.map_err(&failed)?, crc.map_err(&failed)?);
        let body = row.get_ref(2).map_err(&failed)?.as_blob().map_err(|error| failed(error.into()))?;
        let first = frame::first_seq(key);
        if first != next {
            report(next, format!("seq {first} comes where seq {next} is expected"));
        }
        if i64::from(frame::checksum(&[key], body)) != crc {
            report(first, "its checksum does not match".into());
        }
        let whole = frame::events(body).take_while(Result::is_ok).count() as u64;
        if frame::events(body).any(|event| event.is_err()) {
            report(first + whole, "it is cut off".into());
        }
        next = first + whole;
        bytes += body.len() as u64;
    }
    if next != of.last_seq + 1 {
        report(next, format!("the log ends before it, at seq {} by its row", of.last_seq));
    }
    if bytes != of.bytes {
        report(1, format!("it has {bytes} bytes, {} by its row", of.bytes));
    }
    Ok(())
}

fn journals(conn: &Connection, of: &Row, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::reading(format!("the journals of tree {}", of.root), conn);
    let sql =
        "SELECT position, entries, crc, body, run FROM journal WHERE run BETWEEN ?1 AND ?2 ORDER BY run, position";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let mut rows = ask.query(of.keys()).map_err(&failed)?;
    let (mut run, mut next, mut entries) = (None, 0, 0);
    while let Some(row) = rows.next().map_err(&failed)? {
        let key: i64 = row.get(4).map_err(&failed)?;
        let index = (key & i64::from(u32::MAX)) as u32;
        let what = format!("the journal of run {}", RunId { root: of.root, index });
        if run.replace(key) != Some(key) {
            next = 0;
            if index >= of.run_count {
                found.push(of.problem(&what, format!("the tree has {} runs", of.run_count)));
            }
            if of.ended {
                found.push(of.problem(&what, "the tree has ended, so it should be forgotten"));
            }
        }
        let (piece, wrong) = Piece::read(key, row).map_err(&failed)?;
        if piece.first != next {
            found.push(of.problem(&what, format!("answer {} comes where {next} is expected", piece.first)));
        }
        if let Some(wrong) = wrong {
            found.push(of.problem(format!("{what} at answer {}", piece.first), wrong));
        }
        next = piece.end();
        entries += i64::from(piece.entries);
    }
    if entries != of.journal_entries {
        let detail = format!("they have {entries} answers, {} by its row", of.journal_entries);
        found.push(of.problem(format!("the journals of tree {}", of.root), detail));
    }
    mentions(conn, of, found)
}

/// Blobs that are mentioned without a journal, or missing.
fn mentions(conn: &Connection, of: &Row, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::reading(format!("the blobs of tree {}", of.root), conn);
    let sql = "SELECT run, digest, EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = blob_mentions.digest),
        EXISTS (SELECT 1 FROM journal WHERE journal.run = blob_mentions.run)
        FROM blob_mentions WHERE run BETWEEN ?1 AND ?2 ORDER BY run, digest";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let rows = ask.query_map(of.keys(), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?, row.get::<_, bool>(3)?))
    });
    for row in rows.map_err(&failed)? {
        let (key, digest, kept, journaled) = row.map_err(&failed)?;
        let run = RunId { root: of.root, index: (key & i64::from(u32::MAX)) as u32 };
        let what = format!("the blob {digest} of run {run}");
        if !kept {
            found.push(of.problem(&what, "it is missing"));
        }
        if !journaled {
            found.push(of.problem(&what, "the run has no journal"));
        }
    }
    Ok(())
}

fn snapshot_of(conn: &Connection, of: &Row, found: &mut Vec<Problem>) -> Result<(), Error> {
    match snapshot::verify(conn, of.root, of.number, of.last_seq) {
        Ok(_) => Ok(()),
        Err(Error::Corrupt { what, detail }) => {
            found.push(of.problem(what, detail));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

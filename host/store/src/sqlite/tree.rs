//! Trees and their events: reading them, and who owns them. Appending is in
//! `batch.rs`.

use pleach_kernel::{RootId, Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault;
use crate::{Error, StoredEvent, TreeFilter, TreeSummary, frame};

/// A root as it is stored: big endian, so that it sorts like the number.
pub(super) fn root_bytes(root: RootId) -> [u8; 16] {
    root.0.to_be_bytes()
}

/// A run as it is stored, in the tree with this number.
pub(super) fn run_key(number: i64, run: u32) -> i64 {
    frame::key(number, u64::from(run))
}

/// A number as SQLite can hold it. Only instants at the end of time are cut.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The events of a tree from `from_seq` on; every seq is checked to be there.
pub(super) fn events(conn: &Connection, root: RootId, from_seq: u64, limit: usize) -> Result<Vec<StoredEvent>, Error> {
    let failed = fault::reading(format!("the log of tree {root}"), conn);
    // One view of the log: the row that says how long it is, and the log itself.
    let view = conn.unchecked_transaction().map_err(&failed)?;
    let found = number(&view, root)?;
    let Some((number, last_seq)) = found else {
        return Ok(Vec::new());
    };
    let from_seq = from_seq.max(1);
    if from_seq > last_seq || limit == 0 {
        return Ok(Vec::new());
    }
    let to_seq = last_seq.min(from_seq.saturating_add(limit as u64 - 1));
    let mut reading = Reading { root, next_seq: from_seq, to_seq, events: Vec::new() };
    // The frame that holds `from_seq` may have started before it.
    let sql = "SELECT id, crc, body FROM frames WHERE id BETWEEN
        coalesce((SELECT max(id) FROM frames WHERE id BETWEEN ?1 AND ?2), ?2) AND ?3 ORDER BY id";
    let mut frames = view.prepare_cached(sql).map_err(&failed)?;
    let keys = [frame::key(number, 0), frame::key(number, from_seq), frame::key(number, to_seq)];
    let mut rows = frames.query(keys).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let crc: u32 = row.get(1).map_err(&failed)?;
        let body = row.get_ref(2).map_err(&failed)?;
        let body = body.as_blob().map_err(|error| failed(error.into()))?;
        reading.frame(row.get(0).map_err(&failed)?, crc, body)?;
    }
    reading.finish()
}

/// Events as they come out of frames.
struct Reading {
    root: RootId,
    next_seq: u64,
    to_seq: u64,
    events: Vec<StoredEvent>,
}

impl Reading {
    fn frame(&mut self, key: i64, crc: u32, body: &[u8]) -> Result<(), Error> {
        let first_seq = frame::first_seq(key);
        if frame::checksum(&[key], body) != crc {
            return Err(self.damaged(first_seq, "its checksum does not match"));
        }
        if !self.events.is_empty() && first_seq != self.next_seq {
            return Err(self.damaged(self.next_seq, "it is missing"));
        }
        for (seq, event) in (first_seq..).zip(frame::events(body)) {
            let Ok(event) = event else {
                return Err(self.damaged(seq, "it is cut off"));
            };
            if seq == self.next_seq && seq <= self.to_seq {
                self.events.push(StoredEvent { seq, body: event.into() });
                self.next_seq += 1;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<StoredEvent>, Error> {
        match self.next_seq > self.to_seq {
            true => Ok(self.events),
            false => Err(self.damaged(self.next_seq, "it is missing")),
        }
    }

    fn damaged(&self, seq: u64, detail: &str) -> Error {
        let what = format!("the log of tree {} at seq {seq}", self.root);
        Error::Corrupt { what, detail: detail.to_owned() }
    }
}

/// A tree's number and its last seq.
pub(super) fn number(conn: &Connection, root: RootId) -> Result<Option<(i64, u64)>, Error> {
    let failed = fault::during("reading a tree", conn);
    let mut ask = conn.prepare_cached("SELECT number, last_seq FROM trees WHERE root = ?1").map_err(&failed)?;
    ask.query_row([root_bytes(root)], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(&failed)
}

const SUMMARY: &str = "SELECT root, tenant, plugin, status, created_at, finished_at, run_count,
    last_seq, policy_version FROM trees";

const UNFINISHED: &str = "finished_at IS NULL ORDER BY created_at, number";

fn read_summary(row: &Row<'_>) -> rusqlite::Result<TreeSummary> {
    let tenant: String = row.get(1)?;
    let tenant = tenant
        .parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(TreeSummary {
        root: RootId(u128::from_be_bytes(row.get(0)?)),
        tenant,
        plugin: row.get(2)?,
        status: row.get(3)?,
        created_at: Timestamp(row.get(4)?),
        finished_at: row.get::<_, Option<u64>>(5)?.map(Timestamp),
        run_count: row.get(6)?,
        last_seq: row.get(7)?,
        policy_version: row.get(8)?,
    })
}

/// The row that sums a tree up.
pub(super) fn summary(conn: &Connection, root: RootId) -> Result<Option<TreeSummary>, Error> {
    let failed = fault::during("reading a tree", conn);
    let mut ask = conn.prepare_cached(&format!("{SUMMARY} WHERE root = ?1")).map_err(&failed)?;
    ask.query_row([root_bytes(root)], read_summary).optional().map_err(&failed)
}

/// A tenant's trees, newest first; the younger number first where times are equal.
pub(super) fn list(conn: &Connection, tenant: &Tenant, filter: &TreeFilter) -> Result<Vec<TreeSummary>, Error> {
    let failed = fault::during("listing trees", conn);
    let (created_at, number) = match filter.before {
        None => (i64::MAX, i64::MAX),
        Some(tree) => conn
            .query_row("SELECT created_at, number FROM trees WHERE root = ?1", [root_bytes(tree)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()
            .map_err(&failed)?
            .ok_or(Error::NoSuchTree { tree })?,
    };
    let sql = format!(
        "{SUMMARY} WHERE tenant = ?1 AND (created_at, number) < (?2, ?3)
         AND (?4 IS NULL OR status = ?4) ORDER BY created_at DESC, number DESC LIMIT ?5"
    );
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let mut ask = conn.prepare_cached(&sql).map_err(&failed)?;
    let rows = ask
        .query_map(params![tenant.as_str(), created_at, number, filter.status, limit], read_summary)
        .map_err(&failed)?;
    rows.collect::<Result<_, _>>().map_err(&failed)
}

/// Every tree that has not ended, oldest first.
pub(super) fn unfinished(conn: &Connection) -> Result<Vec<TreeSummary>, Error> {
    let failed = fault::during("listing trees", conn);
    let sql = format!("{SUMMARY} WHERE {UNFINISHED}");
    let mut ask = conn.prepare_cached(&sql).map_err(&failed)?;
    let rows = ask.query_map([], read_summary).map_err(&failed)?;
    rows.collect::<Result<_, _>>().map_err(&failed)
}

/// Trees that ended before an instant and are not among the `keep` of their tenant
/// that ended last; oldest end first.
pub(super) fn ended(
    conn: &Connection,
    before: Option<Timestamp>,
    keep: usize,
    limit: usize,
) -> Result<Vec<TreeSummary>, Error> {
    let failed = fault::during("listing ended trees", conn);
    let until = before.map_or(i64::MAX, |before| integer(before.0).saturating_sub(1));
    let [keep, limit] = [keep, limit].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    // Ranking looks at all that have ended; where none is kept it is left out.
    let ranked = match keep {
        0 => "",
        _ => {
            "AND number IN (SELECT number FROM (SELECT number, row_number() OVER
             (PARTITION BY tenant ORDER BY finished_at DESC, number DESC) AS place
             FROM trees WHERE finished_at IS NOT NULL) WHERE place > ?2)"
        }
    };
    let sql = format!(
        "{SUMMARY} WHERE finished_at IS NOT NULL AND finished_at <= ?1 AND ?2 >= 0 {ranked}
         ORDER BY finished_at, number LIMIT ?3"
    );
    let mut ask = conn.prepare_cached(&sql).map_err(&failed)?;
    let rows = ask.query_map(params![until, keep, limit], read_summary).map_err(&failed)?;
    rows.collect::<Result<_, _>>().map_err(&failed)
}

/// What a tenant has stored.
pub(super) fn stored_bytes(conn: &Connection, tenant: &Tenant) -> Result<u64, Error> {
    let failed = fault::during("reading what is stored", conn);
    let ask = conn.query_row("SELECT bytes FROM usage WHERE tenant = ?1", [tenant.as_str()], |row| row.get(0));
    Ok(ask.optional().map_err(&failed)?.unwrap_or(0))
}

/// Adds to what a tenant has stored, or takes off it.
pub(super) fn add_stored_bytes(conn: &Connection, tenant: &Tenant, bytes: i64) -> Result<(), Error> {
    let failed = fault::during("counting what is stored", conn);
    let sql = "INSERT INTO usage (tenant, bytes) VALUES (?1, ?2)
        ON CONFLICT (tenant) DO UPDATE SET bytes = bytes + excluded.bytes";
    let mut add = conn.prepare_cached(sql).map_err(&failed)?;
    add.execute(params![tenant.as_str(), bytes]).map_err(&failed)?;
    Ok(())
}

/// The host that stands in a tree's row.
pub(super) fn owner(conn: &Connection, root: RootId) -> Result<Option<String>, Error> {
    let failed = fault::during("reading a tree's owner", conn);
    let mut ask = conn.prepare_cached("SELECT owner FROM trees WHERE root = ?1").map_err(&failed)?;
    ask.query_row([root_bytes(root)], |row| row.get(0)).optional().map_err(&failed)
}

pub(super) fn set_owner(conn: &Connection, root: RootId, host: &str) -> Result<(), Error> {
    conn.execute("UPDATE trees SET owner = ?2 WHERE root = ?1", params![root_bytes(root), host])
        .map_err(fault::during("adopting a tree", conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn trees_that_have_not_ended_are_found_without_looking_at_those_that_have() {
        let mut conn = Connection::open_in_memory().unwrap();
        schema::migrate(&mut conn).unwrap();
        for condition in [UNFINISHED, "finished_at IS NOT NULL AND finished_at <= 5 ORDER BY finished_at, number"] {
            let plan = format!("EXPLAIN QUERY PLAN {SUMMARY} WHERE {condition}");
            let mut plan = conn.prepare(&plan).unwrap();
            let steps: Result<Vec<String>, _> = plan.query_map([], |row| row.get(3)).unwrap().collect();
            let steps = steps.unwrap();
            assert!(steps.len() == 1 && steps[0].contains("USING INDEX trees_"), "{condition}: {steps:?}");
        }
    }
}

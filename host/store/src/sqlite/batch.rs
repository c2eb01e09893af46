//! The appends of one transaction. Each tree's events become one frame and its row
//! is written once, however many appends it had. When the transaction begins and
//! ends, and who is told, is `writer.rs`.

use std::collections::{BTreeMap, HashMap};
use std::mem::take;

use pleach_kernel::{RootId, Tenant};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::{fault, tree};
use crate::frame::{self, FRAME_LIMIT_BYTES};
use crate::{Append, Error, TreeSummary};

/// The last number a tree can have; with it a frame's key fits into 64 bits.
const NUMBER_LIMIT: i64 = i32::MAX as i64;

/// Who is hit by an error.
pub(super) enum Trouble {
    /// This append, and no other tree's.
    Append(Error),
    /// The database, and so everything in the transaction.
    Database(Error),
}

pub(super) struct Batch<'a> {
    conn: &'a Connection,
    host: &'a str,
    trees: Vec<Open>,
    by_root: HashMap<RootId, usize>,
    /// Given to the next new tree; none until there is one.
    next_number: Option<i64>,
    grown: BTreeMap<Tenant, u64>,
    events: u64,
}

/// A tree of this batch.
struct Open {
    number: i64,
    /// None where it has no row yet; else the last seq in its row: the fence.
    stored_seq: Option<u64>,
    last_seq: u64,
    tenant: Tenant,
    mine: bool,
    /// Events that are in no frame yet; `last_seq` is the last of them.
    pending: Vec<u8>,
    pending_count: u64,
    grown: u64,
    /// None where nothing was appended.
    summary: Option<TreeSummary>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(conn: &'a Connection, host: &'a str) -> Self {
        Self {
            conn,
            host,
            trees: Vec::new(),
            by_root: HashMap::new(),
            next_number: None,
            grown: BTreeMap::new(),
            events: 0,
        }
    }

    /// Events appended so far.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Adds an append, if it follows. Everything that speaks against it is found
    /// before anything is written, so that it can fail alone.
    pub(super) fn append(&mut self, append: &mut Append) -> Result<(), Trouble> {
        append.check().map_err(Trouble::Append)?;
        let at = match self.by_root.get(&append.root) {
            Some(at) => *at,
            None => self.open(append)?,
        };
        let open = &mut self.trees[at];
        append.follows(open.last_seq, &open.tenant).map_err(Trouble::Append)?;
        if !open.mine {
            return Err(Trouble::Append(Error::NotOwner { tree: append.root }));
        }
        for event in take(&mut append.events) {
            frame::push(&mut open.pending, &event);
            open.pending_count += 1;
            open.last_seq += 1;
            open.grown += frame::stored_len(&event);
            self.events += 1;
            if open.pending.len() > FRAME_LIMIT_BYTES {
                open.write_frame(self.conn).map_err(Trouble::Database)?;
            }
        }
        open.summary = Some(append.summary.clone());
        Ok(())
    }

    /// Looks a tree up, or begins it.
    fn open(&mut self, append: &Append) -> Result<usize, Trouble> {
        let failed = fault::during("appending", self.conn);
        let failed = |error| Trouble::Database(failed(error));
        let sql = "SELECT number, last_seq, tenant = ?2, owner = ?3 FROM trees WHERE root = ?1";
        let mut ask = self.conn.prepare_cached(sql).map_err(failed)?;
        let key = params![tree::root_bytes(append.root), append.tenant.as_str(), self.host];
        let known = ask
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?, row.get(3)?)))
            .optional()
            .map_err(failed)?;
        let (number, stored_seq, same_tenant, mine) = match known {
            Some((number, last_seq, same_tenant, mine)) => (number, Some(last_seq), same_tenant, mine),
            None => {
                // Before a number is given away: it would leave a hole for nothing.
                append.follows(0, &append.tenant).map_err(Trouble::Append)?;
                (self.new_number(append.root)?, None, true, true)
            }
        };
        let last_seq = stored_seq.unwrap_or(0);
        if !same_tenant {
            let detail = format!("it belongs to another tenant than {}", append.tenant);
            return Err(Trouble::Append(Error::Refused { tree: append.root, detail }));
        }
        self.by_root.insert(append.root, self.trees.len());
        self.trees.push(Open {
            number,
            stored_seq,
            last_seq,
            tenant: append.tenant.clone(),
            mine,
            pending: Vec::new(),
            pending_count: 0,
            grown: 0,
            summary: None,
        });
        Ok(self.trees.len() - 1)
    }

    fn new_number(&mut self, tree: RootId) -> Result<i64, Trouble> {
        let failed = fault::during("appending", self.conn);
        let number = match self.next_number {
            Some(number) => number,
            None => self
                .conn
                .query_row("SELECT coalesce(max(number), 0) + 1 FROM trees", [], |row| row.get(0))
                .map_err(|error| Trouble::Database(failed(error)))?,
        };
        if number > NUMBER_LIMIT {
            let detail = format!("the store has {NUMBER_LIMIT} trees already; use another one");
            return Err(Trouble::Append(Error::Refused { tree, detail }));
        }
        self.next_number = Some(number + 1);
        Ok(number)
    }

    /// Writes what is pending and forgets what was looked up.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.by_root.clear();
        self.next_number = None;
        let mut trees = take(&mut self.trees);
        // In key order the writes move through the database in one direction.
        trees.sort_by_key(|tree| tree.number);
        let mut rows = Rows::prepare(self.conn)?;
        for mut tree in trees {
            tree.write_frame(self.conn)?;
            let Some(summary) = take(&mut tree.summary) else {
                continue;
            };
            rows.write(&tree, &summary, self.host)?;
            *self.grown.entry(tree.tenant).or_default() += tree.grown;
        }
        for (tenant, bytes) in take(&mut self.grown) {
            tree::add_stored_bytes(self.conn, &tenant, bytes)?;
        }
        Ok(())
    }
}

impl Open {
    /// Makes a frame of what is pending.
    fn write_frame(&mut self, conn: &Connection) -> Result<(), Error> {
        if self.pending_count == 0 {
            return Ok(());
        }
        let failed = fault::during("appending", conn);
        let key = frame::key(self.number, self.last_seq + 1 - self.pending_count);
        let crc = frame::checksum(key, &self.pending);
        let mut insert =
            conn.prepare_cached("INSERT INTO frames (id, crc, body) VALUES (?1, ?2, ?3)").map_err(&failed)?;
        insert.execute(params![key, crc, self.pending]).map_err(&failed)?;
        self.pending.clear();
        self.pending_count = 0;
        Ok(())
    }
}

/// The statements that write a tree's row.
struct Rows<'a> {
    conn: &'a Connection,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
}

impl<'a> Rows<'a> {
    fn prepare(conn: &'a Connection) -> Result<Self, Error> {
        let failed = fault::during("appending", conn);
        let insert = "INSERT INTO trees (plugin, status, finished_at, run_count, policy_version,
            last_seq, bytes, number, root, tenant, created_at, owner)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        // The fence once more, where it cannot be forgotten.
        let update = "UPDATE trees SET plugin = ?1, status = ?2, finished_at = ?3, run_count = ?4,
            policy_version = ?5, last_seq = ?6, bytes = bytes + ?7 WHERE number = ?8 AND last_seq = ?9";
        Ok(Self {
            conn,
            insert: conn.prepare_cached(insert).map_err(&failed)?,
            update: conn.prepare_cached(update).map_err(&failed)?,
        })
    }

    fn write(&mut self, open: &Open, summary: &TreeSummary, host: &str) -> Result<(), Error> {
        let failed = fault::during("appending", self.conn);
        let finished_at = summary.finished_at.map(|at| tree::integer(at.0));
        let policy_version = tree::integer(summary.policy_version);
        let (last_seq, grown) = (tree::integer(open.last_seq), tree::integer(open.grown));
        let written = match open.stored_seq {
            None => self.insert.execute(params![
                summary.plugin,
                summary.status,
                finished_at,
                summary.run_count,
                policy_version,
                last_seq,
                grown,
                open.number,
                tree::root_bytes(summary.root),
                summary.tenant.as_str(),
                tree::integer(summary.created_at.0),
                host,
            ]),
            Some(stored_seq) => self.update.execute(params![
                summary.plugin,
                summary.status,
                finished_at,
                summary.run_count,
                policy_version,
                last_seq,
                grown,
                open.number,
                tree::integer(stored_seq),
            ]),
        };
        match written.map_err(&failed)? {
            1 => Ok(()),
            _ => Err(fault::damaged(
                self.conn.path().unwrap_or_default(),
                &format!("tree {} changed inside a transaction", summary.root),
            )),
        }
    }
}

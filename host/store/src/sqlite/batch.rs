//! The appends of one transaction. Each tree's events become one frame, what each of
//! its runs was answered one row of `journal.rs`, and its own row is written once,
//! however many appends it had. When the transaction begins and
//! ends, and who is told, is `writer.rs`.

use std::collections::{BTreeMap, HashMap};
use std::mem::take;

use pleach_kernel::{RootId, Tenant};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use super::journal::{self, Change, Journal};
use super::{fault, tree};
use crate::frame::{self, FRAME_LIMIT_BYTES};
use crate::{Append, Error, TreeSummary};

/// The last number a tree can have; with it a frame's key fits into 64 bits.
const NUMBER_LIMIT: i64 = i32::MAX as i64;

/// A tree that is being removed keeps its number until all of it is gone.
const NEW_NUMBER: &str = "SELECT max(coalesce((SELECT max(number) FROM trees), 0),
    coalesce((SELECT max(number) FROM removals), 0)) + 1";

/// Who is hit by an error.
pub(super) enum Trouble {
    /// This append, and no other tree's.
    Append(Error),
    /// The database, and so everything in the transaction.
    Database(Error),
}

impl From<Error> for Trouble {
    /// What speaks against an append is its own trouble.
    fn from(error: Error) -> Self {
        Self::Append(error)
    }
}

pub(super) struct Batch<'a> {
    conn: &'a Connection,
    host: &'a str,
    trees: Vec<Open>,
    by_root: HashMap<RootId, usize>,
    /// Given to the next new tree; none until there is one.
    next_number: Option<i64>,
    grown: BTreeMap<Tenant, i64>,
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
    /// Of the runs that this batch journals for.
    journals: BTreeMap<u32, Journal>,
    journaled: Change,
    finished: bool,
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
        append.journal_follows(|run| open.journal_next(self.conn, run))?;
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
        open.journal(self.conn, append).map_err(Trouble::Database)?;
        open.summary = Some(append.summary.clone());
        Ok(())
    }

    /// Looks a tree up, or begins it.
    fn open(&mut self, append: &Append) -> Result<usize, Trouble> {
        let failed = fault::during("appending", self.conn);
        let failed = |error| Trouble::Database(failed(error));
        let sql =
            "SELECT number, last_seq, tenant = ?2, owner = ?3, finished_at IS NOT NULL FROM trees WHERE root = ?1";
        let mut ask = self.conn.prepare_cached(sql).map_err(failed)?;
        let key = params![tree::root_bytes(append.root), append.tenant.as_str(), self.host];
        let known = ask
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?, row.get(3)?, row.get(4)?)))
            .optional()
            .map_err(failed)?;
        let (number, stored_seq, same_tenant, mine, finished) = match known {
            Some((number, last_seq, same_tenant, mine, finished)) => {
                (number, Some(last_seq), same_tenant, mine, finished)
            }
            None => {
                // Before a number is given away: it would leave a hole for nothing.
                append.follows(0, &append.tenant).map_err(Trouble::Append)?;
                (self.new_number(append.root)?, None, true, true, false)
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
            journals: BTreeMap::new(),
            journaled: Change::default(),
            finished,
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
                .query_row(NEW_NUMBER, [], |row| row.get(0))
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
            for journal in tree.journals.values_mut() {
                tree.journaled += journal.write(self.conn)?;
            }
            rows.write(&tree, &summary, self.host)?;
            *self.grown.entry(tree.tenant).or_default() += tree::integer(tree.grown) + tree.journaled.bytes;
        }
        for (tenant, bytes) in take(&mut self.grown) {
            tree::add_stored_bytes(self.conn, &tenant, bytes)?;
        }
        Ok(())
    }
}

impl Open {
    /// Where a run's journal has got to, in the file or in this batch.
    fn journal_next(&self, conn: &Connection, run: u32) -> Result<u32, Trouble> {
        match (self.journals.get(&run), self.stored_seq) {
            (Some(journal), _) => Ok(journal.next()),
            (None, None) => Ok(0),
            (None, Some(_)) => journal::next(conn, tree::run_key(self.number, run)).map_err(Trouble::Database),
        }
    }

    /// Takes what an append says of journals, which was found to follow.
    fn journal(&mut self, conn: &Connection, append: &mut Append) -> Result<(), Error> {
        for run in take(&mut append.forget) {
            let key = tree::run_key(self.number, run);
            self.journals.entry(run).or_insert_with(|| Journal::new(key, 0)).forget();
        }
        for entry in take(&mut append.journal) {
            let key = tree::run_key(self.number, entry.run);
            let journal = self.journals.entry(entry.run).or_insert_with(|| Journal::new(key, entry.position));
            journal.push(entry);
            if journal.is_full() {
                self.journaled += journal.write(conn)?;
            }
        }
        Ok(())
    }

    /// Makes a frame of what is pending.
    fn write_frame(&mut self, conn: &Connection) -> Result<(), Error> {
        if self.pending_count == 0 {
            return Ok(());
        }
        let failed = fault::during("appending", conn);
        let key = frame::key(self.number, self.last_seq + 1 - self.pending_count);
        let crc = frame::checksum(&[key], &self.pending);
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
    /// Of a tree that ends: apart, because it moves the tree between two indexes.
    end: CachedStatement<'a>,
}

impl<'a> Rows<'a> {
    fn prepare(conn: &'a Connection) -> Result<Self, Error> {
        let failed = fault::during("appending", conn);
        let insert = "INSERT INTO trees (plugin, status, finished_at, run_count, policy_version,
            last_seq, bytes, journal_entries, number, root, tenant, created_at, owner)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
        // The fence once more, where it cannot be forgotten.
        let update = "UPDATE trees SET plugin = ?1, status = ?2, run_count = ?3, policy_version = ?4,
            last_seq = ?5, bytes = bytes + ?6, journal_entries = journal_entries + ?7
            WHERE number = ?8 AND last_seq = ?9";
        let end = "UPDATE trees SET finished_at = ?2 WHERE number = ?1";
        Ok(Self {
            conn,
            insert: conn.prepare_cached(insert).map_err(&failed)?,
            update: conn.prepare_cached(update).map_err(&failed)?,
            end: conn.prepare_cached(end).map_err(&failed)?,
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
                open.journaled.entries,
                open.number,
                tree::root_bytes(summary.root),
                summary.tenant.as_str(),
                tree::integer(summary.created_at.0),
                host,
            ]),
            Some(stored_seq) => self.update.execute(params![
                summary.plugin,
                summary.status,
                summary.run_count,
                policy_version,
                last_seq,
                grown,
                open.journaled.entries,
                open.number,
                tree::integer(stored_seq),
            ]),
        };
        let written = written.map_err(&failed)?;
        if open.stored_seq.is_some() && (open.finished || finished_at.is_some()) {
            self.end.execute(params![open.number, finished_at]).map_err(&failed)?;
        }
        match written {
            1 => Ok(()),
            _ => Err(fault::damaged(
                self.conn.path().unwrap_or_default(),
                &format!("tree {} changed inside a transaction", summary.root),
            )),
        }
    }
}

//! A tree as the store sees it: what is appended, what is read, the row that sums
//! it up. How either store keeps them is in `memory.rs` and `sqlite/`.

use std::collections::BTreeMap;
use std::sync::Arc;

use pleach_kernel::{RootId, Tenant, Timestamp};

use crate::frame::EVENT_LIMIT_BYTES;
use crate::{Error, digest};

/// The events of one decision, to be written together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub root: RootId,
    pub tenant: Tenant,
    /// The last seq that is in the log already; 0 where the tree is new. The
    /// fence: if the log is elsewhere, nothing is written.
    pub expected_seq: u64,
    /// Encoded events `expected_seq + 1` and on, shared with whoever watches the
    /// tree. May be empty, to write the summary alone.
    pub events: Vec<Arc<[u8]>>,
    /// The tree after these events, written in the same transaction.
    pub summary: TreeSummary,
    /// Runs whose journals end: dropped before `journal` is added. A run without a
    /// journal is none to drop.
    pub forget: Vec<u32>,
    /// What guests were answered, in order.
    pub journal: Vec<JournalEntry>,
}

/// One answer that a replay of its run could not compute again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// The run's place in its tree.
    pub run: u32,
    /// From 0, without a gap, for each run; from 0 again once it was forgotten.
    pub position: u32,
    pub body: Vec<u8>,
    /// What the body mentions and is too large for it.
    pub blob: Option<Blob>,
}

/// A large answer, kept once however often it is mentioned, until the last run that
/// mentions it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Of the body, as [`digest`](crate::digest) writes it.
    pub digest: String,
    pub body: Vec<u8>,
}

/// Told once what became of an append.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// One event as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// From 1, without a gap.
    pub seq: u64,
    pub body: Arc<[u8]>,
}

/// The row that sums a tree up. The kernel computes it, the store only keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSummary {
    pub root: RootId,
    pub tenant: Tenant,
    pub plugin: String,
    pub status: String,
    /// Kept from the tree's first append.
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub run_count: u32,
    pub last_seq: u64,
    pub policy_version: u64,
}

/// Which trees of a tenant to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFilter {
    /// Only trees in this status.
    pub status: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Only trees older than this one: the last of the page before.
    pub before: Option<RootId>,
}

impl Default for TreeFilter {
    /// The 100 newest, whatever their status.
    fn default() -> Self {
        Self { status: None, limit: 100, before: None }
    }
}

/// What sharing an event takes beside it: two counts.
const SHARED_BYTES: usize = 2 * size_of::<usize>();

/// The last seq that a log can have; with it a frame's key fits into 64 bits.
const SEQ_LIMIT: u64 = u32::MAX as u64;

impl Append {
    /// The tree's last seq after this append.
    pub(crate) fn last_seq(&self) -> u64 {
        self.expected_seq.saturating_add(self.events.len() as u64)
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        let events = self.events.iter().map(|event| event.len() + SHARED_BYTES + size_of::<Arc<[u8]>>());
        let journal = self.journal.iter().map(JournalEntry::bytes);
        size_of::<Self>() + events.sum::<usize>() + journal.sum::<usize>() + self.forget.len() * size_of::<u32>()
    }

    /// Lets go of everything that takes much memory: what is left can only be refused.
    pub(crate) fn strip(&mut self) {
        self.events = Vec::new();
        self.journal = Vec::new();
        self.forget = Vec::new();
    }

    /// Refuses a blob that is not what its digest says, or two trees could be given
    /// each other's answers. Slow for large ones, so not for where others wait.
    pub(crate) fn check_blobs(&self) -> Result<(), Error> {
        for entry in &self.journal {
            if let Some(blob) = &entry.blob {
                let found = digest(&blob.body);
                if found != blob.digest {
                    let (position, run, expected) = (entry.position, entry.run, &blob.digest);
                    return self.refused(format!(
                        "the blob of answer {position} to run {run} has the digest {found}, not {expected}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn refused<T>(&self, detail: String) -> Result<T, Error> {
        Err(Error::Refused { tree: self.root, detail })
    }

    /// Refuses what contradicts itself or exceeds a limit, before anything is written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |detail: String| self.refused(detail);
        if self.summary.root != self.root || self.summary.tenant != self.tenant {
            return refused("its summary is of another tree or tenant".into());
        }
        if self.summary.last_seq != self.last_seq() {
            let (says, is) = (self.summary.last_seq, self.last_seq());
            return refused(format!("its summary ends at seq {says}, its events end at {is}"));
        }
        if self.last_seq() > SEQ_LIMIT {
            return refused(format!("its log would be longer than {SEQ_LIMIT} events; start a new run"));
        }
        if let Some(at) = self.events.iter().position(|event| event.len() > EVENT_LIMIT_BYTES) {
            return refused(format!(
                "event {} has {} bytes, more than the {EVENT_LIMIT_BYTES} allowed",
                self.expected_seq + 1 + at as u64,
                self.events[at].len(),
            ));
        }
        self.journal.iter().try_for_each(|entry| self.check_entry(entry))
    }

    fn check_entry(&self, entry: &JournalEntry) -> Result<(), Error> {
        let JournalEntry { run, position, .. } = entry;
        let runs = self.summary.run_count;
        if *run >= runs {
            return self.refused(format!("answer {position} is to run {run}, the tree has {runs} runs"));
        }
        let blob = entry.blob.as_ref().map_or(0, |blob| blob.body.len());
        match entry.body.len().max(blob) {
            bytes if bytes > EVENT_LIMIT_BYTES => self.refused(format!(
                "answer {position} to run {run} has {bytes} bytes, more than the {EVENT_LIMIT_BYTES} allowed"
            )),
            _ => Ok(()),
        }
    }

    /// Refuses a journal that does not follow what there is. `stored` says where a
    /// run's journal has got to; asked once a run at most, and never where there is
    /// nothing to ask for.
    pub(crate) fn journal_follows<E: From<Error>>(
        &self,
        mut stored: impl FnMut(u32) -> Result<u32, E>,
    ) -> Result<(), E> {
        if self.journal.is_empty() {
            return Ok(());
        }
        let mut next: BTreeMap<u32, u32> = self.forget.iter().map(|run| (*run, 0)).collect();
        for JournalEntry { run, position, .. } in &self.journal {
            let expected = match next.get(run) {
                Some(next) => *next,
                None => stored(*run)?,
            };
            let after = position.checked_add(1).filter(|_| *position == expected);
            let Some(after) = after else {
                let detail = format!("answer {position} to run {run} does not follow: answer {expected} is next");
                return Err(Error::Refused { tree: self.root, detail }.into());
            };
            next.insert(*run, after);
        }
        Ok(())
    }

    /// Refuses an append that does not follow `found`, or is for another tenant's tree.
    pub(crate) fn follows(&self, found: u64, tenant: &Tenant) -> Result<(), Error> {
        if found != self.expected_seq {
            return Err(Error::Fenced { tree: self.root, expected: self.expected_seq, found });
        }
        if *tenant != self.tenant {
            let detail = format!("it belongs to another tenant than {}", self.tenant);
            return Err(Error::Refused { tree: self.root, detail });
        }
        Ok(())
    }
}

impl JournalEntry {
    fn bytes(&self) -> usize {
        let blob = self.blob.as_ref().map_or(0, |blob| blob.digest.len() + blob.body.len());
        size_of::<Self>() + self.body.len() + blob
    }
}

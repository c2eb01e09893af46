//! A tree as the store sees it: what is appended, what is read, the row that sums
//! it up. How either store keeps them is in `memory.rs` and `sqlite/`.

use pleach_kernel::{RootId, Tenant, Timestamp};

use crate::Error;
use crate::frame::EVENT_LIMIT_BYTES;

/// The events of one decision, to be written together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub root: RootId,
    pub tenant: Tenant,
    /// The last seq that is in the log already; 0 where the tree is new. The
    /// fence: if the log is elsewhere, nothing is written.
    pub expected_seq: u64,
    /// Encoded events `expected_seq + 1` and on. May be empty, to write the
    /// summary alone.
    pub events: Vec<Vec<u8>>,
    /// The tree after these events, written in the same transaction.
    pub summary: TreeSummary,
}

/// Told once what became of an append.
pub type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// One event as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// From 1, without a gap.
    pub seq: u64,
    pub body: Vec<u8>,
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

/// The last seq that a log can have; with it a frame's key fits into 64 bits.
const SEQ_LIMIT: u64 = u32::MAX as u64;

impl Append {
    /// The tree's last seq after this append.
    pub(crate) fn last_seq(&self) -> u64 {
        self.expected_seq.saturating_add(self.events.len() as u64)
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.events.iter().map(|event| event.len() + size_of::<Vec<u8>>()).sum::<usize>()
    }

    /// Refuses what contradicts itself or exceeds a limit, before anything is written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refused = |detail: String| Err(Error::Refused { tree: self.root, detail });
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
        match self.events.iter().position(|event| event.len() > EVENT_LIMIT_BYTES) {
            Some(at) => refused(format!(
                "event {} has {} bytes, more than the {EVENT_LIMIT_BYTES} allowed",
                self.expected_seq + 1 + at as u64,
                self.events[at].len(),
            )),
            None => Ok(()),
        }
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

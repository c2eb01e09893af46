//! What a tree's decisions are to the store: encoded events, and the row that
//! sums the tree up.

use std::sync::Arc;

use pleach_kernel::{Event, Tree};
use pleach_store::{Append, JournalEntry, TreeSummary};

/// What most events take up, written out.
const USUAL_BYTES: usize = 1_024;

/// What journals gain and lose with an append.
#[derive(Default)]
pub(crate) struct Journals {
    pub entries: Vec<JournalEntry>,
    /// Runs that have no use for theirs any more.
    pub forget: Vec<u32>,
}

impl Journals {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.forget.is_empty()
    }
}

/// `events`, which `tree` has just decided, as they follow `expected_seq`.
pub(crate) fn append(tree: &Tree, expected_seq: u64, events: &[Event], journals: Journals) -> Append {
    let mut written = Vec::with_capacity(USUAL_BYTES);
    Append {
        root: tree.id(),
        tenant: tree.tenant().clone(),
        expected_seq,
        events: events.iter().map(|event| encode(event, &mut written)).collect(),
        summary: summary(tree),
        forget: journals.forget,
        journal: journals.entries,
    }
}

/// An event in no more memory than it needs, by way of a buffer that serves all of
/// an append: a large group has tens of thousands.
fn encode(event: &Event, written: &mut Vec<u8>) -> Arc<[u8]> {
    written.clear();
    // Serialising our own types to memory cannot fail: their maps have text for
    // keys, and nothing is written to a device.
    let _ = serde_json::to_writer(&mut *written, event);
    written.as_slice().into()
}

/// The tree ends when its last run has, which may be after the root.
pub(crate) fn summary(tree: &Tree) -> TreeSummary {
    let root = tree.root();
    let last_end = || tree.runs().iter().filter_map(|run| run.finished_at).max();
    TreeSummary {
        root: tree.id(),
        tenant: tree.tenant().clone(),
        plugin: root.plugin().to_string(),
        status: root.status.as_str().to_owned(),
        created_at: root.created_at,
        finished_at: if tree.is_ended() { last_end() } else { None },
        run_count: tree.runs().len() as u32,
        last_seq: tree.seq(),
        policy_version: tree.policy().version,
    }
}

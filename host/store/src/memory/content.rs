//! What the store in memory holds, and the rules of changing it. Locks and answers are
//! in `mod.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pleach_kernel::{RootId, Tenant, Timestamp};

use super::journal::{Blobs, Journals};
use crate::{Append, Error, PluginRow, Removed, Snapshot, StoredEvent, TreeFilter, TreeSize, TreeSummary, frame};

#[derive(Default)]
pub(super) struct Content {
    /// By the order of their first append.
    trees: BTreeMap<u64, Tree>,
    by_root: HashMap<RootId, u64>,
    /// Given to the next tree.
    next_number: u64,
    pub(super) blobs: Blobs,
    pub(super) plugins: BTreeMap<(Tenant, String, String), PluginRow>,
    pub(super) components: HashMap<String, Vec<u8>>,
    policies: HashMap<Tenant, Vec<String>>,
    pub(super) bytes: HashMap<Tenant, u64>,
    /// Those that nobody has taken yet, oldest first.
    pub(super) messages: Vec<(RootId, Vec<u8>)>,
}

pub(super) struct Tree {
    pub(super) summary: TreeSummary,
    events: Vec<Arc<[u8]>>,
    pub(super) journals: Journals,
    pub(super) snapshot: Option<Snapshot>,
}

impl Content {
    pub(super) fn tree(&self, root: RootId) -> Option<&Tree> {
        self.trees.get(self.by_root.get(&root)?)
    }

    pub(super) fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.trees.values()
    }

    /// Keeps an append, if it follows.
    pub(super) fn append(&mut self, append: Append) -> Result<(), Error> {
        match self.tree(append.root) {
            Some(tree) => {
                append.follows(tree.summary.last_seq, &tree.summary.tenant)?;
                append.journal_follows(|run| Ok::<_, Error>(tree.journals.next(run)))?;
            }
            None => {
                append.follows(0, &append.tenant)?;
                append.journal_follows(|_| Ok::<_, Error>(0))?;
            }
        }
        let Append { root, tenant, expected_seq: _, events, summary, forget, journal } = append;
        let number = *self.by_root.entry(root).or_insert_with(|| {
            self.next_number += 1;
            self.next_number
        });
        let tree = self.trees.entry(number).or_insert_with(|| Tree::new(summary.clone()));
        let created_at = tree.summary.created_at;
        tree.summary = TreeSummary { created_at, ..summary };
        let bytes = self.bytes.entry(tenant).or_default();
        *bytes += events.iter().map(|event| frame::stored_len(event)).sum::<u64>();
        tree.events.extend(events);
        for run in forget {
            *bytes -= tree.journals.forget(run, &mut self.blobs);
        }
        for entry in journal {
            *bytes += tree.journals.push(entry, &mut self.blobs);
        }
        Ok(())
    }

    pub(super) fn put_snapshot(&mut self, root: RootId, seq: u64, body: Vec<u8>) -> Result<(), Error> {
        let tree = self.by_root.get(&root).and_then(|number| self.trees.get_mut(number));
        let tree = tree.ok_or(Error::NoSuchTree { tree: root })?;
        let last_seq = tree.summary.last_seq;
        if seq > last_seq {
            return Err(Error::SnapshotAhead { tree: root, seq, last_seq });
        }
        let bytes = self.bytes.entry(tree.summary.tenant.clone()).or_default();
        *bytes += body.len() as u64;
        *bytes -= tree.snapshot.replace((seq, body)).map_or(0, |(_, before)| before.len() as u64);
        Ok(())
    }

    pub(super) fn remove(&mut self, root: RootId) -> Result<Removed, Error> {
        let tree = self.tree(root).ok_or(Error::NoSuchTree { tree: root })?;
        if tree.summary.finished_at.is_none() {
            return Err(Error::NotEnded { tree: root });
        }
        self.discard(root)
    }

    pub(super) fn discard(&mut self, root: RootId) -> Result<Removed, Error> {
        let tree = self.tree(root).ok_or(Error::NoSuchTree { tree: root })?;
        let size = self.size(tree);
        let number = self.by_root.remove(&root);
        if let Some(mut tree) = number.and_then(|number| self.trees.remove(&number)) {
            for run in tree.journals.runs().collect::<Vec<_>>() {
                tree.journals.forget(run, &mut self.blobs);
            }
            *self.bytes.entry(tree.summary.tenant).or_default() -= size.bytes();
        }
        self.messages.retain(|(to, _)| *to != root);
        Ok(Removed { events: size.events, bytes: size.bytes() })
    }

    pub(super) fn size(&self, tree: &Tree) -> TreeSize {
        TreeSize {
            events: tree.events.len() as u64,
            log_bytes: tree.events.iter().map(|event| frame::stored_len(event)).sum(),
            journal_entries: tree.journals.entries(),
            journal_bytes: tree.journals.bytes(),
            blob_bytes: tree.journals.blob_bytes(&self.blobs),
            snapshot_seq: tree.snapshot.as_ref().map(|(seq, _)| *seq),
            snapshot_bytes: tree.snapshot.as_ref().map_or(0, |(_, body)| body.len() as u64),
        }
    }

    pub(super) fn list(&self, tenant: &Tenant, filter: &TreeFilter) -> Result<Vec<TreeSummary>, Error> {
        let age = |number: &u64, tree: &Tree| (tree.summary.created_at, *number);
        let before = match filter.before {
            Some(root) => {
                let number = self.by_root.get(&root).ok_or(Error::NoSuchTree { tree: root })?;
                Some(age(number, &self.trees[number]))
            }
            None => None,
        };
        let mut found: Vec<(&u64, &Tree)> = self.trees.iter().collect();
        found.retain(|(number, tree)| {
            tree.summary.tenant == *tenant
                && before.is_none_or(|before| age(number, tree) < before)
                && filter.status.as_ref().is_none_or(|status| tree.summary.status == *status)
        });
        found.sort_by_key(|(number, tree)| Reverse(age(number, tree)));
        Ok(found.into_iter().take(filter.limit).map(|(_, tree)| tree.summary.clone()).collect())
    }

    pub(super) fn unfinished(&self) -> Vec<TreeSummary> {
        let summaries = self.trees().map(|tree| &tree.summary);
        let mut found: Vec<_> = summaries.filter(|summary| summary.finished_at.is_none()).cloned().collect();
        // The sort is stable: trees of one instant stay in the order of their numbers.
        found.sort_by_key(|summary| summary.created_at);
        found
    }

    pub(super) fn ended(&self, before: Option<Timestamp>, keep: usize, limit: usize) -> Vec<TreeSummary> {
        let mut ended: Vec<(Timestamp, &TreeSummary)> =
            self.trees().filter_map(|tree| Some((tree.summary.finished_at?, &tree.summary))).collect();
        ended.sort_by_key(|(at, _)| *at);
        let mut newer: HashMap<&Tenant, usize> = HashMap::new();
        let mut found: Vec<TreeSummary> = Vec::new();
        for (at, summary) in ended.into_iter().rev() {
            let newer = newer.entry(&summary.tenant).or_default();
            if *newer >= keep && before.is_none_or(|before| at < before) {
                found.push(summary.clone());
            }
            *newer += 1;
        }
        found.into_iter().rev().take(limit).collect()
    }

    pub(super) fn post(&mut self, root: RootId, message: Vec<u8>) -> Result<(), Error> {
        self.tree(root).ok_or(Error::NoSuchTree { tree: root })?;
        self.messages.push((root, message));
        Ok(())
    }

    /// Keeps a component that was found to be what its row says.
    pub(super) fn put_plugin(&mut self, row: PluginRow, component: Vec<u8>) -> Result<bool, Error> {
        let key = (row.tenant.clone(), row.name.clone(), row.version.clone());
        let stored = self.plugins.get(&key).map(|row| row.digest.as_str());
        if !row.is_new(stored)? {
            return Ok(false);
        }
        *self.bytes.entry(row.tenant.clone()).or_default() += row.size;
        self.components.entry(row.digest.clone()).or_insert(component);
        self.plugins.insert(key, row);
        Ok(true)
    }

    pub(super) fn set_published(&mut self, key: (Tenant, String, String), published: bool) -> Result<(), Error> {
        match self.plugins.get_mut(&key) {
            Some(row) => {
                row.published = published;
                Ok(())
            }
            None => {
                let (tenant, name, version) = key;
                Err(Error::NoSuchPlugin { tenant, name, version })
            }
        }
    }

    pub(super) fn put_policy(&mut self, tenant: Tenant, document: String) -> u64 {
        let policies = self.policies.entry(tenant).or_default();
        policies.push(document);
        policies.len() as u64
    }

    pub(super) fn policies(&self, tenant: &Tenant) -> Vec<(u64, String)> {
        let documents = self.policies.get(tenant).into_iter().flatten();
        (1..).zip(documents.cloned()).collect()
    }
}

impl Tree {
    fn new(summary: TreeSummary) -> Self {
        Self { summary, events: Vec::new(), journals: Journals::default(), snapshot: None }
    }

    pub(super) fn read(&self, from_seq: u64, limit: usize) -> Vec<StoredEvent> {
        let from_seq = from_seq.max(1);
        let skip = usize::try_from(from_seq - 1).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skip).take(limit).cloned();
        (from_seq..).zip(events).map(|(seq, body)| StoredEvent { seq, body }).collect()
    }
}

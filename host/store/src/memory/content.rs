//! What the store in memory holds, and the rules of changing it. Threads, queue and
//! answers are in `mod.rs`.

use std::collections::{BTreeMap, HashMap};

use pleach_kernel::{RootId, Tenant};

use crate::{Append, Error, PluginRow, StoredEvent, TreeFilter, TreeSummary, frame};

#[derive(Default)]
pub(super) struct Content {
    /// In the order of their first append.
    trees: Vec<Tree>,
    by_root: HashMap<RootId, usize>,
    pub(super) plugins: BTreeMap<(Tenant, String, String), PluginRow>,
    pub(super) components: HashMap<String, Vec<u8>>,
    policies: HashMap<Tenant, Vec<String>>,
    pub(super) bytes: HashMap<Tenant, u64>,
}

pub(super) struct Tree {
    pub(super) summary: TreeSummary,
    events: Vec<Vec<u8>>,
}

impl Content {
    pub(super) fn tree(&self, root: RootId) -> Option<&Tree> {
        self.by_root.get(&root).map(|at| &self.trees[*at])
    }

    pub(super) fn append(&mut self, append: &Append) -> Result<(), Error> {
        let known = self.by_root.get(&append.root).copied();
        match known.map(|at| &self.trees[at].summary) {
            Some(summary) => append.follows(summary.last_seq, &summary.tenant)?,
            None => append.follows(0, &append.tenant)?,
        }
        let at = known.unwrap_or(self.trees.len());
        if known.is_none() {
            self.trees.push(Tree { summary: append.summary.clone(), events: Vec::new() });
            self.by_root.insert(append.root, at);
        }
        let tree = &mut self.trees[at];
        let created_at = tree.summary.created_at;
        tree.events.extend_from_slice(&append.events);
        tree.summary = TreeSummary { created_at, ..append.summary.clone() };
        let bytes: u64 = append.events.iter().map(|event| frame::stored_len(event)).sum();
        *self.bytes.entry(append.tenant.clone()).or_default() += bytes;
        Ok(())
    }

    pub(super) fn list(&self, tenant: &Tenant, filter: &TreeFilter) -> Result<Vec<TreeSummary>, Error> {
        let age = |at: &usize| (self.trees[*at].summary.created_at, *at);
        let before = match filter.before {
            Some(tree) => Some(age(self.by_root.get(&tree).ok_or(Error::NoSuchTree { tree })?)),
            None => None,
        };
        let mut found: Vec<usize> = (0..self.trees.len())
            .filter(|at| self.trees[*at].summary.tenant == *tenant)
            .filter(|at| before.is_none_or(|before| age(at) < before))
            .filter(|at| filter.status.as_ref().is_none_or(|status| self.trees[*at].summary.status == *status))
            .collect();
        found.sort_by_key(|at| std::cmp::Reverse(age(at)));
        Ok(found.into_iter().take(filter.limit).map(|at| self.trees[at].summary.clone()).collect())
    }

    pub(super) fn put_plugin(&mut self, row: PluginRow, component: Vec<u8>) -> Result<bool, Error> {
        row.check(&component)?;
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
    pub(super) fn read(&self, from_seq: u64, limit: usize) -> Vec<StoredEvent> {
        let from_seq = from_seq.max(1);
        let skip = usize::try_from(from_seq - 1).unwrap_or(usize::MAX);
        let events = self.events.iter().skip(skip).take(limit).cloned();
        (from_seq..).zip(events).map(|(seq, body)| StoredEvent { seq, body }).collect()
    }
}

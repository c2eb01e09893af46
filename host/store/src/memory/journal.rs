//! Journals in memory, and the large answers that they mention.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{Blob, JournalEntry, frame};

/// The journals of one tree.
#[derive(Default)]
pub(super) struct Journals {
    runs: BTreeMap<u32, Journal>,
    /// In how many of them each blob is mentioned.
    mentions: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Journal {
    entries: Vec<Vec<u8>>,
    digests: BTreeSet<String>,
}

/// All trees' large answers.
#[derive(Default)]
pub(super) struct Blobs {
    /// Each with the number of trees that mention it.
    kept: HashMap<String, (Vec<u8>, usize)>,
}

impl Journals {
    pub(super) fn runs(&self) -> impl Iterator<Item = u32> {
        self.runs.keys().copied()
    }

    pub(super) fn read(&self, run: u32) -> Vec<Vec<u8>> {
        self.runs.get(&run).map_or_else(Vec::new, |journal| journal.entries.clone())
    }

    /// Where a run's journal has got to. Positions are 32 bits wide.
    pub(super) fn next(&self, run: u32) -> u32 {
        self.runs.get(&run).map_or(0, |journal| journal.entries.len() as u32)
    }

    pub(super) fn entries(&self) -> u64 {
        self.runs.values().map(|journal| journal.entries.len() as u64).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.runs.values().flat_map(|journal| &journal.entries).map(|entry| frame::stored_len(entry)).sum()
    }

    pub(super) fn blob_bytes(&self, blobs: &Blobs) -> u64 {
        self.mentions.keys().map(|digest| blobs.len(digest)).sum()
    }

    /// The blobs that are mentioned and not there.
    pub(super) fn missing<'a>(&'a self, blobs: &'a Blobs) -> impl Iterator<Item = &'a String> {
        self.mentions.keys().filter(|digest| !blobs.kept.contains_key(*digest))
    }

    /// Drops a run's journal; by how much the tree has shrunk.
    pub(super) fn forget(&mut self, run: u32, blobs: &mut Blobs) -> u64 {
        let Some(journal) = self.runs.remove(&run) else {
            return 0;
        };
        let mut shrunk = journal.entries.iter().map(|entry| frame::stored_len(entry)).sum();
        for digest in journal.digests {
            let left = self.mentions.get_mut(&digest).map_or(0, |runs| {
                *runs -= 1;
                *runs
            });
            if left == 0 {
                self.mentions.remove(&digest);
                shrunk += blobs.len(&digest);
                blobs.take_back(&digest);
            }
        }
        shrunk
    }

    /// Adds an entry that was found to follow; by how much the tree has grown.
    pub(super) fn push(&mut self, entry: JournalEntry, blobs: &mut Blobs) -> u64 {
        let journal = self.runs.entry(entry.run).or_default();
        let mut grown = frame::stored_len(&entry.body);
        if journal.entries.is_empty() {
            // Most have one, or few; pushing alone makes room for four.
            journal.entries.reserve_exact(1);
        }
        journal.entries.push(entry.body);
        if let Some(blob) = entry.blob
            && journal.digests.insert(blob.digest.clone())
        {
            let runs = self.mentions.entry(blob.digest.clone()).or_default();
            *runs += 1;
            if *runs == 1 {
                grown += blob.body.len() as u64;
                blobs.mention(blob);
            }
        }
        grown
    }
}

impl Blobs {
    pub(super) fn get(&self, digest: &str) -> Option<Vec<u8>> {
        self.kept.get(digest).map(|(body, _)| body.clone())
    }

    /// Each by its digest.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.kept.iter().map(|(digest, (body, _))| (digest, body))
    }

    fn len(&self, digest: &str) -> u64 {
        self.kept.get(digest).map_or(0, |(body, _)| body.len() as u64)
    }

    /// One more tree mentions it.
    fn mention(&mut self, blob: Blob) {
        let kept = self.kept.entry(blob.digest).or_insert_with(|| (blob.body, 0));
        kept.1 += 1;
    }

    /// One tree less mentions it.
    fn take_back(&mut self, digest: &str) {
        if let Some((_, trees)) = self.kept.get_mut(digest) {
            *trees -= 1;
            if *trees == 0 {
                self.kept.remove(digest);
            }
        }
    }
}

//! What a store in memory can verify: less than a file, because what it keeps was
//! never anywhere else.

use std::collections::BTreeMap;

use pleach_kernel::{RunId, Tenant};

use super::content::{Content, Tree};
use crate::{Problem, plugin};

impl Content {
    pub(super) fn check(&self) -> Vec<Problem> {
        let mut found: Vec<Problem> = self.trees().flat_map(|tree| self.check_tree(tree)).collect();
        let blobs = self.blobs.all().map(|(digest, body)| ("blob", digest, body));
        let components = self.components.iter().map(|(digest, body)| ("component", digest, body));
        for (kind, digest, body) in blobs.chain(components) {
            let is = plugin::digest(body);
            if is != *digest {
                let (what, detail) = (format!("the {kind} {digest}"), format!("its contents have the digest {is}"));
                found.push(Problem { tree: None, what, detail });
            }
        }
        found.extend(self.check_usage());
        found
    }

    fn check_tree(&self, tree: &Tree) -> Vec<Problem> {
        let (summary, root) = (&tree.summary, tree.summary.root);
        let mut found = Vec::new();
        let mut report = |what: String, detail: String| found.push(Problem { tree: Some(root), what, detail });
        let events = self.size(tree).events;
        if summary.last_seq != events {
            report(format!("the log of tree {root}"), format!("it ends at seq {events}, not {}", summary.last_seq));
        }
        for run in tree.journals.runs() {
            let what = || format!("the journal of run {}", RunId { root, index: run });
            if run >= summary.run_count {
                report(what(), format!("the tree has {} runs", summary.run_count));
            }
            if summary.finished_at.is_some() {
                report(what(), "the tree has ended, so it should be forgotten".into());
            }
        }
        for digest in tree.journals.missing(&self.blobs) {
            report(format!("the blob {digest} of tree {root}"), "it is missing".into());
        }
        if tree.snapshot.as_ref().is_some_and(|(seq, _)| *seq > summary.last_seq) {
            report(format!("the snapshot of tree {root}"), "it is of a seq that the log does not reach".into());
        }
        found
    }

    fn check_usage(&self) -> Vec<Problem> {
        let mut stored: BTreeMap<&Tenant, u64> = BTreeMap::new();
        for tree in self.trees() {
            *stored.entry(&tree.summary.tenant).or_default() += self.size(tree).bytes();
        }
        for row in self.plugins.values() {
            *stored.entry(&row.tenant).or_default() += row.size;
        }
        let tenants = stored.keys().copied().chain(self.bytes.keys()).collect::<std::collections::BTreeSet<_>>();
        let differs = tenants.into_iter().filter_map(|tenant| {
            let is = stored.get(tenant).copied().unwrap_or(0);
            let counted = self.bytes.get(tenant).copied().unwrap_or(0);
            let (what, detail) =
                (format!("what tenant {tenant} has stored"), format!("it is {is} bytes, {counted} are counted"));
            (is != counted).then_some(Problem { tree: None, what, detail })
        });
        differs.collect()
    }
}

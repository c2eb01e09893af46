//! Appends that must fail because one before them has.
//!
//! An append that was queued before its owner could know of the failure was decided
//! on a state that never came to be. Its expected seq may fit the log by chance all
//! the same, so the fence alone would not stop it.

use std::collections::{HashMap, HashSet};

use pleach_kernel::RootId;

use super::queue::{Queue, Queued};
use crate::callback::tell;
use crate::{Done, Error};

/// What the writer remembers of failed appends.
#[derive(Default)]
pub(super) struct Doomed {
    /// The last ticket of each tree that was given out before its owner could know.
    until: HashMap<RootId, u64>,
    /// Trees whose owners were told of a failure in the group at hand.
    told: HashSet<RootId>,
}

impl Doomed {
    /// Refuses an append that a failure has doomed.
    pub(super) fn check(&self, queued: &Queued) -> Result<(), Error> {
        let tree = queued.append.root;
        match self.until.get(&tree) {
            Some(issued) if queued.ticket <= *issued => Err(Error::AfterFailure { tree }),
            Some(_) | None => Ok(()),
        }
    }

    /// Dooms what is queued for a tree by now, unless `error` only says that this one
    /// was doomed itself: what follows from a failure is no further failure.
    pub(super) fn failed(&mut self, tree: RootId, error: &Error, queue: &Queue) {
        if !matches!(error, Error::AfterFailure { .. }) {
            self.until.insert(tree, queue.issued());
        }
    }

    /// Tells an append's owner what became of it. The first time it is a failure,
    /// whatever the owner has queued until then is doomed; from then on it knows.
    pub(super) fn tell(&mut self, tree: RootId, done: Done, result: Result<(), Error>, queue: &Queue) {
        if let Err(error) = &result
            && !matches!(error, Error::AfterFailure { .. })
            && self.told.insert(tree)
        {
            self.failed(tree, error, queue);
        }
        tell(done, result);
    }

    /// Ends a group whose last ticket was `served`, and forgets what no append can
    /// meet any more.
    pub(super) fn end_group(&mut self, served: u64) {
        self.told.clear();
        self.until.retain(|_, issued| *issued > served);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pleach_kernel::{Tenant, Timestamp};

    use super::super::queue::Job;
    use super::*;
    use crate::{Append, TreeSummary};

    const TREE: RootId = RootId(1);

    fn append() -> Append {
        let tenant = Tenant::default_tenant();
        let summary = TreeSummary {
            root: TREE,
            tenant: tenant.clone(),
            plugin: "lead".into(),
            status: "running".into(),
            created_at: Timestamp(1),
            finished_at: None,
            run_count: 1,
            last_seq: 0,
            policy_version: 1,
        };
        Append { root: TREE, tenant, expected_seq: 0, events: vec![], summary, forget: vec![], journal: vec![] }
    }

    fn fenced() -> Error {
        Error::Fenced { tree: TREE, expected: 3, found: 5 }
    }

    /// Takes what is queued and says which of it is doomed.
    fn take(queue: &Queue, doomed: &Doomed) -> Vec<(Box<Queued>, bool)> {
        let jobs = queue.next_group().unwrap().jobs.into_iter();
        jobs.map(|job| match job {
            Job::Append(queued) => {
                let refused = doomed.check(&queued).is_err();
                (queued, refused)
            }
            Job::Task(_) => panic!("only appends were queued"),
        })
        .collect()
    }

    #[test]
    fn whoever_was_told_may_go_on_though_others_behind_are_still_to_be_told() {
        let queue = Arc::new(Queue::new());
        let mut doomed = Doomed::default();
        let knowing = queue.clone();
        let go_on = move |_| knowing.append(append(), Box::new(|_| {}));
        queue.append(append(), Box::new(go_on));
        queue.append(append(), Box::new(|_| {}));
        let mut group = take(&queue, &doomed).into_iter().map(|(queued, _)| queued);
        let (first, second) = (group.next().unwrap(), group.next().unwrap());

        // The first fails; the second, which was queued with it, is doomed by that.
        doomed.failed(TREE, &fenced(), &queue);
        let after = doomed.check(&second).unwrap_err();
        doomed.failed(TREE, &after, &queue);
        // One more that was queued without knowing, while the group was written.
        queue.append(append(), Box::new(|_| {}));
        let served = second.ticket;
        doomed.tell(TREE, first.done, Err(fenced()), &queue);
        doomed.tell(TREE, second.done, Err(after), &queue);
        doomed.end_group(served);

        let verdicts: Vec<bool> = take(&queue, &doomed).into_iter().map(|(_, doomed)| doomed).collect();
        assert_eq!(verdicts, [true, false], "without knowing, then knowing");
    }

    #[test]
    fn a_failure_is_forgotten_once_nothing_can_meet_it() {
        let queue = Queue::new();
        let mut doomed = Doomed::default();
        for _ in 0..3 {
            queue.append(append(), Box::new(|_| {}));
        }
        doomed.failed(TREE, &fenced(), &queue);
        doomed.end_group(2);
        assert_eq!(doomed.until.len(), 1, "ticket 3 is still to come");
        doomed.end_group(3);
        assert!(doomed.until.is_empty());
    }
}

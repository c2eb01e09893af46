//! Cancel: stop a run and everything it caused.
//!
//! There is one way to cancel. Join losers, timeouts, parents that end, spent
//! budgets and people all come through [`Tree::mark_cancelled`]: one event marks
//! the runs, and from then on nothing starts in them. Guests are stopped by the
//! engine, and each run ends when its guest and its children have.

use crate::command::{Caller, Cancel, Cancelled, Surface};
use crate::denial::{Code, Denial};
use crate::event::Fact;
use crate::fact::CancellationPropagation;
use crate::id::Timestamp;
use crate::tree::{RunIx, Tree};

const ACTION: &str = "cancel_subtree";

/// How far a cancel goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every descendant: somebody asked for it.
    Everything,
    /// Not those that were spawned to outlive their parent.
    NotAbandoned,
}

impl Tree {
    /// Decides to cancel a subtree. Asking twice is harmless: the second answer
    /// counts 0.
    pub fn cancel_subtree(
        &mut self,
        now: Timestamp,
        caller: Caller,
        surface: Surface,
        ask: &Cancel,
    ) -> Result<Cancelled, Box<Denial>> {
        match self.decide_cancel(now, caller, surface, ask) {
            Ok(answer) => Ok(answer),
            Err(denial) => Err(Box::new(self.deny(now, caller, surface, None, denial))),
        }
    }

    fn decide_cancel(
        &mut self,
        now: Timestamp,
        caller: Caller,
        surface: Surface,
        ask: &Cancel,
    ) -> Result<Cancelled, Denial> {
        self.open_surface(ACTION, surface)?;
        let target = self.run(ask.run_id).map(|_| ask.run_id.index as RunIx).ok_or_else(|| {
            Denial::new(Code::RunNotFound, ACTION, format!("run {} is not in tree {}", ask.run_id, self.id))
        })?;
        if let Caller::Run(caller) = caller {
            // A run that is being cancelled may still cancel what it caused.
            let caller = self.run(caller).map(|_| caller.index as RunIx).ok_or_else(|| {
                Denial::new(Code::RunNotFound, ACTION, format!("run {caller} is not in tree {}", self.id))
            })?;
            self.require(ACTION, caller, "run.cancel", &ask.run_id.to_string())?;
            if !self.is_below(target, caller) {
                let message = format!("run {} is not the caller and not below it", ask.run_id);
                return Err(Denial::new(Code::NotInLineage, ACTION, message));
            }
        }
        let roots = match ask.include_root {
            true => vec![target],
            false => self.runs[target].children.clone(),
        };
        let (marked, scanned) =
            self.mark(now, surface, target, &roots, Reach::Everything, &ask.reason, ask.include_root);
        self.settle(now);
        Ok(Cancelled {
            run_id: ask.run_id,
            cancelled_count: marked.len() as u32,
            cancelled_run_ids: marked.into_iter().map(|ix| self.run_id(ix)).collect(),
            scanned_count: scanned,
            include_root: ask.include_root,
            reason: ask.reason.clone(),
        })
    }

    /// Marks the live runs of the subtrees of `roots`, on behalf of `cause`. The
    /// caller settles.
    pub(crate) fn mark_cancelled(
        &mut self,
        now: Timestamp,
        surface: Surface,
        cause: RunIx,
        roots: &[RunIx],
        reach: Reach,
        reason: &str,
    ) {
        let include_root = roots.contains(&cause);
        self.mark(now, surface, cause, roots, reach, reason, include_root);
    }

    #[allow(clippy::too_many_arguments, reason = "one private function behind the two ways in")]
    fn mark(
        &mut self,
        now: Timestamp,
        surface: Surface,
        cause: RunIx,
        roots: &[RunIx],
        reach: Reach,
        reason: &str,
        include_root: bool,
    ) -> (Vec<RunIx>, u32) {
        let (found, scanned) = self.live_below(roots, reach);
        if !found.is_empty() {
            let propagation = CancellationPropagation {
                reason: reason.into(),
                cancelled_run_ids: found.iter().map(|ix| self.run_id(*ix)).collect(),
                count: found.len() as u32,
                include_root,
            };
            self.emit(now, cause, surface, Fact::CancellationPropagation(propagation));
            // Children come after their parents in this list, so the last of
            // them are the first that can end.
            self.settling.extend(found.iter().rev());
        }
        (found, scanned)
    }

    /// The runs of these subtrees that nothing has settled yet, parents first,
    /// and how many runs were looked at.
    fn live_below(&self, roots: &[RunIx], reach: Reach) -> (Vec<RunIx>, u32) {
        let mut found = Vec::new();
        let mut scanned = 0;
        let mut stack: Vec<RunIx> = roots.iter().rev().copied().collect();
        while let Some(ix) = stack.pop() {
            let run = &self.runs[ix];
            scanned += 1;
            if !run.is_closed() {
                found.push(ix);
            }
            // Only abandoned runs outlive a run that has ended.
            let below = run
                .children
                .iter()
                .rev()
                .filter(|child| reach == Reach::Everything || !self.runs[**child].is_abandoned());
            if reach == Reach::Everything || !run.status.is_terminal() {
                stack.extend(below);
            }
        }
        (found, scanned)
    }
}

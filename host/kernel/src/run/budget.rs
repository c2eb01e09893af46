//! Budget: accounts, held at the root and split on spawn.
//!
//! A run that is spawned with a budget gets an account of its own, reserved from
//! its parent's; any other run draws on its parent's. An amount that an account
//! does not limit is drawn from the nearest account above that does. When the
//! last run of an account has ended, what was not spent goes back.

use serde::{Deserialize, Serialize};

use super::cancel::Reach;
use crate::budget::{Budget, Dimension, Usage};
use crate::denial::{Code, Denial};
use crate::event::Fact;
use crate::fact::{BudgetMove, RunSpec, TreeSpec};
use crate::id::{RunId, Timestamp};
use crate::snapshot::is_default;
use crate::tree::{RunIx, Timer, Tree};

/// What one run and those that draw on it may spend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub owner: RunIx,
    #[serde(default, skip_serializing_if = "is_default")]
    /// None for the tree's own.
    pub parent: Option<usize>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub granted: Budget,
    #[serde(default, skip_serializing_if = "is_default")]
    /// Spent by runs that draw on it, and by settled accounts below.
    pub spent: Usage,
    #[serde(default, skip_serializing_if = "is_default")]
    /// Granted to open accounts below.
    pub reserved: Usage,
    #[serde(default, skip_serializing_if = "is_default")]
    /// Live runs and open accounts that draw on it.
    users: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub settled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    /// It was crossed, or its wall clock has run out, and that was acted on.
    exhausted: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    /// Guests that run on this account's wall clock, and the sum of their starts.
    running: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    started_sum: u128,
    #[serde(default, skip_serializing_if = "is_default")]
    pub wall_timer: Option<Timestamp>,
}

impl Account {
    /// What is left of an amount; none where it has no limit. The wall clock of
    /// guests that still run is not in it.
    fn left(&self, dimension: Dimension) -> Option<u64> {
        Some(self.granted.limit(dimension)?.saturating_sub(self.used(dimension)))
    }

    /// What is left of an amount at an instant, running guests included.
    fn left_at(&self, dimension: Dimension, now: Timestamp) -> Option<u64> {
        let burnt = match dimension {
            Dimension::WallMs => u64::try_from(self.burnt(now)).unwrap_or(u64::MAX),
            Dimension::Tokens | Dimension::CostMicrousd | Dimension::CpuUs | Dimension::HostCalls => 0,
        };
        Some(self.left(dimension)?.saturating_sub(burnt))
    }

    fn used(&self, dimension: Dimension) -> u64 {
        self.spent.get(dimension).saturating_add(self.reserved.get(dimension))
    }

    /// Milliseconds that the running guests have taken since they started.
    fn burnt(&self, now: Timestamp) -> u128 {
        (u128::from(self.running) * u128::from(now.0)).saturating_sub(self.started_sum)
    }

    fn is_crossed(&self) -> bool {
        Dimension::ALL
            .into_iter()
            .any(|dimension| self.granted.limit(dimension).is_some_and(|limit| self.used(dimension) > limit))
    }

    /// Whether nobody draws on it any more, and what is left goes back.
    pub(crate) fn may_settle(&self) -> bool {
        self.users == 0 && !self.settled
    }
}

impl Tree {
    /// The account that limits an amount for those who draw on `account`.
    fn holder(&self, mut account: usize, dimension: Dimension) -> Option<usize> {
        loop {
            if self.accounts[account].granted.limit(dimension).is_some() {
                return Some(account);
            }
            account = self.accounts[account].parent?;
        }
    }

    /// The eighth check of a spawn: what the child may spend can be reserved,
    /// beside `pending` that the same decision reserves already.
    pub(crate) fn check_budget(
        &self,
        action: &'static str,
        now: Timestamp,
        caller: RunIx,
        wanted: &Budget,
        pending: &Usage,
    ) -> Result<(), Denial> {
        for dimension in Dimension::ALL {
            let Some(holder) = self.holder(self.runs[caller].account, dimension) else {
                continue;
            };
            let account = &self.accounts[holder];
            let left = account.left_at(dimension, now).unwrap_or(u64::MAX).saturating_sub(pending.get(dimension));
            // Every run takes time and makes calls, so those amounts cannot be
            // all gone; tokens and money it may do without.
            let needed = match (wanted.limit(dimension), dimension) {
                (Some(amount), _) => amount,
                (None, Dimension::WallMs | Dimension::CpuUs | Dimension::HostCalls) => 1,
                (None, Dimension::Tokens | Dimension::CostMicrousd) => 0,
            };
            if needed > left {
                let limit = account.granted.limit(dimension).unwrap_or(0);
                let message =
                    format!("{needed} {} wanted and {left} left of {limit} (in the unit of the log)", dimension.name());
                return Err(Denial::new(Code::BudgetExhausted, action, message).counted(limit, needed, limit - left));
            }
        }
        Ok(())
    }

    /// What a spawn reserves, amount by amount; what it leaves out is nothing.
    pub(crate) fn reservation(budget: &Budget) -> Usage {
        let mut amounts = Usage::default();
        for dimension in Dimension::ALL {
            *amounts.get_mut(dimension) = budget.limit(dimension).unwrap_or(0);
        }
        amounts
    }

    /// Writes down what the runs from `first` on have reserved.
    pub(crate) fn write_reserved(&mut self, now: Timestamp, first: RunIx) {
        for ix in first..self.runs.len() {
            let (reserved, surface) = (self.runs[ix].spec.request.budget, self.runs[ix].surface);
            if !reserved.is_empty() {
                let moved = BudgetMove { reserved, ..BudgetMove::default() };
                self.emit(now, ix, surface, Fact::Budget(Box::new(moved)));
            }
        }
    }

    /// The account that a new run draws on; part of applying its spawn.
    pub(crate) fn open_account(
        &mut self,
        owner: RunIx,
        parent: Option<RunIx>,
        tree: &Option<TreeSpec>,
        spec: &RunSpec,
        at: Timestamp,
    ) -> usize {
        let above = parent.map(|parent| self.runs[parent].account);
        let granted = match tree {
            Some(tree) => tree.budget,
            None => spec.request.budget,
        };
        if let Some(above) = above {
            if granted.is_empty() {
                self.accounts[above].users += 1;
                return above;
            }
            self.move_reservation(above, &granted, true);
            self.arm_wall(above, at);
            self.accounts[above].users += 1;
        }
        self.accounts.push(Account {
            owner,
            parent: above,
            granted,
            spent: Usage::default(),
            reserved: Usage::default(),
            users: 1,
            settled: false,
            exhausted: false,
            running: 0,
            started_sum: 0,
            wall_timer: None,
        });
        self.accounts.len() - 1
    }

    fn move_reservation(&mut self, from: usize, granted: &Budget, take: bool) {
        for dimension in Dimension::ALL {
            let (Some(amount), Some(holder)) = (granted.limit(dimension), self.holder(from, dimension)) else {
                continue;
            };
            let reserved = self.accounts[holder].reserved.get_mut(dimension);
            *reserved = if take { reserved.saturating_add(amount) } else { reserved.saturating_sub(amount) };
        }
    }

    /// Adds what was spent, each amount where it is held.
    pub(crate) fn charge(&mut self, account: usize, usage: &Usage, now: Timestamp) {
        for dimension in Dimension::ALL {
            let amount = usage.get(dimension);
            if amount > 0 {
                let holder = self.holder(account, dimension).unwrap_or(0);
                let spent = self.accounts[holder].spent.get_mut(dimension);
                *spent = spent.saturating_add(amount);
            }
        }
        self.arm_wall(account, now);
    }

    /// A run of the account has ended; part of applying that.
    pub(crate) fn leave_account(&mut self, account: usize) {
        self.accounts[account].users -= 1;
    }

    pub(crate) fn wall_started(&mut self, account: usize, at: Timestamp) {
        if let Some(holder) = self.holder(account, Dimension::WallMs) {
            self.accounts[holder].running += 1;
            self.accounts[holder].started_sum += u128::from(at.0);
            self.arm_wall(account, at);
        }
    }

    pub(crate) fn wall_stopped(&mut self, account: usize, started: Timestamp) {
        if let Some(holder) = self.holder(account, Dimension::WallMs) {
            self.accounts[holder].running -= 1;
            self.accounts[holder].started_sum -= u128::from(started.0);
        }
    }

    /// Sets the clock to the moment when the running guests, together, will have
    /// spent what is left of their wall-clock budget.
    fn arm_wall(&mut self, account: usize, now: Timestamp) {
        let Some(holder) = self.holder(account, Dimension::WallMs) else {
            return;
        };
        let old = self.accounts[holder].wall_timer;
        let state = &self.accounts[holder];
        let running = u128::from(state.running);
        let due = match (state.left(Dimension::WallMs), running) {
            (Some(left), 1..) if !state.exhausted => {
                let left = u128::from(left).saturating_sub(state.burnt(now));
                Some(now.plus_ms(u64::try_from(left.div_ceil(running)).unwrap_or(u64::MAX)))
            }
            _ => None,
        };
        if let Some(old) = old {
            self.timers.remove(&(old, Timer::WallSpent(holder)));
        }
        if let Some(due) = due {
            self.timers.insert((due, Timer::WallSpent(holder)));
        }
        self.accounts[holder].wall_timer = due;
    }

    pub(crate) fn apply_budget(&mut self, owner: RunIx, at: Timestamp, moved: &BudgetMove) {
        let account = self.runs[owner].account;
        if !moved.spent.is_zero() {
            self.runs[owner].usage.add(&moved.spent);
            self.usage.add(&moved.spent);
            self.charge(account, &moved.spent, at);
        }
        if moved.exhausted {
            self.accounts[account].exhausted = true;
            self.arm_wall(account, at);
        }
        if moved.settled {
            let (granted, spent) = (self.accounts[account].granted, self.accounts[account].spent);
            self.accounts[account].settled = true;
            let Some(above) = self.accounts[account].parent else {
                return;
            };
            self.move_reservation(above, &granted, false);
            // What passed through to an account above was charged there already.
            let mut own = Usage::default();
            for dimension in Dimension::ALL.into_iter().filter(|d| granted.limit(*d).is_some()) {
                *own.get_mut(dimension) = spent.get(dimension);
            }
            self.charge(above, &own, at);
            self.accounts[above].users -= 1;
        }
    }

    /// Gives back what is left of every account that nobody draws on any more,
    /// from the one of `ix` up.
    pub(crate) fn settle_accounts(&mut self, now: Timestamp, ix: RunIx) {
        let mut at = Some(self.runs[ix].account);
        let mut settled = false;
        while let Some(account) = at {
            let state = &self.accounts[account];
            if !state.may_settle() {
                break;
            }
            at = state.parent;
            let owner = state.owner;
            if state.parent.is_some() {
                let refunded = Budget::from_limits(|dimension| state.left(dimension));
                let moved = BudgetMove { refunded, settled: true, ..BudgetMove::default() };
                let surface = self.runs[owner].surface;
                self.emit(now, owner, surface, Fact::Budget(Box::new(moved)));
                settled = true;
            }
        }
        // What was spent beyond a reservation is only seen above once it is
        // settled.
        if settled {
            self.stop_overspent(now, ix);
        }
    }

    /// Writes down what a run spent outside the host (a model call, say), and
    /// ends what has gone over its budget by it. A call may come back after the
    /// guest that made it was stopped; one of a run that has ended is too late.
    pub fn spend(&mut self, now: Timestamp, run: RunId, spent: Usage) {
        let Some(surface) = self.run(run).filter(|run| !run.status.is_terminal()).map(|run| run.surface) else {
            return;
        };
        let ix = run.index as RunIx;
        let moved = BudgetMove { spent, ..BudgetMove::default() };
        self.emit(now, ix, surface, Fact::Budget(Box::new(moved)));
        self.stop_overspent(now, ix);
        self.settle(now);
    }

    /// Cancels what draws on an account that was crossed.
    pub(crate) fn stop_overspent(&mut self, now: Timestamp, ix: RunIx) {
        let mut at = Some(self.runs[ix].account);
        while let Some(account) = at {
            let state = &self.accounts[account];
            at = state.parent;
            if state.is_crossed() && !state.exhausted && !state.settled {
                self.exhaust(now, account);
            }
        }
    }

    /// Writes down that an account is used up, and cancels all that draws on it.
    pub(crate) fn exhaust(&mut self, now: Timestamp, account: usize) {
        let owner = self.accounts[account].owner;
        let surface = self.runs[owner].surface;
        let moved = BudgetMove { exhausted: true, ..BudgetMove::default() };
        self.emit(now, owner, surface, Fact::Budget(Box::new(moved)));
        self.mark_cancelled(now, surface, owner, &[owner], Reach::Everything, "budget_exhausted");
    }

    /// What is left for a run to spend; an amount without a limit is none.
    pub fn remaining_budget(&self, run: RunId) -> Budget {
        let Some(run) = self.run(run) else {
            return Budget::default();
        };
        Budget::from_limits(|dimension| {
            let holder = self.holder(run.account, dimension)?;
            self.accounts[holder].left(dimension)
        })
    }

    /// The account that limits an amount for a run, by the run that holds it,
    /// and what was left of it: so that the engine can count within a decision.
    pub fn budget_holder(&self, run: RunId, dimension: Dimension) -> Option<(RunId, u64)> {
        let holder = self.holder(self.run(run)?.account, dimension)?;
        let account = &self.accounts[holder];
        Some((self.run_id(account.owner), account.left(dimension)?))
    }
}

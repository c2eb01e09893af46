//! The ledger: who holds which budget, kept from the events alone.

use std::collections::BTreeMap;

use pleach_kernel::{Budget, BudgetMove, Dimension, Tree, Usage};

/// One budget, held by a run.
#[derive(Debug)]
struct Account {
    above: Option<usize>,
    granted: Budget,
    spent: Usage,
    reserved: Usage,
    settled: bool,
}

/// Budgets by the run that holds them.
#[derive(Default)]
pub struct Ledger {
    accounts: BTreeMap<usize, Account>,
    /// Which account each run draws on.
    draws_on: Vec<usize>,
    ended: Vec<bool>,
    total: Usage,
}

type Finding = Result<(), String>;

impl Ledger {
    /// A run is admitted; the root always has an account.
    pub fn open(&mut self, run: usize, parent: Option<usize>, granted: &Budget, root: bool) -> Finding {
        let above = parent.map(|parent| self.draws_on[parent]);
        self.ended.push(false);
        if granted.is_empty() && !root {
            self.draws_on.push(above.unwrap_or(0));
            return Ok(());
        }
        self.draws_on.push(run);
        for dimension in Dimension::ALL {
            let holder = above.and_then(|above| self.holder(above, dimension));
            let (Some(amount), Some(holder)) = (granted.limit(dimension), holder) else {
                continue;
            };
            let account = self.accounts.get_mut(&holder).ok_or("a budget is reserved from one that is there")?;
            *account.reserved.get_mut(dimension) += amount;
            let used = account.spent.get(dimension) + account.reserved.get(dimension);
            if account.granted.limit(dimension).is_some_and(|limit| used > limit) {
                return Err(format!("{} is reserved that is not there", dimension.name()));
            }
        }
        let account =
            Account { above, granted: *granted, spent: Usage::default(), reserved: Usage::default(), settled: false };
        self.accounts.insert(run, account);
        Ok(())
    }

    fn holder(&self, mut account: usize, dimension: Dimension) -> Option<usize> {
        loop {
            let state = self.accounts.get(&account)?;
            if state.granted.limit(dimension).is_some() {
                return Some(account);
            }
            account = state.above?;
        }
    }

    fn charge(&mut self, account: usize, usage: &Usage) {
        for dimension in Dimension::ALL {
            let holder = self.holder(account, dimension).unwrap_or(0);
            if let Some(state) = self.accounts.get_mut(&holder) {
                *state.spent.get_mut(dimension) += usage.get(dimension);
            }
        }
    }

    /// A run has spent something.
    pub fn spent(&mut self, run: usize, usage: &Usage) {
        self.total.add(usage);
        self.charge(self.draws_on[run], usage);
    }

    /// A run has ended.
    pub fn left(&mut self, run: usize) {
        self.ended[run] = true;
    }

    /// A budget event.
    pub fn moved(&mut self, run: usize, moved: &BudgetMove) -> Finding {
        self.spent(run, &moved.spent);
        if !moved.reserved.is_empty() && self.accounts.get(&run).map(|account| account.granted) != Some(moved.reserved)
        {
            return Err("what is told to be reserved is what was asked for".into());
        }
        if !moved.settled {
            return Ok(());
        }
        let drawn = (0..self.draws_on.len()).any(|other| self.draws_on[other] == run && !self.ended[other]);
        let open_below = self.accounts.values().any(|account| account.above == Some(run) && !account.settled);
        let account = self.accounts.get_mut(&run).ok_or("only a budget that was reserved is settled")?;
        if drawn || open_below || account.settled {
            return Err("a budget is settled once, when nobody draws on it any more".into());
        }
        account.settled = true;
        let (granted, spent, above) = (account.granted, account.spent, account.above.ok_or("the root's stays")?);
        let left = Budget::from_limits(|d| granted.limit(d).map(|limit| limit.saturating_sub(spent.get(d))));
        if moved.refunded != left {
            return Err(format!("what was not spent goes back: {left:?} and not {:?}", moved.refunded));
        }
        for dimension in Dimension::ALL.into_iter().filter(|d| granted.limit(*d).is_some()) {
            let amount = granted.limit(dimension).unwrap_or(0);
            if let Some(state) = self.holder(above, dimension).and_then(|holder| self.accounts.get_mut(&holder)) {
                *state.reserved.get_mut(dimension) -= amount;
            }
            let mut own = Usage::default();
            *own.get_mut(dimension) = spent.get(dimension);
            self.charge(above, &own);
        }
        Ok(())
    }

    pub fn total(&self) -> Usage {
        self.total
    }

    /// Whether an account that the run draws on, or one above, is overspent.
    pub fn is_crossed_above(&self, run: usize) -> bool {
        let mut at = Some(self.draws_on[run]);
        while let Some(account) = at.and_then(|at| self.accounts.get(&at)) {
            let crossed = Dimension::ALL.into_iter().any(|dimension| {
                let used = account.spent.get(dimension) + account.reserved.get(dimension);
                account.granted.limit(dimension).is_some_and(|limit| used > limit)
            });
            if crossed && !account.settled {
                return true;
            }
            at = account.above;
        }
        false
    }

    /// At the end everything that was spent stands in the root's account.
    pub fn adds_up(&self, tree: &Tree) -> Finding {
        let root = self.accounts.get(&0).ok_or("the root has an account")?;
        if root.spent != self.total || !root.reserved.is_zero() {
            return Err(format!("the root's account holds {:?} of {:?}", root.spent, self.total));
        }
        let left = Budget::from_limits(|d| root.granted.limit(d).map(|limit| limit.saturating_sub(root.spent.get(d))));
        match tree.remaining_budget(tree.root().id) == left {
            true => Ok(()),
            false => Err("what is left is what was granted less what was spent".into()),
        }
    }
}

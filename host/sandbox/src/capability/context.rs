//! `context`: what a run may know about itself. No call here can fail, so none
//! is refused: where nothing is left of the budget, they go uncounted.

use pleach_kernel::Budget;

use crate::bindings::context::Host;
use crate::bindings::types;
use crate::call::Call;
use crate::guest::Guest;

impl Host for Guest {
    fn lineage(&mut self) -> types::Lineage {
        self.charged();
        (&self.identity.lineage).into()
    }

    fn tenant(&mut self) -> String {
        self.charged();
        self.identity.lineage.tenant.as_str().to_owned()
    }

    fn scopes(&mut self) -> types::Grant {
        self.charged();
        (&self.identity.grant).into()
    }

    fn deadline_ms(&mut self) -> Option<u64> {
        self.charged();
        self.identity.deadline.map(|deadline| deadline.0)
    }

    fn attempt(&mut self) -> u32 {
        self.charged();
        self.identity.lineage.attempt
    }

    fn seed(&mut self) -> u64 {
        self.charged();
        self.identity.seed
    }

    async fn remaining_budget(&mut self) -> types::Budget {
        self.charged();
        let nothing = Budget::from_limits(|_| Some(0));
        // Whoever is being cancelled has nothing left to spend.
        self.ask(|reply| Call::RemainingBudget { reply }).await.unwrap_or(nothing).into()
    }
}

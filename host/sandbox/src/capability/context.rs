//! `context`: what a run may know about itself. No call here can fail, so none
//! is refused: where nothing is left of the budget, they go uncounted.

use crate::bindings::context::Host;
use crate::bindings::types;
use crate::guest::Guest;

impl Host for Guest {
    fn lineage(&mut self) -> types::Lineage {
        self.calls.charged();
        self.calls.lineage().into()
    }

    fn tenant(&mut self) -> String {
        self.calls.charged();
        self.calls.lineage().tenant.as_str().to_owned()
    }

    fn scopes(&mut self) -> types::Grant {
        self.calls.charged();
        self.calls.grant().into()
    }

    fn deadline_ms(&mut self) -> Option<u64> {
        self.calls.charged();
        self.calls.deadline().map(|deadline| deadline.0)
    }

    fn attempt(&mut self) -> u32 {
        self.calls.charged();
        self.calls.lineage().attempt
    }

    fn seed(&mut self) -> u64 {
        self.calls.charged();
        self.calls.seed()
    }

    async fn remaining_budget(&mut self) -> types::Budget {
        self.calls.off_stack(move |calls| Box::pin(calls.remaining_budget())).await.into()
    }
}

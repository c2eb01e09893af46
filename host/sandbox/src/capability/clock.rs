//! `clock`: the run's logical clock, and waiting until the host says so.

use crate::bindings::clock::Host;
use crate::bindings::types::CallError;
use crate::guest::Guest;

impl Host for Guest {
    fn now_ms(&mut self) -> u64 {
        self.calls.charged();
        self.calls.now_ms()
    }

    async fn sleep_ms(&mut self, duration_ms: u64) -> Result<(), CallError> {
        self.calls.off_stack(move |calls| Box::pin(async move { Ok(calls.sleep_ms(duration_ms).await?) })).await
    }
}

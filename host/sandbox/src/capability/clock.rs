//! `clock`: the run's logical clock, and waiting on the host's timer.

use std::time::Duration;

use crate::bindings::clock::Host;
use crate::bindings::types::CallError;
use crate::guest::{Guest, cancelled};

impl Host for Guest {
    fn now_ms(&mut self) -> u64 {
        self.charged();
        self.vitals.look_at_clock() / 1_000_000
    }

    async fn sleep_ms(&mut self, duration_ms: u64) -> Result<(), CallError> {
        self.enter("clock.sleep")?;
        let woken_at = self.vitals.look_at_clock().saturating_add(duration_ms.saturating_mul(1_000_000));
        tokio::select! {
            biased;
            () = self.vitals.cancelled() => return Err(cancelled()),
            () = tokio::time::sleep(Duration::from_millis(duration_ms)) => {}
        }
        self.vitals.advance_to(woken_at);
        self.vitals.catch_up();
        Ok(())
    }
}

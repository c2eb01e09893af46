//! Time as a run may see it.

use crate::CallError;
use crate::bindings::agent::pleach::plugin::clock as host;

/// Milliseconds since 1970. Stands still while the guest computes and moves on
/// at host calls.
pub fn now_ms() -> u64 {
    host::now_ms()
}

/// Wait. Fails with `cancelled` as soon as the run is being cancelled.
pub fn sleep_ms(duration_ms: u64) -> Result<(), CallError> {
    host::sleep_ms(duration_ms)
}

//! What a run may know about itself. None of these calls can fail.

use crate::bindings::agent::pleach::plugin::context as host;
use crate::{Budget, Grant, Lineage};

/// Where this run stands in its tree.
pub fn lineage() -> Lineage {
    host::lineage()
}

/// The tenant that the run belongs to.
pub fn tenant() -> String {
    host::tenant()
}

/// What this run may use and delegate.
pub fn scopes() -> Grant {
    host::scopes()
}

/// When this run is ended, in milliseconds since 1970; none where it has no
/// limit.
pub fn deadline_ms() -> Option<u64> {
    host::deadline_ms()
}

/// 1 for the first try, 2 for the first retry.
pub fn attempt() -> u32 {
    host::attempt()
}

/// A number that is the same in every replay of this run and different for
/// every other run.
pub fn seed() -> u64 {
    host::seed()
}

/// What is left of the budget that this run draws on.
pub fn remaining_budget() -> Budget {
    host::remaining_budget()
}

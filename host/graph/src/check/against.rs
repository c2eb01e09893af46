//! Against: what only a host knows, its plugins and the tenant's policy.
//!
//! The graph runs as a root run whose plugin has the graph's name; policy is
//! matched as the kernel matches it.

mod limits;
mod targets;

use crate::Surroundings;
use crate::diagnostic::Diagnostics;
use crate::plan::Plan;

/// Tells what this host would refuse.
pub(crate) fn check_against(plan: &Plan, surroundings: &dyn Surroundings, found: &mut Diagnostics) {
    let name = surroundings.name().unwrap_or(&plan.name);
    targets::check(plan, name, surroundings, found);
    limits::check(plan, name, surroundings.policy(), found);
}

#[cfg(test)]
mod tests;

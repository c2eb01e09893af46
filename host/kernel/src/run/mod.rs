//! What can happen to runs, one file per behaviour.
//!
//! Each file holds its decisions (methods of [`crate::Tree`] that look, refuse
//! or emit events) and the part of `apply` that is its own.

pub(crate) mod admission;
pub(crate) mod budget;
pub(crate) mod cancel;
pub(crate) mod deny;
pub(crate) mod fallback;
pub(crate) mod finish;
pub(crate) mod group;
pub(crate) mod join;
pub(crate) mod notice;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod replan;
pub(crate) mod replay;
pub(crate) mod retry;
pub(crate) mod spawn;
pub(crate) mod start;
pub(crate) mod timers;

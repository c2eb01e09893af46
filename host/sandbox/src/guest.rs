//! A component as its host functions see it: its line to the host, and what only
//! components need. It is the data of a store and lives as long.

use std::sync::Arc;

use crate::capability::files::Roots;
use crate::capability::log;
use crate::capability::wasi::Wasi;
use crate::limiter::Limiter;
use crate::offstack::Calls;
use crate::rate::Rate;
use crate::start::Grounds;

/// The data of one guest's store.
pub(crate) struct Guest {
    pub(crate) calls: Calls,
    pub(crate) limiter: Limiter,
    pub(crate) roots: Arc<Roots>,
    /// Made when it is first asked for: most guests have no use for WASI.
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) log_rate: Rate,
}

impl Guest {
    pub(crate) fn new(calls: Calls, grounds: &Grounds) -> Self {
        Self {
            calls,
            limiter: Limiter::new(grounds.loader.limits),
            roots: grounds.roots.clone(),
            wasi: None,
            log_rate: log::rate(),
        }
    }
}

//! What a guest can ask of its host: one file for each interface of
//! `wit/plugin.wit`, and one for WASI.
//!
//! Whether a call is allowed is decided where it is served: by the kernel for
//! orchestration, against the run's grant for the rest. What may wait is called through
//! [`crate::offstack::Calls::off_stack`], or a guest's stack would grow by it.

mod clock;
mod context;
mod disk;
pub(crate) mod files;
pub(crate) mod log;
mod orchestration;
mod progress;
mod types;
pub(crate) mod wasi;
mod wire;

pub(crate) use types::{run_error, run_status};

use wasmtime::component::{HasSelf, Linker};

use crate::bindings;
use crate::guest::Guest;

impl bindings::types::Host for Guest {}

/// Everything that an agent may import.
pub(crate) fn link_agent(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::agent::Agent::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::link(linker)
}

/// What judges, routers and replanners may import: they are handed everything
/// that they need, and can only log.
pub(crate) fn link_plain(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    bindings::types::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    bindings::log::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)?;
    wasi::link(linker)
}

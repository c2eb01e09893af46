//! Plugins that are ready to run: components that are compiled and linked, and
//! native programs. Made once, run often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use pleach_kernel::{Payload, Role, RunError};
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::capability;
use crate::engine::Engines;
use crate::error::Error;
use crate::guest::Guest;
use crate::native::Program;
use crate::role::{Linked, role_of};

/// A plugin, ready to be started.
pub struct Plugin {
    digest: Arc<str>,
    role: Role,
    work: Work,
    /// When it was last asked for, in the order of asking.
    pub(crate) used: AtomicU64,
}

/// What a plugin runs as.
pub(crate) enum Work {
    Component(Component),
    Native { program: Arc<dyn Program>, is_graph: bool },
}

/// A component that is compiled and linked.
pub(crate) struct Component {
    linked: Arc<Linked>,
    pooled: bool,
    /// The same component on the engine without a pool; made when it is needed.
    overflow: OnceLock<Result<Arc<Linked>, Error>>,
}

impl Plugin {
    /// A program that is part of the host. `digest` is whatever it is known by. It
    /// takes a place like any guest.
    pub fn native(digest: impl Into<Arc<str>>, role: Role, program: Arc<dyn Program>) -> Arc<Self> {
        let work = Work::Native { program, is_graph: false };
        Arc::new(Self { digest: digest.into(), role, work, used: AtomicU64::new(0) })
    }

    /// A graph: a native agent that only waits for what it has spawned. It takes no
    /// place among guests, and is never dropped from memory.
    pub fn graph(digest: impl Into<Arc<str>>, program: Arc<dyn Program>) -> Arc<Self> {
        let work = Work::Native { program, is_graph: true };
        Arc::new(Self { digest: digest.into(), role: Role::Agent, work, used: AtomicU64::new(0) })
    }

    /// Of a component, `sha256:` and 64 hexadecimal digits over its bytes.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it was made by [`Plugin::graph`].
    pub fn is_graph(&self) -> bool {
        matches!(self.work, Work::Native { is_graph: true, .. })
    }

    /// Whether a run that it has asked for may give this; see [`Program::accepts`].
    pub(crate) fn accepts(&self, node: &str, ordinal: Option<u32>, output: &Payload) -> Result<(), RunError> {
        match &self.work {
            Work::Native { program, .. } => program.accepts(node, ordinal, output),
            Work::Component(_) => Ok(()),
        }
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// Loads compiled code that this host made.
    pub(crate) fn from_code(
        digest: Arc<str>,
        code: &[u8],
        linkers: &Linkers,
        engines: &Engines,
    ) -> Result<Self, Error> {
        let component = Component::from_code(code, linkers, engines)?;
        let role = component.linked.role();
        Ok(Self { digest, role, work: Work::Component(component), used: AtomicU64::new(0) })
    }

    pub(crate) fn touch(&self, now: u64) {
        self.used.fetch_max(now, Ordering::Relaxed);
    }
}

impl Component {
    /// Whether it runs in the pool, while a slot is free.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooled
    }

    pub(crate) fn linked(&self) -> &Linked {
        &self.linked
    }

    /// The component on the engine without a pool.
    pub(crate) fn on_demand(&self, linkers: &Linkers, engines: &Engines) -> Result<Arc<Linked>, Error> {
        if !self.pooled {
            return Ok(self.linked.clone());
        }
        let made = self.overflow.get_or_init(|| {
            let code = self.linked.component().serialize().map_err(|e| unfit(&e))?;
            let component = deserialize(&engines.on_demand, &code).map_err(|e| unfit(&e))?;
            linkers.on_demand.link(&component).map(Arc::new)
        });
        made.clone()
    }

    fn from_code(code: &[u8], linkers: &Linkers, engines: &Engines) -> Result<Self, Error> {
        // The pool refuses a component that does not fit a slot.
        let in_pool = engines.pool.as_ref().zip(linkers.pooled.as_ref()).and_then(|(pool, linker)| {
            let component = deserialize(&pool.engine, code).ok()?;
            pool.fits(&component).then_some((component, linker))
        });
        let (linked, pooled) = match in_pool {
            Some((component, linker)) => (linker.link(&component)?, true),
            None => {
                let component = deserialize(&engines.on_demand, code).map_err(|e| unfit(&e))?;
                (linkers.on_demand.link(&component)?, false)
            }
        };
        Ok(Self { linked: Arc::new(linked), pooled, overflow: OnceLock::new() })
    }
}

fn unfit(error: &wasmtime::Error) -> Error {
    Error::Unfit { why: format!("{error:#}") }
}

/// Loads compiled code.
#[expect(unsafe_code, reason = "the code was compiled by this process, or has the MAC of a host of this user")]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<wasmtime::component::Component> {
    // SAFETY: `code` is what `Engine::precompile_component` made: in this
    // process, or read by `CodeCache::read`, which checks its MAC.
    unsafe { wasmtime::component::Component::deserialize(engine, code) }
}

/// What plugins of each engine are linked to.
pub(crate) struct Linkers {
    pooled: Option<Imports>,
    on_demand: Imports,
}

/// The imports that one engine offers, by role.
struct Imports {
    agent: Linker<Guest>,
    plain: Linker<Guest>,
}

impl Linkers {
    pub(crate) fn new(engines: &Engines) -> Result<Self, Error> {
        let imports = |engine: &Engine| {
            Imports::new(engine)
                .map_err(|e| Error::Setup { what: "linking the host's functions", why: format!("{e:#}") })
        };
        let pooled = engines.pool.as_ref().map(|pool| imports(&pool.engine)).transpose()?;
        Ok(Self { pooled, on_demand: imports(&engines.on_demand)? })
    }
}

impl Imports {
    fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut agent = Linker::new(engine);
        capability::link_agent(&mut agent)?;
        let mut plain = Linker::new(engine);
        capability::link_plain(&mut plain)?;
        Ok(Self { agent, plain })
    }

    fn link(&self, component: &wasmtime::component::Component) -> Result<Linked, Error> {
        let role = role_of(component)
            .ok_or_else(|| Error::Unfit { why: "it exports none of run, judge, route and replan".into() })?;
        let linker = match role {
            Role::Agent => &self.agent,
            Role::Judge | Role::Router | Role::Replanner => &self.plain,
        };
        let pre = linker.instantiate_pre(component).map_err(|e| unfit(&e))?;
        Linked::new(role, pre).map_err(|e| unfit(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GuestLimits;

    #[test]
    fn code_that_was_compiled_once_runs_in_the_pool_and_beyond_it() {
        let echo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/echo/echo.wasm");
        let limits = GuestLimits::default();
        let engines = Engines::new(&limits, 16).unwrap();
        let linkers = Linkers::new(&engines).unwrap();
        let code = engines.on_demand.precompile_component(&std::fs::read(echo).unwrap()).unwrap();
        let component = Component::from_code(&code, &linkers, &engines).unwrap();
        assert_eq!((component.linked().role(), component.is_pooled()), (Role::Agent, engines.pool.is_some()));
        assert_eq!(component.on_demand(&linkers, &engines).unwrap().role(), Role::Agent);

        let without = Engines::new(&limits, 0).unwrap();
        let linkers = Linkers::new(&without).unwrap();
        assert!(!Component::from_code(&code, &linkers, &without).unwrap().is_pooled());
    }
}

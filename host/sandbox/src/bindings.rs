//! Rust types for `wit/plugin.wit`, one module a world, generated.
//!
//! Nothing is implemented here: each capability is a file in `capability/`, and
//! each world is called from a file in `role/`. The three smaller worlds take
//! their shared interfaces from `agent`, so that one implementation serves all.

pub(crate) mod agent {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "agent",
        imports: {
            "pleach:plugin/context.remaining-budget": async,
            "pleach:plugin/clock.sleep-ms": async,
            "pleach:plugin/orchestration": async,
            "pleach:plugin/files": async,
            "pleach:plugin/progress": async,
        },
        exports: { default: async },
    });
}

pub(crate) mod judge {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "judge",
        exports: { default: async },
        with: {
            "pleach:plugin/types": crate::bindings::agent::pleach::plugin::types,
            "pleach:plugin/log": crate::bindings::agent::pleach::plugin::log,
        },
    });
}

pub(crate) mod router {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "router",
        exports: { default: async },
        with: {
            "pleach:plugin/types": crate::bindings::agent::pleach::plugin::types,
            "pleach:plugin/log": crate::bindings::agent::pleach::plugin::log,
        },
    });
}

pub(crate) mod replanner {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "replanner",
        exports: { default: async },
        with: {
            "pleach:plugin/types": crate::bindings::agent::pleach::plugin::types,
            "pleach:plugin/log": crate::bindings::agent::pleach::plugin::log,
        },
    });
}

pub(crate) use agent::pleach::plugin::{clock, context, files, log, orchestration, progress, types};

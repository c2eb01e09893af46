//! The contract's agents, called without a host: with waiting, and without.

pub mod agent {
    wasmtime::component::bindgen!({ path: "../../wit", world: "agent" });
}

pub mod waiting {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "agent",
        exports: { default: async },
        with: {
            "pleach:plugin": crate::floor::bindings::agent::pleach::plugin,
        },
    });
}

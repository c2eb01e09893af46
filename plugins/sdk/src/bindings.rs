//! What `wit-bindgen` makes of the contract, one module for each world. The
//! other modules put a hand-written face on it; nothing else lives here.
//!
//! Each world is behind a feature of its own, because a component must carry the
//! description of one world only, and whatever is compiled in here is carried.
//! What all worlds import is in `shared`, so that a `RunError` is the same Rust
//! type wherever it turns up. Each field that the contract calls `json`
//! serialises as the document it holds and not as a string of it.
#![allow(
    missing_docs,
    unsafe_code,
    clippy::too_many_arguments,
    reason = "generated: the documentation is in the WIT, and the canonical ABI needs raw memory"
)]

/// What every world imports.
pub mod shared {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package pleach:sdk;
            world shared {
                import pleach:plugin/types@0.1.0;
                import pleach:plugin/log@0.1.0;
            }
        ",
        generate_all,
        generate_unused_types: true,
        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
        additional_type_attributes: {
            "pleach:plugin/types@0.1.0/run-status": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/types@0.1.0/call-error": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/log@0.1.0/level": [#[serde(rename_all = "snake_case")]],
        },
        additional_member_attributes: {
            "pleach:plugin/types@0.1.0/run-error.details": [#[serde(with = "crate::json::optional", default)]],
        },
    });
}

/// The world of agents.
#[cfg(feature = "agent")]
pub mod agent {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "agent",
        pub_export_macro: true,
        export_macro_name: "export_agent",
        with: {
            "pleach:plugin/types@0.1.0": crate::bindings::shared::pleach::plugin::types,
            "pleach:plugin/log@0.1.0": crate::bindings::shared::pleach::plugin::log,
        },
        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
        additional_type_attributes: {
            "pleach:plugin/orchestration@0.1.0/backoff": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/orchestration@0.1.0/parent-close": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/orchestration@0.1.0/priority": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/orchestration@0.1.0/join-mode": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/orchestration@0.1.0/join-status": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/orchestration@0.1.0/suggested-action": [#[serde(rename_all = "snake_case")]],
            "pleach:plugin/files@0.1.0/entry-kind": [#[serde(rename_all = "snake_case")]],
        },
        additional_member_attributes: {
            "pleach:plugin/orchestration@0.1.0/spawn-request.input": [#[serde(with = "crate::json::required")]],
            "pleach:plugin/orchestration@0.1.0/member-outcome.output": [#[serde(with = "crate::json::optional", default)]],
            "pleach:plugin/orchestration@0.1.0/evaluate-request.config": [#[serde(with = "crate::json::optional", default)]],
            "pleach:plugin/orchestration@0.1.0/call-request.input": [#[serde(with = "crate::json::required")]],
            "pleach:plugin/orchestration@0.1.0/call-result.output": [#[serde(with = "crate::json::optional", default)]],
        },
    });
}

/// The world of judges.
#[cfg(feature = "judge")]
pub mod judge {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "judge",
        pub_export_macro: true,
        export_macro_name: "export_judge",
        with: {
            "pleach:plugin/types@0.1.0": crate::bindings::shared::pleach::plugin::types,
            "pleach:plugin/log@0.1.0": crate::bindings::shared::pleach::plugin::log,
        },
    });
}

/// The world of routers.
#[cfg(feature = "router")]
pub mod router {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "router",
        pub_export_macro: true,
        export_macro_name: "export_router",
        with: {
            "pleach:plugin/types@0.1.0": crate::bindings::shared::pleach::plugin::types,
            "pleach:plugin/log@0.1.0": crate::bindings::shared::pleach::plugin::log,
        },
    });
}

/// The world of replanners.
#[cfg(feature = "replanner")]
pub mod replanner {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "replanner",
        pub_export_macro: true,
        export_macro_name: "export_replanner",
        with: {
            "pleach:plugin/types@0.1.0": crate::bindings::shared::pleach::plugin::types,
            "pleach:plugin/log@0.1.0": crate::bindings::shared::pleach::plugin::log,
        },
    });
}

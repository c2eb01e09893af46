//! Write plugins for Pleach in Rust.
//!
//! A plugin is a function over types of yours. This is a whole agent:
//!
//! ```
//! use pleach_sdk::Error;
//! use serde::{Deserialize, Serialize};
//!
//! pleach_sdk::agent!(run);
//!
//! #[derive(Deserialize)]
//! struct Input { name: String }
//!
//! #[derive(Serialize)]
//! struct Output { greeting: String }
//!
//! fn run(input: Input) -> Result<Output, Error> {
//!     Ok(Output { greeting: format!("Hello, {}!", input.name) })
//! }
//! ```
//!
//! Its package says `crate-type = ["cdylib"]` and depends on this crate;
//! `pleach plugin build DIR` makes the component. A judge, a router or a
//! replanner depends on it with `default-features = false` and the feature of
//! that name, and says `judge!`, `router!` or `replanner!` instead.
//!
//! What an agent can do:
//!
//! * have others do a part: [`Spawn`], [`Group`], [`join`]
//! * change the course of what it started: [`Cancel`], [`Evaluate`], [`Query`]
//! * read the files it was granted: [`files`]
//! * know about itself and the time: [`context`], [`clock`]
//! * say how far it is: [`progress`] for the run's events, [`log`] for the host
//!
//! A call that the host refused or could not carry out is a [`CallError`], which
//! `?` turns into an [`Error`] with the same code. On any target but WebAssembly
//! there is no host, and such a call panics; keep what is worth a unit test apart
//! from the calls.
//!
//! This file is the front of the crate; what each thing does is in the module
//! that defines it.

#[cfg(target_arch = "wasm32")]
mod allocator;
mod error;
#[cfg(feature = "agent")]
mod group;
mod panic;
#[cfg(feature = "agent")]
mod spawn;
#[cfg(feature = "agent")]
mod tree;

#[cfg(feature = "agent")]
#[doc(hidden)]
pub mod agent;
#[doc(hidden)]
pub mod bindings;
#[cfg(feature = "agent")]
pub mod clock;
#[cfg(feature = "agent")]
pub mod context;
#[cfg(feature = "agent")]
pub mod files;
pub mod json;
#[cfg(feature = "judge")]
pub mod judge;
pub mod log;
#[cfg(feature = "agent")]
pub mod progress;
#[cfg(feature = "replanner")]
pub mod replanner;
#[cfg(feature = "router")]
pub mod router;

#[cfg(feature = "agent")]
pub use bindings::agent::pleach::plugin::orchestration::{
    AppliedPlan, Backoff, CallRequest, CallResult, CancelRequest, CancelResult, ChildCounts, EvaluateRequest,
    Evaluation, FailedChild, GroupRequest, JoinMode, JoinPolicy, JoinResult, JoinStatus, MemberOutcome, ParentClose,
    PlanStep, PolicySnapshot, Priority, QueryRequest, RetryPolicy, SpawnRequest, Spawned, SpawnedGroup,
    SuggestedAction,
};
pub use bindings::shared::pleach::plugin::types::{
    Budget, CallError, Denial, Failure, Grant, Lineage, RunError, RunStatus,
};
pub use error::Error;
#[cfg(feature = "agent")]
pub use group::{Group, join};
#[cfg(feature = "agent")]
pub use spawn::Spawn;
#[cfg(feature = "agent")]
pub use tree::{Cancel, Evaluate, Query};

//! Where guests run: WebAssembly components with limits and granted
//! capabilities.
//!
//! A [`Sandbox`] loads plugins and starts them, each in a store of its own that
//! lives exactly as long as its run. Guests compute on threads of their own,
//! are preempted every millisecond, and reach nothing but what `capability/`
//! serves. What they ask of the kernel goes through the [`Kernel`] trait: this
//! crate decides nothing about runs, and stores nothing but compiled code.
//!
//! A guest that is started again is held to what it did before: see `journal.rs`
//! for what is recorded, `replay.rs` for how it is compared, and `hostcalls/` for
//! where both meet. Natives are guests that are written in Rust and see the same.

// The error of every host function is the contract's `call-error`, which is as
// large as a denial is; it is made seldom and moved once.
#![allow(clippy::result_large_err)]

mod bindings;
mod cache;
mod call;
mod capability;
mod clock;
mod config;
mod contract;
mod engine;
mod error;
mod guest;
mod handback;
mod hostcalls;
mod inspect;
pub mod journal;
mod limiter;
mod live;
mod load;
mod native;
mod offstack;
mod outcome;
mod plugin;
mod rate;
mod replay;
mod role;
mod sandbox;
mod shape;
mod spinning;
mod stage;
mod start;
mod ticker;
mod vitals;
mod workers;

pub use call::{
    Call, CallError, Evaluating, Exhausted, FailureCode, Kernel, Meter, NodeCall, NodeGroup, NodeQuestion, NodeRun,
    Parked, Reply,
};
pub use config::{Config, GuestLimits};
pub use error::Error;
pub use hostcalls::HostCalls;
pub use inspect::{Inspection, Metadata};
pub use journal::{Answer, Asked, Encoded, Entry};
pub use live::{Live, LivePermit};
pub use native::{Program, Running};
pub use plugin::Plugin;
pub use replay::Replay;
pub use sandbox::Sandbox;
pub use start::{Job, Stop, start_native};
pub use workers::{apart, give_way};

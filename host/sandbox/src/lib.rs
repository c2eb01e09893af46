//! Where guests run: WebAssembly components with limits and granted
//! capabilities.
//!
//! A [`Sandbox`] loads plugins and starts them, each in a store of its own that
//! lives exactly as long as its run. Guests compute on threads of their own,
//! are preempted every millisecond, and reach nothing but what `capability/`
//! serves. What they ask of the kernel goes through the [`Kernel`] trait: this
//! crate decides nothing about runs, and stores nothing but compiled code.

// The error of every host function is the contract's `call-error`, which is as
// large as a denial is; it is made seldom and moved once.
#![allow(clippy::result_large_err)]

mod bindings;
mod cache;
mod call;
mod capability;
mod config;
mod contract;
mod engine;
mod error;
mod guest;
mod inspect;
mod limiter;
mod live;
mod load;
mod outcome;
mod plugin;
mod rate;
mod role;
mod sandbox;
mod shape;
mod start;
mod ticker;
mod vitals;

pub use call::{Call, CallError, Exhausted, FailureCode, Kernel, Meter, Reply};
pub use config::{Config, GuestLimits};
pub use error::Error;
pub use inspect::{Inspection, Metadata};
pub use live::LivePermit;
pub use plugin::Plugin;
pub use sandbox::Sandbox;
pub use start::{Job, Stop};

//! Native programs: guests that are written in Rust and part of the host. They
//! see of it what `HostCalls` has, and are recorded and replayed like others.

use std::future::Future;
use std::pin::Pin;

use pleach_kernel::{Payload, RunError};

use crate::hostcalls::HostCalls;

/// A native program at work.
pub type Running = Pin<Box<dyn Future<Output = Result<Payload, RunError>> + Send>>;

/// What a native plugin does.
///
/// It is held to what components are held to by construction: the same input and
/// the same answers have to lead to the same calls. What it waits for that is no call
/// of its own, such as a thread to compute on, it gets without anybody's doing, and
/// learns nothing by it.
///
/// It is polled on threads that it shares with guests, each of which is a tokio runtime of
/// one thread, and nothing interrupts it: what takes long is for
/// `tokio::task::spawn_blocking`, or comes after [`crate::apart`]. `block_in_place` is not to
/// be had there.
pub trait Program: Send + Sync + 'static {
    /// Whether its processor time counts as a component's does: by default, it uses none
    /// as far as budgets go.
    fn is_measured(&self) -> bool {
        false
    }

    /// Whether this is what a node of its own is to give, by its id, and the place in its
    /// group where it is a member of one. A run that gives anything else has failed.
    fn accepts(&self, node: &str, ordinal: Option<u32>, output: &Payload) -> Result<(), RunError> {
        let _ = (node, ordinal, output);
        Ok(())
    }

    fn run(&self, calls: HostCalls, input: Payload) -> Running;
}

/// An async function of both.
impl<F, T> Program for F
where
    F: Fn(HostCalls, Payload) -> T + Send + Sync + 'static,
    T: Future<Output = Result<Payload, RunError>> + Send + 'static,
{
    fn run(&self, calls: HostCalls, input: Payload) -> Running {
        Box::pin(self(calls, input))
    }
}

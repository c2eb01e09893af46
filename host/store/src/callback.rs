//! Calling what callers gave us. Code of theirs that panics must not take the thread
//! along that it is called on: one of the store's serves everybody, and one that called
//! the store is not to blame.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pleach_kernel::RootId;

use crate::{Done, Error, Messages};

/// Tells `done` what became of its append.
pub(crate) fn tell(done: Done, result: Result<(), Error>) {
    shielded("the callback of an append", || done(result));
}

/// Hands messages over; none are none to hand over.
pub(crate) fn hand_over(messages: &Messages, arrived: Vec<(RootId, Vec<u8>)>) {
    if !arrived.is_empty() {
        shielded("the receiver of messages", || messages(arrived));
    }
}

fn shielded(what: &str, call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        tracing::error!("{what} panicked; the store goes on");
    }
}

//! Giving back what guests have left behind: their memory, tables and stacks.
//!
//! Two threads that give pages back at the same time have Linux flush the address caches
//! of every processor that the process runs on; one at a time, of none. So a thread that
//! finds another at it keeps what its guest has left until after the guest's turn, or the
//! next, in which nobody else is at it. It never waits, and keeps little: with many
//! threads, of which one is always at it, the others give back beside it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crate::stage;

/// The remains of so many guests are kept by one thread.
const MOST_KEPT: usize = 8;

/// Held by the thread that gives back.
static GIVES_BACK: Mutex<()> = Mutex::new(());

thread_local! {
    static KEPT: RefCell<Vec<Box<dyn Send>>> = const { RefCell::new(Vec::new()) };
}

/// Drops what is left of a guest, within its turn and at its expense; or keeps it for
/// [`give_back_kept`], which a thread that calls this has to call.
pub(crate) fn give_back(remains: impl Send + 'static) {
    let alone = alone();
    let has_room = || KEPT.with_borrow(|kept| kept.len() < MOST_KEPT);
    match alone.is_none() && has_room() {
        true => KEPT.with_borrow_mut(|kept| kept.push(Box::new(remains))),
        false => drop(remains),
    }
}

/// Between two turns: drops what this thread has kept, unless another gives back.
pub(crate) fn give_back_kept() {
    if !KEPT.with_borrow(Vec::is_empty)
        && let Some(_alone) = alone()
    {
        give_back_all();
    }
}

/// Before a thread sleeps or ends: drops what it has kept, whoever else gives back.
pub(crate) fn give_back_all() {
    // Not dropped while the list is borrowed: that may give something back in its turn.
    while let Some(remains) = KEPT.with_borrow_mut(Vec::pop) {
        // One that panics is nobody else's affair: the panic was reported where it happened.
        let _ = catch_unwind(AssertUnwindSafe(|| stage::drop().in_scope(|| drop(remains))));
    }
}

fn alone() -> Option<MutexGuard<'static, ()>> {
    match GIVES_BACK.try_lock() {
        Ok(alone) => Some(alone),
        Err(TryLockError::Poisoned(alone)) => Some(alone.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Has every other thread find this one at it.
#[cfg(test)]
pub(crate) fn keep_others_from_it() -> MutexGuard<'static, ()> {
    GIVES_BACK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_thread_keeps_a_few_while_another_gives_back_and_drops_them_when_that_is_over() {
        let remains = Arc::new(());
        let other = keep_others_from_it();
        for _ in 0..MOST_KEPT + 3 {
            give_back(remains.clone());
        }
        give_back_kept();
        assert_eq!(Arc::strong_count(&remains), 1 + MOST_KEPT);
        drop(other);
        // Another test may be at it for a moment.
        while Arc::strong_count(&remains) > 1 {
            give_back_kept();
        }
    }

    #[test]
    fn a_guest_pays_for_no_other() {
        let before = Arc::new(());
        let other = keep_others_from_it();
        give_back(before.clone());
        drop(other);
        loop {
            let own = Arc::new(());
            give_back(own.clone());
            // Unless another test was at it.
            if Arc::strong_count(&own) == 1 {
                break;
            }
        }
        assert_eq!(Arc::strong_count(&before), 2);
        give_back_all();
        assert_eq!(Arc::strong_count(&before), 1);
    }
}

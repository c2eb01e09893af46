//! Giving back what guests have left behind: their memory, tables and stacks.
//!
//! Two threads that give pages back at the same time have Linux flush the address caches
//! of every processor that the process runs on; one at a time, of none. So a thread that
//! finds another at it goes on with its next guest, and gives back later what has come
//! together. It never waits, and what it keeps is little: with many threads, of which
//! one is always at it, the others give back beside it.

use std::cell::RefCell;
use std::sync::{Mutex, TryLockError};

/// The remains of so many guests are kept by one thread.
const MOST_KEPT: usize = 8;

/// Held by the thread that gives back.
static GIVES_BACK: Mutex<()> = Mutex::new(());

thread_local! {
    static KEPT: RefCell<Vec<Box<dyn Send>>> = const { RefCell::new(Vec::new()) };
}

/// Drops what is left of a guest, now or in a moment. To be called on a thread that
/// calls [`give_back_all`] before it sleeps.
pub(crate) fn give_back(remains: impl Send + 'static) {
    let alone = GIVES_BACK.try_lock();
    let is_alone = !matches!(alone, Err(TryLockError::WouldBlock));
    let has_room = || KEPT.with_borrow(|kept| kept.len() < MOST_KEPT);
    if !is_alone && has_room() {
        return KEPT.with_borrow_mut(|kept| kept.push(Box::new(remains)));
    }
    drop(remains);
    if is_alone {
        give_back_all();
    }
}

/// Drops what this thread has kept.
pub(crate) fn give_back_all() {
    // Not while the list is borrowed: what is dropped may give something back in its turn.
    while let Some(remains) = KEPT.with_borrow_mut(Vec::pop) {
        drop(remains);
    }
}

/// Has every other thread find this one at it.
#[cfg(test)]
pub(crate) fn keep_others_from_it() -> std::sync::MutexGuard<'static, ()> {
    GIVES_BACK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_thread_keeps_a_few_while_another_gives_back_and_drops_them_with_its_next() {
        let remains = Arc::new(());
        let other = keep_others_from_it();
        for _ in 0..MOST_KEPT + 3 {
            give_back(remains.clone());
        }
        assert_eq!(Arc::strong_count(&remains), 1 + MOST_KEPT);
        drop(other);
        // Another test may be at it for a moment.
        while Arc::strong_count(&remains) > 1 {
            give_back(remains.clone());
        }
        assert!(KEPT.with_borrow(Vec::is_empty));
    }
}

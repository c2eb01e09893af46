//! Host calls that wait, off the stack of the guest that makes them.
//!
//! A guest's stack is kept in whole pages for as long as the guest waits, and what a host
//! function takes of it to ask and to be woken is more than most guests take themselves.
//! So the function that the guest calls only leaves here what is to be done. The guest's
//! task does that on its thread's own stack, and lets the guest go on with the result.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::hostcalls::HostCalls;
use crate::stage;
use crate::workers::BoxFuture;

/// What a guest waits for, shared by its host functions and its task. One call is under
/// way at a time.
#[derive(Clone, Default)]
pub(crate) struct OffStack(Arc<Mutex<Step>>);

#[derive(Default)]
enum Step {
    #[default]
    Nothing,
    Waits(BoxFuture<'static, Given>),
    Done(Given),
}

/// A result, of a type that the host function knows which takes it.
type Given = Box<dyn Any + Send>;

impl OffStack {
    /// Runs a guest, and what it leaves to be done, which goes when the guest does. The
    /// guest stays where it is: moved here, it would take its room twice.
    pub(crate) async fn run<T>(self, mut guest: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|context| {
            loop {
                if self.poll_work(context).is_pending() {
                    return Poll::Pending;
                }
                let polled = guest.as_mut().poll(context);
                if polled.is_ready() || !matches!(*self.step(), Step::Waits(_)) {
                    return polled;
                }
            }
        })
        .await
    }

    /// Ready where there is nothing to wait for.
    fn poll_work(&self, context: &mut Context<'_>) -> Poll<()> {
        let step = std::mem::take(&mut *self.step());
        let (step, polled) = match step {
            Step::Waits(mut work) => match stage::call().in_scope(|| work.as_mut().poll(context)) {
                Poll::Pending => (Step::Waits(work), Poll::Pending),
                Poll::Ready(result) => (Step::Done(result), Poll::Ready(())),
            },
            step => (step, Poll::Ready(())),
        };
        *self.step() = step;
        polled
    }

    /// What comes of `work`, which is done elsewhere.
    async fn wait_for<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        *self.step() = Step::Waits(Box::pin(async { Box::new(work.await) as Given }));
        *poll_fn(|_| self.take_result()).await
    }

    fn take_result<T: 'static>(&self) -> Poll<Box<T>> {
        let mut step = self.step();
        match std::mem::take(&mut *step) {
            Step::Done(result) => match result.downcast() {
                Ok(result) => Poll::Ready(result),
                Err(_) => unreachable!("a guest took the result of another call"),
            },
            waits => {
                *step = waits;
                Poll::Pending
            }
        }
    }

    fn step(&self) -> MutexGuard<'_, Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guest's line to its host, which is elsewhere while a call waits. The guest stands
/// still meanwhile, so nobody looks for it.
pub(crate) struct Calls {
    line: Option<Box<HostCalls>>,
    off_stack: OffStack,
}

impl Calls {
    pub(crate) fn new(line: Box<HostCalls>, off_stack: OffStack) -> Self {
        Self { line: Some(line), off_stack }
    }

    /// Makes a call that may wait.
    pub(crate) async fn off_stack<T, F>(&mut self, call: F) -> T
    where
        T: Send + 'static,
        F: for<'a> FnOnce(&'a mut HostCalls) -> BoxFuture<'a, T> + Send + 'static,
    {
        let Some(mut line) = self.line.take() else { is_away() };
        let work = async move {
            let result = call(&mut line).await;
            (line, result)
        };
        let (line, result) = self.off_stack.wait_for(work).await;
        self.line = Some(line);
        result
    }
}

impl Deref for Calls {
    type Target = HostCalls;

    fn deref(&self) -> &HostCalls {
        self.line.as_deref().unwrap_or_else(|| is_away())
    }
}

impl DerefMut for Calls {
    fn deref_mut(&mut self) -> &mut HostCalls {
        self.line.as_deref_mut().unwrap_or_else(|| is_away())
    }
}

fn is_away() -> ! {
    unreachable!("a guest makes a call while another waits")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    /// Polls a guest, and says how often that polled its own code.
    fn counted<'a, T>(polls: &'a Cell<u32>, guest: impl Future<Output = T> + 'a) -> impl Future<Output = T> + 'a {
        let mut guest = Box::pin(guest);
        poll_fn(move |context| {
            polls.set(polls.get() + 1);
            guest.as_mut().poll(context)
        })
    }

    #[test]
    fn a_guest_has_no_turn_while_what_it_left_waits_and_goes_on_at_once_with_the_result() {
        let off_stack = OffStack::default();
        let (polls, (answer, answered)) = (Cell::new(0), oneshot::channel::<u32>());
        let calls = off_stack.clone();
        let guest = counted(&polls, async move {
            let first = calls.wait_for(answered).await.unwrap();
            first + calls.wait_for(async { 1 }).await
        });
        let mut guest = Box::pin(guest);
        let mut run = Box::pin(off_stack.run(guest.as_mut()));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(run.as_mut().poll(&mut context).is_pending());
            assert_eq!(polls.get(), 1);
        }
        answer.send(41).unwrap();
        assert_eq!(run.as_mut().poll(&mut context), Poll::Ready(42));
        // Once for the first result, which leads to the second call, and once for that.
        assert_eq!(polls.get(), 3);
    }

    #[test]
    fn a_guest_that_gives_way_gives_way() {
        let off_stack = OffStack::default();
        let polls = Cell::new(0);
        let mut guest = Box::pin(counted(&polls, crate::workers::give_way()));
        let mut run = Box::pin(off_stack.run(guest.as_mut()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(run.as_mut().poll(&mut context).is_pending());
        assert_eq!(polls.get(), 1);
        assert!(run.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn what_a_guest_left_goes_when_it_does() {
        let left = Arc::new(());
        let (off_stack, held) = (OffStack::default(), left.clone());
        let calls = off_stack.clone();
        let work = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        let mut guest = Box::pin(async move { calls.wait_for(work).await });
        let mut run = Box::pin(off_stack.run(guest.as_mut()));
        assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(run);
        drop(guest);
        assert_eq!(Arc::strong_count(&left), 1);
    }
}

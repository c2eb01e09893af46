//! The alarm: a driver's one timer, which is set anew only where it has to ring earlier.
//!
//! Most of what a driver waits for with the clock is a timeout that never comes. To set
//! a timer for each turn would have the runtime wake a thread for it, to look how long
//! it may sleep now.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// Rings in time, and now and then once too early.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Waits until it rings: at `due` at the latest, and never where nothing is due.
    pub(super) async fn rings(&mut self, due: Option<Instant>) {
        let Some(due) = due else { return std::future::pending().await };
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if due < sleep.deadline() {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().await;
        // What has rung rings no more.
        self.0 = None;
    }

    /// To be called on the way to another runtime, which has timers of its own.
    pub(super) fn stop(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How long it takes to ring.
    async fn takes(alarm: &mut Alarm, due: Instant) -> Duration {
        let begun = Instant::now();
        alarm.rings(Some(due)).await;
        begun.elapsed()
    }

    async fn is_silent(alarm: &mut Alarm, due: Option<Instant>) -> bool {
        tokio::time::timeout(Duration::ZERO, alarm.rings(due)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_the_earliest_is_due() {
        let mut alarm = Alarm::default();
        let now = Instant::now();
        assert!(is_silent(&mut alarm, None).await);
        assert!(is_silent(&mut alarm, Some(now + 5 * SECOND)).await);
        assert_eq!(takes(&mut alarm, now + 2 * SECOND).await.as_secs(), 2);
        assert_eq!(takes(&mut alarm, now + 9 * SECOND).await.as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn where_it_is_due_later_it_may_ring_once_too_early() {
        let mut alarm = Alarm::default();
        let now = Instant::now();
        assert!(is_silent(&mut alarm, Some(now + SECOND)).await);
        assert_eq!(takes(&mut alarm, now + 60 * SECOND).await.as_secs(), 1);
        assert_eq!(takes(&mut alarm, now + 60 * SECOND).await.as_secs(), 59);
    }
}

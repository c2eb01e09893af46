//! `log`: what a guest writes to the host's log, bounded in size and rate. It is
//! no part of the run's events.

use pleach_kernel::Lineage;

use crate::bindings::log::{Host, Level};
use crate::guest::Guest;
use crate::rate::{Rate, cut};

/// The longest message; the rest is cut.
const MESSAGE_BYTES: usize = 8 << 10;

const BURST: u32 = 128;
const A_SECOND: u32 = 64;

pub(crate) fn rate() -> Rate {
    Rate::new(BURST, A_SECOND)
}

impl Host for Guest {
    fn write(&mut self, level: Level, message: String) {
        // What was written in an earlier life of the guest stands there already.
        if self.calls.charged() && !self.calls.is_replaying() {
            write(&mut self.log_rate, self.calls.host_nanos(), self.calls.lineage(), level, &message);
        }
    }
}

/// Hands one message on, if the rate allows it at `now`.
pub(crate) fn write(rate: &mut Rate, now: u64, lineage: &Lineage, level: Level, message: &str) {
    let Some(dropped) = rate.take(now) else {
        return;
    };
    let message = cut(message, MESSAGE_BYTES);
    // The level of an event is part of its static description.
    macro_rules! event {
        ($level:ident) => {
            tracing::$level!(
                target: "pleach::guest", run = %lineage.run_id, tenant = %lineage.tenant, dropped, "{message}"
            )
        };
    }
    match level {
        Level::Trace => event!(trace),
        Level::Debug => event!(debug),
        Level::Info => event!(info),
        Level::Warn => event!(warn),
        Level::Error => event!(error),
    }
}

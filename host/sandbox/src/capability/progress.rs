//! `progress`: reports on their way into the log, at a rate that a log can bear.

use std::time::Instant;

use pleach_kernel::{Payload, Progress};

use crate::bindings::progress::Host;
use crate::call::Call;
use crate::guest::Guest;
use crate::rate::{Rate, cut};

/// The contract's own numbers: `wit/plugin.wit`, `progress`.
const BURST: u32 = 16;
const A_SECOND: u32 = 10;

/// The longest message; the rest is cut.
const MESSAGE_BYTES: usize = 8 << 10;

/// The longest data: at ten events a second, a whole payload each is too much.
const DATA_BYTES: usize = 64 << 10;

pub(crate) fn rate() -> Rate {
    Rate::new(BURST, A_SECOND)
}

impl Host for Guest {
    fn report(&mut self, message: String, fraction: Option<f64>, data: Option<String>) {
        if self.vitals.is_cancelled() || !self.charged() {
            return;
        }
        let Some(dropped) = self.progress_rate.take(Instant::now()) else {
            return;
        };
        self.tell(Call::Progress(Progress {
            message: cut(&message, MESSAGE_BYTES).into(),
            fraction: fraction.filter(|fraction| fraction.is_finite()).map(|fraction| fraction.clamp(0.0, 1.0)),
            data: data.and_then(|text| self.report_data(text)),
            dropped,
        }));
    }
}

impl Guest {
    /// What is no JSON, or too long, is left out: a report has no answer that
    /// could say so.
    fn report_data(&self, text: String) -> Option<Payload> {
        let bytes = text.len();
        let data = Payload::parse(text).ok().filter(|_| bytes <= DATA_BYTES);
        if data.is_none() {
            tracing::debug!(run = %self.run_id(), bytes, "progress data is no JSON of at most {DATA_BYTES} bytes");
        }
        data
    }
}

//! `progress`: reports on their way into the log. How many is `hostcalls/`'s.

use pleach_kernel::Payload;

use crate::bindings::progress::Host;
use crate::guest::Guest;
use crate::workers::give_way;

/// The longest data: at ten events a second, a whole payload each is too much.
const DATA_BYTES: usize = 64 << 10;

impl Host for Guest {
    async fn report(&mut self, message: String, fraction: Option<f64>, data: Option<String>) {
        let data = data.and_then(|text| self.report_data(text));
        if self.calls.report(&message, fraction, data) {
            // Whoever watches hears of it now, and not when the guest waits the next time.
            give_way().await;
        }
    }
}

impl Guest {
    /// What is no JSON, or too long, is left out: a report has no answer that
    /// could say so.
    fn report_data(&self, text: String) -> Option<Payload> {
        let bytes = text.len();
        let data = Payload::parse(text).ok().filter(|_| bytes <= DATA_BYTES);
        if data.is_none() {
            let run = self.calls.run_id();
            tracing::debug!(%run, bytes, "progress data is no JSON of at most {DATA_BYTES} bytes");
        }
        data
    }
}

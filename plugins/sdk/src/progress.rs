//! Telling whoever watches how far a run has come. What is reported too fast is
//! dropped by the host, so report what a person would want to read.

use serde::Serialize;

use crate::bindings::agent::pleach::plugin::progress as host;

/// Say what is being done.
pub fn report(message: &str) {
    host::report(message, None, None);
}

/// Say what is being done, and how much of it is: `done` of `all`.
pub fn report_part(message: &str, done: usize, all: usize) {
    host::report(message, Some(fraction(done, all)), None);
}

/// Say what is being done, with data for programs that watch. Data without a
/// JSON form is left out.
pub fn report_with(message: &str, fraction: Option<f64>, data: &impl Serialize) {
    host::report(message, fraction, serde_json::to_string(data).ok().as_deref());
}

/// Nothing of nothing is all of it.
fn fraction(done: usize, all: usize) -> f64 {
    if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::fraction;

    #[test]
    fn a_fraction_stays_from_nought_to_one() {
        assert_eq!(fraction(0, 0), 1.0);
        assert_eq!(fraction(1, 4), 0.25);
        assert_eq!(fraction(5, 4), 1.0);
    }
}

//! What happens when a plugin panics: the message goes to the host's log, and
//! the trap that follows ends the run.

use std::sync::Once;

use crate::log;

/// Have panics say why. Without this a panic is a bare `unreachable` trap.
pub(crate) fn report_to_log() {
    static ONCE: Once = Once::new();
    if cfg!(target_arch = "wasm32") {
        ONCE.call_once(|| std::panic::set_hook(Box::new(|info| log::error(&info.to_string()))));
    }
}

//! Writing to the host's log. For people who run the host; what belongs to the
//! run itself is [`crate::progress`].

use crate::bindings::shared::pleach::plugin::log::{Level, write};

/// Write a line of the least importance.
pub fn trace(message: &str) {
    write(Level::Trace, message);
}

/// Write a line that helps to find a mistake.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Write a line that tells what was done.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Write a line about something odd that did no harm.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Write a line about something that went wrong.
pub fn error(message: &str) {
    write(Level::Error, message);
}

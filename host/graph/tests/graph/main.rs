//! The language as whoever writes graphs meets it.

mod broken;
mod page;

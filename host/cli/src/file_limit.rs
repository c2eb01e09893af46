//! The limit that a file's size may have: a write beyond it is an error, which is
//! told, and not the end of the program, which would be without a word.

/// SIGXFSZ, by the number that it has on every system that plugins can be compiled
/// for.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

/// From here on such a write fails with "file too large".
#[cfg(unix)]
pub fn outlive() -> anyhow::Result<()> {
    use anyhow::Context as _;
    use tokio::signal::unix::{SignalKind, signal};
    // A runtime is needed to begin with. Caught once, the signal is caught for good,
    // whether or not anybody listens; and unlike one that is ignored, it is as it was
    // in programs that this one starts.
    let listening = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let listening = listening.context("starting to listen for signals")?;
    let _within = listening.enter();
    signal(SignalKind::from_raw(SIGXFSZ)).map(drop).context("listening for SIGXFSZ")
}

/// No such limit, no such signal.
#[cfg(not(unix))]
pub fn outlive() -> anyhow::Result<()> {
    Ok(())
}

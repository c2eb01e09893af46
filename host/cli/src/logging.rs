//! Logs: on standard error, chosen by `PLEACH_LOG`.

use tracing_subscriber::EnvFilter;

use crate::exit::Mistake;
use crate::stderr::LogWriter;

/// The variable that says what is logged, such as `info` or
/// `warn,pleach_engine=debug`.
const VARIABLE: &str = "PLEACH_LOG";

/// Starts logging; without the variable, warnings and errors only.
pub fn start() -> Result<(), Mistake> {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let wanted = if wanted.trim().is_empty() { "warn" } else { wanted.as_str() };
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Mistake::new(format!("reading {VARIABLE}=`{wanted}`: {error}"))
            .hint("use a level (error, warn, info, debug, trace) or a list such as `warn,pleach_engine=debug`")
    })?;
    // Only one logger can be set in a process; a program that embeds this
    // library and has its own keeps it.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(LogWriter).with_ansi(false).try_init().ok();
    Ok(())
}

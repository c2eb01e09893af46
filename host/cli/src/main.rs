//! The `pleach` program. Everything that it does is in the library beside it.

use std::process::ExitCode;

/// Parked agents cost less than half of what they do with the C library's; see
/// `docs/performance.md`, and `.cargo/config.toml` for how it is set up.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pleach_cli::main()
}

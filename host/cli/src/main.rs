//! The `pleach` program. Everything that it does is in the library beside it.

use std::process::ExitCode;

/// What thousands of parked agents do not take goes back, which the C library keeps; see
/// `docs/performance.md`. Cargo sets it up with `.cargo/config.toml` where it is run in this
/// repository; built from elsewhere, it has its own defaults, which give back less.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pleach_cli::main()
}

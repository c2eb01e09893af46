//! What whoever embeds the sandbox can set, and what holds where nothing is said.

use std::path::PathBuf;

use cap_std::fs::Dir;

/// How guests are run on this host.
#[derive(Debug)]
pub struct Config {
    /// Where compiled code is kept between starts of the host; none: nowhere.
    pub code_cache: Option<PathBuf>,
    /// The folders that guests with the right scopes can read, by the first
    /// segment of a path.
    pub roots: Vec<(String, Dir)>,
    pub limits: GuestLimits,
    /// Threads that guests compute on; 0: one for each processor.
    pub workers: usize,
    /// Guests that are live at once. The machine may allow fewer, see
    /// [`crate::Sandbox::max_live`].
    pub max_live: usize,
    /// Guests whose memory is kept ready for the next, see `engine.rs`. 0: none.
    pub pool_slots: u32,
    /// How long a load waits for one component to compile.
    pub compile_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            code_cache: None,
            roots: Vec::new(),
            limits: GuestLimits::default(),
            workers: 0,
            max_live: 10_000,
            pool_slots: 2_000,
            compile_seconds: 120,
        }
    }
}

/// What one guest may take. The same for every guest of a host.
#[derive(Clone, Copy, Debug)]
pub struct GuestLimits {
    /// Linear memory, summed over all of a guest's memories.
    pub memory_bytes: usize,
    /// Elements of one table; Go needs 5,400 and debug builds 10,000.
    pub table_elements: usize,
    /// Tables, memories and core instances of one guest.
    pub tables: usize,
    pub memories: usize,
    pub instances: usize,
    /// Handles of resources that a guest holds at once.
    pub handles: usize,
    /// What a guest may compute in all, in units of about one instruction.
    pub max_fuel: u64,
    /// What a guest may hand over in one host call, in bytes.
    pub call_bytes: usize,
    /// The largest component that is accepted.
    pub component_bytes: usize,
    /// Answers that are recorded for one try, so that it can be run again; and
    /// the bytes that they take up, long answers included.
    pub journal_entries: u64,
    pub journal_bytes: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 64 << 20,
            table_elements: 20_000,
            tables: 64,
            memories: 16,
            instances: 128,
            handles: 4_096,
            max_fuel: 1 << 40,
            call_bytes: 16 << 20,
            component_bytes: 32 << 20,
            journal_entries: 1_000_000,
            journal_bytes: 256 << 20,
        }
    }
}

//! Reading the files that the run was granted. A path is `root/segment/…`.

pub use crate::bindings::agent::pleach::plugin::files::{Entry, EntryKind};

use crate::CallError;
use crate::bindings::agent::pleach::plugin::files as host;

/// The most that one call reads, in bytes.
pub const MAX_READ_BYTES: u32 = 1 << 20;

/// The names of the roots that this run can read something of, sorted.
pub fn roots() -> Vec<String> {
    host::roots()
}

/// What a folder holds, sorted by name. Needs `fs.read:PATH/*`.
pub fn list(path: &str) -> Result<Vec<Entry>, CallError> {
    host::list(path)
}

/// What a path names. Needs `fs.read:PATH`.
pub fn stat(path: &str) -> Result<Entry, CallError> {
    host::stat(path)
}

/// A part of a file: at most `length` bytes from `offset`, at most
/// [`MAX_READ_BYTES`]; fewer only at its end. Needs `fs.read:PATH`.
pub fn read_part(path: &str, offset: u64, length: u32) -> Result<Vec<u8>, CallError> {
    host::read(path, offset, length)
}

/// The first `limit` bytes of a file, in as many calls as that takes. A file
/// that is longer is cut: compare with its size from [`stat`] or [`list`].
pub fn read(path: &str, limit: u64) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    while let Some(left) = limit.checked_sub(bytes.len() as u64).filter(|left| *left > 0) {
        let ask = left.min(MAX_READ_BYTES.into()) as u32;
        let mut part = host::read(path, bytes.len() as u64, ask)?;
        let short = part.len() < ask as usize;
        bytes.append(&mut part);
        if short {
            break;
        }
    }
    Ok(bytes)
}

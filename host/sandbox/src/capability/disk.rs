//! The file system behind `files`: finding, listing and reading below one root,
//! on a thread that may block. What a run may have is decided in `files.rs`.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, File, FileType, Metadata, OpenOptions};
use serde::{Deserialize, Serialize};

use crate::call::{CallError, FailureCode};

/// The most links on the way to one file, as on Linux.
const MOST_LINKS: u32 = 40;

/// A file or folder that was found: its root, and its path without links.
pub(super) struct Disk {
    root: Arc<Dir>,
    path: String,
    name: String,
}

/// What is at a path, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    /// 0 for what is not a file.
    pub(super) size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EntryKind {
    File,
    Folder,
    Link,
    Other,
}

/// What did not work, and with which path below the root.
pub(super) struct Failure {
    code: FailureCode,
    message: String,
    retryable: bool,
}

impl From<Failure> for CallError {
    fn from(Failure { code, message, retryable }: Failure) -> Self {
        Self::Failed { code, message, retryable }
    }
}

impl Failure {
    fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    fn io(doing: &str, path: &str, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FailureCode::NotFound,
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => FailureCode::InvalidArgument,
            _ => FailureCode::Io,
        };
        let retryable = matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::TimedOut);
        Self { code, message: format!("{doing} `{path}`: {error}"), retryable }
    }
}

impl Disk {
    /// Follows the links of a path, while they stay below the root.
    pub(super) fn find(root: Arc<Dir>, path: &str, name: String) -> Result<Self, Failure> {
        let path = without_links(&root, path)?;
        Ok(Self { root, path, name })
    }

    /// Below the root, without links; empty for the root itself.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn relative(&self) -> &Path {
        Path::new(if self.path.is_empty() { "." } else { &self.path })
    }

    pub(super) fn stat(&self) -> Result<Entry, Failure> {
        let metadata = self.root.metadata(self.relative()).map_err(|e| Failure::io("looking at", &self.path, &e))?;
        Ok(entry(self.name.clone(), &metadata))
    }

    /// What a folder holds, sorted; a failure where that is more than `most`.
    pub(super) fn list(&self, most: usize) -> Result<Vec<Entry>, Failure> {
        let failed = |e: io::Error| Failure::io("listing", &self.path, &e);
        let mut entries = Vec::new();
        for found in self.root.read_dir(self.relative()).map_err(failed)? {
            let found = found.map_err(failed)?;
            if entries.len() == most {
                let message = format!("`{}` holds more than {most} entries", self.path);
                return Err(Failure::new(FailureCode::PayloadTooLarge, message));
            }
            // What is no UTF-8 is shown as well as can be; no path can name it.
            let name = found.file_name().to_string_lossy().into_owned();
            match found.metadata() {
                Ok(metadata) => entries.push(entry(name, &metadata)),
                // It was removed since it was seen.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(super) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let failed = |e: io::Error| Failure::io("reading", &self.path, &e);
        let mut file = self.open_file().map_err(failed)?;
        let size = file.metadata().map_err(failed)?;
        if !size.is_file() {
            let message = format!("`{}` is no file that can be read; it may be a folder or a device", self.path);
            return Err(Failure::new(FailureCode::InvalidArgument, message));
        }
        let expected = size.len().saturating_sub(offset).min(length.into());
        if expected == 0 {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
        file.take(length.into()).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// Opens without waiting: opening a pipe would until somebody writes.
    fn open_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true);
        #[cfg(target_os = "linux")]
        {
            use cap_std::fs::OpenOptionsExt;
            options.custom_flags(O_NONBLOCK);
        }
        let kind = self.root.metadata(self.relative())?.file_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder"));
        }
        self.root.open_with(self.relative(), &options)
    }
}

/// `O_NONBLOCK` of Linux, on every processor that this host runs on.
#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;

/// The path that `path` leads to, segment by segment, so that what is read is
/// known by its one name before anything is opened.
fn without_links(root: &Dir, path: &str) -> Result<String, Failure> {
    let failed = |e: io::Error| Failure::io("finding", path, &e);
    let mut ahead: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
    let mut found: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(segment) = ahead.pop() {
        match segment.as_str() {
            "" | "." => continue,
            ".." => {
                found.pop().ok_or_else(|| failed(io::Error::other("a link leads out of the root")))?;
                continue;
            }
            _ => found.push(segment),
        }
        let here = found.join("/");
        let kind = root.symlink_metadata(&here).map_err(failed)?.file_type();
        if kind.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(failed(io::Error::other("too many links")));
            }
            // An absolute link is refused here.
            let target = root.read_link(&here).map_err(failed)?;
            let target = target.to_str().ok_or_else(|| failed(io::Error::other("a link's name is no UTF-8")))?;
            found.pop();
            ahead.extend(target.rsplit('/').map(str::to_owned));
        } else if !kind.is_dir() && !ahead.is_empty() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
    }
    Ok(found.join("/"))
}

fn entry(name: String, metadata: &Metadata) -> Entry {
    let kind = kind(metadata.file_type());
    let size = if matches!(kind, EntryKind::File) { metadata.len() } else { 0 };
    Entry { name, kind, size }
}

fn kind(kind: FileType) -> EntryKind {
    if kind.is_file() {
        EntryKind::File
    } else if kind.is_dir() {
        EntryKind::Folder
    } else if kind.is_symlink() {
        EntryKind::Link
    } else {
        EntryKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_too_many_entries_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["c", "a", "b"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let root = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        let Ok(disk) = Disk::find(root.into(), "", "root".into()) else { panic!("the root is there") };
        let Ok(entries) = disk.list(3) else { panic!("three entries fit") };
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let Err(failure) = disk.list(2) else { panic!("three entries are more than two") };
        assert_eq!(failure.code, FailureCode::PayloadTooLarge);
        assert!(failure.message.contains("more than 2 entries"), "{}", failure.message);
    }
}

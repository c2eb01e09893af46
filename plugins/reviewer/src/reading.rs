//! Finding and reading the files: the only calls to the host for data.
//!
//! What the caller named and did not grant fails the review, because its answer
//! would be wrong without saying so; what is merely gone or too large is listed
//! as skipped.

use pleach_sdk::files::{self, EntryKind};
use pleach_sdk::{CallError, Error};

use crate::Settings;
use crate::report::Report;

/// A file to read.
pub struct File {
    pub path: String,
    /// None where it was named and not found in a listing.
    size: Option<u64>,
}

/// All files that the paths name, folders searched to the bottom.
pub fn find(paths: &[String], settings: &Settings, report: &mut Report) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    for path in paths {
        match path.strip_suffix('/') {
            Some(folder) => below(folder, &mut files, report)?,
            None => files.push(File { path: path.clone(), size: None }),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    for file in files.iter().skip(settings.max_files) {
        report.skip(&file.path, "too_many_files");
    }
    files.truncate(settings.max_files);
    Ok(files)
}

/// A list of folders still to do and not a recursion: how deep a tree is must
/// not decide whether the review survives it.
fn below(folder: &str, files: &mut Vec<File>, report: &mut Report) -> Result<(), Error> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Some(entries) = answer(files::list(&folder), "listing", &folder, report)? else {
            continue;
        };
        for entry in entries {
            let path = format!("{folder}/{}", entry.name);
            match entry.kind {
                EntryKind::File => files.push(File { path, size: Some(entry.size) }),
                EntryKind::Folder => folders.push(path),
                EntryKind::Link => report.skip(&path, "link"),
                EntryKind::Other => report.skip(&path, "not_a_file"),
            }
        }
    }
    Ok(())
}

/// A file's bytes; none where it was skipped.
pub fn read(file: &File, settings: &Settings, report: &mut Report) -> Result<Option<Vec<u8>>, Error> {
    let size = match file.size {
        Some(size) => size,
        None => match answer(files::stat(&file.path), "reading", &file.path, report)? {
            Some(entry) if entry.kind == EntryKind::Folder => {
                report.skip(&file.path, "folder_without_a_slash");
                return Ok(None);
            }
            Some(entry) => entry.size,
            None => return Ok(None),
        },
    };
    if size > settings.max_file_bytes {
        report.skip(&file.path, "too_large");
        return Ok(None);
    }
    let bytes = answer(files::read(&file.path, settings.max_file_bytes), "reading", &file.path, report)?;
    if let Some(bytes) = &bytes {
        report.read(bytes);
    }
    Ok(bytes)
}

fn answer<T>(
    answer: Result<T, CallError>,
    doing: &str,
    path: &str,
    report: &mut Report,
) -> Result<Option<T>, Error> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError::Failed(failure)) if ["not_found", "invalid_argument"].contains(&failure.code.as_str()) => {
            report.skip(path, &failure.code);
            Ok(None)
        }
        Err(error) => Err(Error::from(error).while_doing(format!("{doing} `{path}`"))),
    }
}

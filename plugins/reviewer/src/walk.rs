//! Reading what was named: files, and folders with all that is below. The only
//! module that calls the host.

use pleach_sdk::files::{self, EntryKind};
use pleach_sdk::{CallError, Error, progress};

use crate::review::Review;

/// After so many files the run says how far it is.
const PROGRESS_FILES: usize = 250;

/// Read every file that the paths name, in their order, into the review.
///
/// A named path that the run may not read, or that is not there while nothing
/// else is, fails the run: whoever asked made a mistake. What fails within a
/// folder is skipped and listed.
pub fn read_all(paths: &[String], review: &mut Review) -> Result<(), Error> {
    let mut missing = None;
    for path in paths {
        let read = match path.strip_suffix('/') {
            Some(folder) => read_folder(folder, review),
            None => read_file(path, None, review),
        };
        match read {
            Ok(()) => {}
            Err(error) if error.code() == "not_found" => {
                review.skip(path, "not_found");
                missing.get_or_insert(error);
            }
            Err(error) => return Err(Error::from(error).while_doing(format!("reviewing `{path}`"))),
        }
    }
    match missing {
        Some(error) if review.files_read() == 0 => {
            Err(Error::from(error).while_doing("nothing that was named could be read"))
        }
        _ => Ok(()),
    }
}

fn read_folder(folder: &str, review: &mut Review) -> Result<(), CallError> {
    // The last is next, so that the files come in the order of their names.
    let mut ahead = below(folder, review)?;
    while let Some((path, kind, size)) = ahead.pop() {
        let read = match kind {
            EntryKind::Folder => below(&path, review).map(|entries| ahead.extend(entries)),
            EntryKind::File => read_file(&path, Some(size), review),
            // What a link leads to is reviewed where it is.
            EntryKind::Link => {
                review.skip(&path, "link");
                Ok(())
            }
            EntryKind::Other => {
                review.skip(&path, "special");
                Ok(())
            }
        };
        match read {
            Err(error) if stops(&error) => return Err(error),
            Err(error) => review.skip(&path, error.code()),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// What a folder holds, the last first.
fn below(folder: &str, review: &mut Review) -> Result<Vec<(String, EntryKind, u64)>, CallError> {
    let mut found = Vec::new();
    for entry in files::list(folder)?.into_iter().rev() {
        let path = format!("{folder}/{}", entry.name);
        if review.settings.exclude.contains(&entry.name) {
            review.skip(&path, "excluded");
        } else {
            found.push((path, entry.kind, entry.size));
        }
    }
    Ok(found)
}

fn read_file(path: &str, size: Option<u64>, review: &mut Review) -> Result<(), CallError> {
    let most = review.settings.max_file_bytes;
    if size.is_some_and(|size| size > most) {
        review.skip(path, "too_large");
        return Ok(());
    }
    if review.bytes_read() >= review.settings.max_total_bytes {
        review.skip(path, "limit");
        return Ok(());
    }
    let bytes = files::read(path, most + 1)?;
    if bytes.len() as u64 > most {
        review.skip(path, "too_large");
        return Ok(());
    }
    review.file(path, bytes);
    if review.files_read() % PROGRESS_FILES == 0 {
        progress::report(&format!("reviewed {} files, now {path}", review.files_read()));
    }
    Ok(())
}

/// Whether going on is of no use: the run is being cancelled, or another try may
/// read what this one could not.
fn stops(error: &CallError) -> bool {
    match error {
        CallError::Denied(_) => false,
        CallError::Failed(failure) => error.is_cancelled() || failure.retryable,
    }
}

//! Looking into a file that may not be written to, or whose folder may not: what is
//! there is shown, and nothing is changed, made or left behind.

use std::fs;
use std::path::Path;

use super::hosts::Hosts;
use super::open::{self, Opened, Reading};
use super::schema;
use crate::Error;

/// Opens a file as it is. Every write fails.
pub(super) fn open(path: &Path) -> Result<Opened, Error> {
    let unusable = |name: &Path, detail: String| Error::Unusable { path: name.display().to_string(), detail };
    let path = fs::canonicalize(path).map_err(|error| unusable(path, error.to_string()))?;
    if open::is_empty(&path) {
        return Err(Error::Empty { path: path.display().to_string() });
    }
    let name = path.display().to_string();
    let mut log = path.clone().into_os_string();
    log.push("-wal");
    // In this order: where nobody was alive, nobody has written since.
    let (hosts, alone) = Hosts::look(&path)?;
    let log_is_empty = fs::metadata(&log).map_or(true, |log| log.len() == 0);
    // What was written last is in the log, and SQLite reads a log with the help of a
    // file beside it. Where there is no log and nobody who could write one, it needs
    // none, and none could be made.
    let reading = Reading { path: name.clone(), is_still: log_is_empty && alone };
    let connection = reading.connect()?;
    let version = open::probe(&connection, &name).map_err(|error| match error {
        Error::Unusable { .. } if !log_is_empty => {
            let detail = "what was written last is in the file beside it that ends in -wal, and cannot be read in \
                a read-only folder; copy both files to where you may write, and name that copy";
            unusable(&path, detail.to_owned())
        }
        error => error,
    })?;
    if version < schema::KNOWN {
        let detail = format!("it has schema {version} and has to be brought to {}, which is writing", schema::KNOWN);
        return Err(unusable(&path, detail));
    }
    Ok(Opened { path: name, connection, reading, hosts, can_write: false })
}

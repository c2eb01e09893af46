//! What SQLite's codes mean to whoever reads the message.

use rusqlite::{Connection, ErrorCode};

use crate::Error;

/// Names what was being done on `conn` when SQLite refused.
pub(super) fn during(doing: &'static str, conn: &Connection) -> impl Fn(rusqlite::Error) -> Error {
    move |error| at(doing, conn.path().unwrap_or_default(), &error)
}

/// Like [`during`], for where there is no connection yet.
pub(super) fn at(doing: &'static str, path: &str, error: &rusqlite::Error) -> Error {
    let (path, detail) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { path, detail },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => damaged(&path, &detail),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::Unusable { path, detail }
        }
        Some(_) | None => Error::Failed { doing, path, detail },
    }
}

/// Like [`during`] for reading one `part`: where the file is damaged, that is named.
pub(super) fn reading(part: String, conn: &Connection) -> impl Fn(rusqlite::Error) -> Error {
    move |error| match at("reading", conn.path().unwrap_or_default(), &error) {
        Error::Corrupt { what, detail } => Error::Corrupt { what: format!("{part} in {}", what), detail },
        other => other,
    }
}

/// The file as a whole cannot be trusted.
pub(super) fn damaged(path: &str, detail: &str) -> Error {
    Error::Corrupt { what: format!("the store {path}"), detail: detail.to_owned() }
}

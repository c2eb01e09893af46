//! Which schema this program knows, and how an older file is brought to it.

use rusqlite::Connection;

use super::fault;
use crate::Error;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Marks a file as ours. Set by the first migration.
pub(super) const APPLICATION_ID: i64 = 1_349_281_096;

/// The number of the newest migration. Each migration sets `user_version` to its own.
pub(super) const KNOWN: i64 = 2;

/// Runs what is missing, all of it or none.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), Error> {
    let path = conn.path().unwrap_or_default().to_owned();
    match embedded::migrations::runner().set_grouped(true).run(conn) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            refinery::error::Kind::Connection(_, cause) => match cause.downcast_ref() {
                Some(cause) => fault::at("migrating", &path, cause),
                None => fault::damaged(&path, &error.to_string()),
            },
            _ => fault::damaged(&path, &error.to_string()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_end_at_the_schema_that_is_known() {
        let newest = embedded::migrations::runner();
        let newest = newest.get_migrations().iter().map(|migration| migration.version()).max();
        assert_eq!(newest.map(i64::from), Some(KNOWN));

        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("user_version"), KNOWN);
        assert_eq!(pragma("application_id"), APPLICATION_ID);
    }
}

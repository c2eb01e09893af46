//! Policy documents in SQL. They are text here; what they allow is the kernel's
//! business.

use pleach_kernel::Tenant;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::fault;
use crate::Error;

/// Keeps a document under the next version.
pub(super) fn put(conn: &Connection, tenant: &Tenant, document: &str) -> Result<u64, Error> {
    let sql = "INSERT INTO policies (tenant, version, document) VALUES
        (?1, (SELECT coalesce(max(version), 0) + 1 FROM policies WHERE tenant = ?1), ?2)
        RETURNING version";
    conn.query_row(sql, params![tenant.as_str(), document], |row| row.get(0))
        .map_err(fault::during("storing a policy", conn))
}

pub(super) fn newest(conn: &Connection, tenant: &Tenant) -> Result<Option<(u64, String)>, Error> {
    let sql = "SELECT version, document FROM policies WHERE tenant = ?1 ORDER BY version DESC LIMIT 1";
    conn.query_row(sql, [tenant.as_str()], read).optional().map_err(fault::during("reading a policy", conn))
}

pub(super) fn list(conn: &Connection, tenant: &Tenant) -> Result<Vec<(u64, String)>, Error> {
    let failed = fault::during("listing policies", conn);
    let sql = "SELECT version, document FROM policies WHERE tenant = ?1 ORDER BY version";
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let rows = ask.query_map([tenant.as_str()], read).map_err(&failed)?;
    rows.collect::<Result<_, _>>().map_err(&failed)
}

fn read(row: &Row<'_>) -> rusqlite::Result<(u64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

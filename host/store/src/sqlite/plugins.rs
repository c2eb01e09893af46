//! Plugins and components in SQL. What makes a row or a component acceptable is in
//! `plugin.rs`, for every store alike.

use pleach_kernel::{Tenant, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{fault, tree};
use crate::{Error, PluginRow, plugin};

/// Keeps a component by its digest. One that was damaged is mended.
pub(super) fn put_component(conn: &Connection, digest: &str, component: &[u8]) -> Result<(), Error> {
    conn.execute(
        "INSERT INTO components (digest, body) VALUES (?1, ?2)
         ON CONFLICT (digest) DO UPDATE SET body = excluded.body WHERE body <> excluded.body",
        params![digest, component],
    )
    .map(drop)
    .map_err(fault::during("storing a component", conn))
}

/// Keeps a version that was checked; false where it was there. A component that was
/// lost or damaged is mended all the same.
pub(super) fn put(conn: &Connection, row: &PluginRow, component: &[u8]) -> Result<bool, Error> {
    let failed = fault::during("storing a plugin", conn);
    let stored: Option<String> = conn
        .query_row(
            "SELECT digest FROM plugins WHERE tenant = ?1 AND name = ?2 AND version = ?3",
            params![row.tenant.as_str(), row.name, row.version],
            |row| row.get(0),
        )
        .optional()
        .map_err(&failed)?;
    let is_new = row.is_new(stored.as_deref())?;
    put_component(conn, &row.digest, component)?;
    if !is_new {
        return Ok(false);
    }
    conn.execute(
        "INSERT INTO plugins (tenant, name, version, digest, role, description, size, published_at,
         published) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            row.tenant.as_str(),
            row.name,
            row.version,
            row.digest,
            row.role,
            row.description,
            tree::integer(row.size),
            tree::integer(row.published_at.0),
            row.published,
        ],
    )
    .map_err(&failed)?;
    tree::add_stored_bytes(conn, &row.tenant, tree::integer(row.size))?;
    Ok(true)
}

pub(super) fn set_published(
    conn: &Connection,
    tenant: Tenant,
    name: String,
    version: String,
    published: bool,
) -> Result<(), Error> {
    let changed = conn
        .execute(
            "UPDATE plugins SET published = ?4 WHERE tenant = ?1 AND name = ?2 AND version = ?3",
            params![tenant.as_str(), name, version, published],
        )
        .map_err(fault::during("publishing a plugin", conn))?;
    match changed {
        0 => Err(Error::NoSuchPlugin { tenant, name, version }),
        _ => Ok(()),
    }
}

pub(super) fn list(conn: &Connection, tenant: &Tenant) -> Result<Vec<PluginRow>, Error> {
    let failed = fault::during("listing plugins", conn);
    let sql = "SELECT name, version, digest, role, description, size, published_at, published
        FROM plugins WHERE tenant = ?1 ORDER BY name, version";
    let read = |row: &Row<'_>| {
        Ok(PluginRow {
            tenant: tenant.clone(),
            name: row.get(0)?,
            version: row.get(1)?,
            digest: row.get(2)?,
            role: row.get(3)?,
            description: row.get(4)?,
            size: row.get(5)?,
            published_at: Timestamp(row.get(6)?),
            published: row.get(7)?,
        })
    };
    let mut ask = conn.prepare_cached(sql).map_err(&failed)?;
    let rows = ask.query_map([tenant.as_str()], read).map_err(&failed)?;
    rows.collect::<Result<_, _>>().map_err(&failed)
}

pub(super) fn component(conn: &Connection, digest: &str) -> Result<Option<Vec<u8>>, Error> {
    let found: Option<Vec<u8>> = conn
        .query_row("SELECT body FROM components WHERE digest = ?1", [digest], |row| row.get(0))
        .optional()
        .map_err(fault::during("reading a component", conn))?;
    found.map(|component| plugin::verified(component, digest)).transpose()
}

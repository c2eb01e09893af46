//! Everything that the file can be held to by itself. A check goes on after what it
//! finds: whoever mends a file wants to know all of it. Trees are in `check/trees.rs`.

mod trees;

use rusqlite::Connection;

use super::fault;
use crate::{Error, Problem, plugin};

/// What is wrong, as one view of the file shows it.
pub(super) fn run(conn: &Connection) -> Result<Vec<Problem>, Error> {
    let view = conn.unchecked_transaction().map_err(fault::during("checking", conn))?;
    let mut found = Vec::new();
    for part in [integrity, references, trees::check, blobs, components, usage] {
        if let Err(error) = part(&view, &mut found) {
            // Other parts may be whole and can be looked at.
            found.push(unreadable(error));
        }
    }
    Ok(found)
}

/// Something that no single tree is concerned with.
fn problem(what: impl Into<String>, detail: impl Into<String>) -> Problem {
    Problem { tree: None, what: what.into(), detail: detail.into() }
}

fn unreadable(error: Error) -> Problem {
    match error {
        Error::Corrupt { what, detail } => problem(what, detail),
        other => problem("the store", other.to_string()),
    }
}

/// The file as SQLite sees it: pages, order, indexes.
fn integrity(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::during("checking the file", conn);
    let mut ask = conn.prepare("PRAGMA integrity_check").map_err(&failed)?;
    for line in ask.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)? {
        let line = line.map_err(&failed)?;
        if line != "ok" {
            found.push(problem("the file", line));
        }
    }
    Ok(())
}

fn references(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::during("checking references", conn);
    // Not the pragma's rowid: a table that has its key in that place gives none.
    let sql = "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2";
    let mut ask = conn.prepare(sql).map_err(&failed)?;
    let rows = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(&failed)?;
    for row in rows {
        let (table, parent, count): (String, String, u64) = row.map_err(&failed)?;
        found.push(problem(format!("the table {table}"), format!("{count} rows name what is not in {parent}")));
    }
    Ok(())
}

fn blobs(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    digests(conn, "blob", "SELECT digest, body FROM blobs", found)?;
    let failed = fault::during("checking blobs", conn);
    let sql = "SELECT digest FROM blobs WHERE NOT EXISTS
        (SELECT 1 FROM blob_mentions WHERE blob_mentions.digest = blobs.digest)";
    let mut ask = conn.prepare(sql).map_err(&failed)?;
    for digest in ask.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)? {
        let digest = digest.map_err(&failed)?;
        found.push(problem(format!("the blob {digest}"), "no journal mentions it"));
    }
    Ok(())
}

fn components(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    digests(conn, "component", "SELECT digest, body FROM components", found)
}

fn digests(conn: &Connection, kind: &str, sql: &str, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::during("checking digests", conn);
    let mut ask = conn.prepare(sql).map_err(&failed)?;
    let mut rows = ask.query([]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        let digest: String = row.get(0).map_err(&failed)?;
        let body = row.get_ref(1).map_err(&failed)?;
        let is = plugin::digest(body.as_blob().map_err(|error| failed(error.into()))?);
        if is != digest {
            found.push(problem(format!("the {kind} {digest}"), format!("its contents have the digest {is}")));
        }
    }
    Ok(())
}

/// What every tenant is said to have stored, and what it has.
fn usage(conn: &Connection, found: &mut Vec<Problem>) -> Result<(), Error> {
    let failed = fault::during("checking what is stored", conn);
    let sql = "WITH stored (tenant, bytes) AS (
            SELECT tenant, bytes FROM trees
            UNION ALL SELECT tenant, size FROM plugins
            UNION ALL SELECT tenant, length(body) FROM journal JOIN trees ON number = run >> 32
            UNION ALL SELECT tenant, length(body) FROM snapshots JOIN trees ON number = id >> 32
            UNION ALL SELECT tenant, length(body)
                FROM (SELECT DISTINCT run >> 32 AS tree, digest FROM blob_mentions)
                JOIN trees ON number = tree JOIN blobs USING (digest)
            UNION ALL SELECT tenant, -bytes FROM usage)
        SELECT tenant, sum(bytes) FROM stored GROUP BY tenant HAVING sum(bytes) <> 0 ORDER BY tenant";
    let mut ask = conn.prepare(sql).map_err(&failed)?;
    let rows = ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(&failed)?;
    for row in rows {
        let (tenant, missing): (String, i64) = row.map_err(&failed)?;
        let (bytes, than) = (missing.unsigned_abs(), if missing > 0 { "more" } else { "less" });
        let what = format!("what tenant {tenant} has stored");
        found.push(problem(what, format!("it is {bytes} bytes {than} than is counted")));
    }
    Ok(())
}

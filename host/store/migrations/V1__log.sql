-- The log of every tree, one row for each, and what hosts share.
-- `user_version` is the number of the newest migration; see src/sqlite/schema.rs.

PRAGMA application_id = 1349281096; -- "PleH": files of other programs are refused

-- One row a tree. `number` is short, so that a frame's key is one integer.
CREATE TABLE trees (
    number         INTEGER PRIMARY KEY,
    root           BLOB    NOT NULL UNIQUE, -- 16 bytes, big endian
    tenant         TEXT    NOT NULL,
    plugin         TEXT    NOT NULL,
    status         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,        -- milliseconds since 1970
    finished_at    INTEGER,
    run_count      INTEGER NOT NULL,
    policy_version INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,        -- the fence
    bytes          INTEGER NOT NULL,        -- of all its frames' bodies
    owner          TEXT    NOT NULL         -- a host: the name of a lock file
) STRICT;

-- Ends in the number, as every index of a rowid table does.
CREATE INDEX trees_by_tenant ON trees (tenant, created_at);

-- Consecutive events of one tree. The key is number << 32 | seq of the first.
CREATE TABLE frames (
    id   INTEGER PRIMARY KEY,
    crc  INTEGER NOT NULL, -- CRC-32 over the key (8 bytes, little endian) and the body
    body BLOB    NOT NULL  -- each event: its length (4 bytes, little endian), its bytes
) STRICT;

CREATE TABLE components (
    digest TEXT PRIMARY KEY, -- sha256:…
    body   BLOB NOT NULL
) STRICT;

CREATE TABLE plugins (
    tenant       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    version      TEXT    NOT NULL,
    digest       TEXT    NOT NULL REFERENCES components (digest),
    role         TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    published    INTEGER NOT NULL,
    PRIMARY KEY (tenant, name, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE policies (
    tenant   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    document TEXT    NOT NULL,
    PRIMARY KEY (tenant, version)
) STRICT, WITHOUT ROWID;

-- What each tenant has stored, kept beside what it counts.
CREATE TABLE usage (
    tenant TEXT    PRIMARY KEY,
    bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- For the owner of a tree; gone as soon as it has them.
CREATE TABLE messages (
    id   INTEGER PRIMARY KEY,
    tree INTEGER NOT NULL REFERENCES trees (number),
    body BLOB    NOT NULL
) STRICT;

PRAGMA user_version = 1;

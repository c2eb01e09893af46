-- What a host needs to go on where it was killed: what guests were answered, and
-- the state of long logs. See src/sqlite/journal.rs, snapshot.rs and remove.rs.

-- How many entries a tree's journals have, so that a row that is gone is missed.
ALTER TABLE trees ADD COLUMN journal_entries INTEGER NOT NULL DEFAULT 0;

-- What a host that starts looks for. An index of everything would grow for ever.
CREATE INDEX trees_unfinished ON trees (created_at) WHERE finished_at IS NULL;
CREATE INDEX trees_ended ON trees (finished_at) WHERE finished_at IS NOT NULL;

-- Consecutive answers to one run. The run is number << 32 | its index in the tree.
-- A row has its key in the place of a rowid, so that a run's rows lie together.
CREATE TABLE journal (
    run      INTEGER NOT NULL,
    position INTEGER NOT NULL, -- of the first entry; they are counted from 0
    entries  INTEGER NOT NULL, -- how many the body has
    crc      INTEGER NOT NULL, -- CRC-32 over run and position (8 bytes each, little endian) and the body
    body     BLOB    NOT NULL, -- each entry: its length (4 bytes, little endian), its bytes
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

-- Large answers, each kept once.
CREATE TABLE blobs (
    digest TEXT PRIMARY KEY, -- sha256:…
    body   BLOB NOT NULL
) STRICT;

-- Which journals mention a blob. It goes with the last of them.
CREATE TABLE blob_mentions (
    run    INTEGER NOT NULL,
    digest TEXT    NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (run, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX blob_mentions_by_digest ON blob_mentions (digest, run);

-- The state of a tree after `seq`, in pieces. The key is number << 32 | piece, from 0.
CREATE TABLE snapshots (
    id     INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    pieces INTEGER NOT NULL, -- how many there are
    crc    INTEGER NOT NULL, -- CRC-32 over id, seq and pieces (8 bytes each, little endian) and the body
    body   BLOB    NOT NULL
) STRICT;

-- Trees that have been removed and whose rows elsewhere are still to go.
CREATE TABLE removals (
    number INTEGER PRIMARY KEY
) STRICT;

PRAGMA user_version = 2;

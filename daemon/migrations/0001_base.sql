-- The host's own database. Times are UTC milliseconds; ids are hyphenated UUID text.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Events not yet acknowledged by the control plane, in the order they were committed.
CREATE TABLE outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    event       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    quarantined TEXT
) STRICT;

-- Replies by command id: a repeated command returns what it returned before.
CREATE TABLE commands (
    id         TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    reply      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX commands_by_time ON commands (created_at);

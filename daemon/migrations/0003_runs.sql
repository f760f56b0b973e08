-- One row per run, with the run as told to others and the automation as it was when claimed.
-- `run` is the truth; the columns beside it are what queries look at.
CREATE TABLE runs (
    id               TEXT PRIMARY KEY,
    automation_id    TEXT NOT NULL,
    state            TEXT NOT NULL,
    final            INTEGER NOT NULL,
    scheduled_for    INTEGER NOT NULL,
    queued_at        INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    run              TEXT NOT NULL,
    automation       TEXT NOT NULL,
    -- Where it runs: {workspace_id, path, branch, base_commit, owned, setup}. Set before the launch.
    place            TEXT,
    -- Set in the transaction before its supervisor is spawned: from then on it is never started again.
    launched_at      INTEGER,
    -- Who asked for its end.
    cancel_requested TEXT,
    -- The log: bytes the control plane has, and size and checksum once it is complete.
    log_acked        INTEGER NOT NULL DEFAULT 0,
    log_bytes        INTEGER,
    log_crc32        INTEGER,
    log_delivered    INTEGER NOT NULL DEFAULT 0,
    spool_deleted_at INTEGER
) STRICT;
CREATE INDEX runs_unfinished ON runs (scheduled_for) WHERE final = 0;
CREATE INDEX runs_by_automation ON runs (automation_id, queued_at DESC);
CREATE INDEX runs_undelivered ON runs (queued_at) WHERE log_delivered = 0;
CREATE INDEX runs_with_spool ON runs (finished_at) WHERE final = 1 AND spool_deleted_at IS NULL;

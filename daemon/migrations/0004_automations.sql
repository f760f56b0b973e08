-- Automations this host fires: what the catalog wants (spec), and where their plan stands. The plan
-- columns are the truth about what fires next; whatever is held in memory is a cache of them.
CREATE TABLE automations (
    id               TEXT PRIMARY KEY,
    -- As last synced. A deleted row stays until the scheduler has settled what was under way.
    revision         INTEGER NOT NULL,
    -- The spec (JSON) and its prompt apart: planning never reads prompts.
    spec             TEXT NOT NULL,
    prompt           TEXT NOT NULL,
    deleted          INTEGER NOT NULL DEFAULT 0,
    -- The revision and plan_after that the plan below was made for; 0 is none yet.
    planned_revision INTEGER NOT NULL DEFAULT 0,
    planned_after    INTEGER NOT NULL DEFAULT 0,
    -- Every instant up to here is claimed or recorded.
    cursor           INTEGER NOT NULL DEFAULT 0,
    -- The next instant, and when it is started (jitter added).
    next_at          INTEGER,
    due_at           INTEGER,
    starts           INTEGER NOT NULL DEFAULT 0,
    failures         INTEGER NOT NULL DEFAULT 0,
    -- A stop reason (JSON) when the host stopped planning it by itself.
    stopped          TEXT
) STRICT;
CREATE INDEX automations_changed ON automations (id) WHERE deleted = 1 OR revision <> planned_revision;

-- One row per instant that was claimed or recorded. The key is what makes a second start impossible:
-- the scheduled second, never the time it was started at. Rows outlive their automation.
CREATE TABLE occurrences (
    automation_id TEXT NOT NULL,
    -- UTC seconds.
    scheduled_at  INTEGER NOT NULL,
    -- waiting (for the run before it), open (its run goes on), retrying, done, skipped
    state         TEXT NOT NULL,
    -- The newest attempt.
    run_id        TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    -- When the next attempt is due, while retrying.
    retry_at      INTEGER,
    -- Why it was skipped, how many instants the row stands for, and the last of them (UTC seconds).
    reason        TEXT,
    count         INTEGER NOT NULL DEFAULT 1,
    until         INTEGER,
    recorded_at   INTEGER NOT NULL,
    PRIMARY KEY (automation_id, scheduled_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX occurrences_pending ON occurrences (state) WHERE state IN ('waiting', 'open', 'retrying');

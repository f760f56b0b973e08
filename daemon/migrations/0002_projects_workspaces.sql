-- Projects and workspaces. The JSON is the record as told to others; the columns beside it are what
-- queries look at and what stays on the host.
CREATE TABLE projects (
    id              TEXT PRIMARY KEY,
    path            TEXT NOT NULL UNIQUE,
    -- The same for every spelling of one remote; none for a repository without one.
    canonical       TEXT,
    slug            TEXT NOT NULL UNIQUE,
    state           TEXT NOT NULL,
    project         TEXT NOT NULL,
    -- When the remote was last fetched, and when that last failed.
    fetched_at      INTEGER,
    fetch_failed_at INTEGER
) STRICT;
CREATE INDEX projects_by_remote ON projects (canonical);

CREATE TABLE workspaces (
    id         TEXT PRIMARY KEY,
    project_id TEXT REFERENCES projects (id) ON DELETE CASCADE,
    branch     TEXT,
    path       TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL,
    workspace  TEXT NOT NULL,
    -- What only this host needs: git's entry, what was made, what is being deleted, whose run it is.
    private    TEXT NOT NULL
) STRICT;
CREATE INDEX workspaces_by_branch ON workspaces (project_id, branch);
CREATE INDEX workspaces_unfinished ON workspaces (state) WHERE state IN ('creating', 'deleting');

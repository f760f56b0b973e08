-- The catalog's base. Portable on purpose: TEXT ids, BIGINT UTC milliseconds, 0/1 flags, JSON as TEXT.

CREATE TABLE server_meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE organizations (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id         TEXT   NOT NULL PRIMARY KEY,
    email      TEXT   NOT NULL,
    email_key  TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE members (
    org_id     TEXT   NOT NULL REFERENCES organizations (id),
    user_id    TEXT   NOT NULL REFERENCES users (id),
    role       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id)
);

-- Every bearer secret: API keys, access and refresh tokens, host enrolment keys. The secret is
-- never stored, only its SHA-256; `prefix` is what may be shown.
CREATE TABLE tokens (
    id           TEXT   NOT NULL PRIMARY KEY,
    kind         TEXT   NOT NULL,
    hash         TEXT   NOT NULL UNIQUE,
    prefix       TEXT   NOT NULL,
    org_id       TEXT   NOT NULL REFERENCES organizations (id),
    user_id      TEXT   NOT NULL REFERENCES users (id),
    name         TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,
    audience     TEXT,
    client_id    TEXT,
    family_id    TEXT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT,
    spent_at     BIGINT,
    revoked_at   BIGINT
);
CREATE INDEX tokens_of_user ON tokens (org_id, user_id, kind);
CREATE INDEX tokens_of_family ON tokens (family_id);

CREATE TABLE hosts (
    id               TEXT   NOT NULL PRIMARY KEY,
    org_id           TEXT   NOT NULL REFERENCES organizations (id),
    owner_id         TEXT   NOT NULL REFERENCES users (id),
    name             TEXT   NOT NULL,
    name_key         TEXT   NOT NULL,
    public_key       TEXT   NOT NULL,
    old_public_key   TEXT,
    old_key_until    BIGINT,
    enrolled_at      BIGINT NOT NULL,
    revoked_at       BIGINT,
    facts            TEXT,
    load_now         TEXT,
    load_at          BIGINT,
    online           BIGINT NOT NULL DEFAULT 0,
    epoch            BIGINT NOT NULL DEFAULT 0,
    online_since     BIGINT,
    last_seen_at     BIGINT,
    desired_revision BIGINT NOT NULL DEFAULT 0,
    applied_revision BIGINT NOT NULL DEFAULT 0,
    event_seq        BIGINT NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX hosts_by_name ON hosts (org_id, name_key) WHERE revoked_at IS NULL;

-- Members whom a host's owner lets use it.
CREATE TABLE host_grants (
    host_id    TEXT   NOT NULL REFERENCES hosts (id),
    user_id    TEXT   NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (host_id, user_id)
);

-- Events that can never be applied: kept to be shown, never in the way of the rest.
CREATE TABLE refused_events (
    host_id TEXT   NOT NULL REFERENCES hosts (id),
    seq     BIGINT NOT NULL,
    event   TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (host_id, seq)
);

-- Commands recorded before they are sent and forgotten once answered for good; the rest are sent
-- again, with the same id, when the host returns.
CREATE TABLE open_commands (
    id         TEXT   NOT NULL PRIMARY KEY,
    org_id     TEXT   NOT NULL REFERENCES organizations (id),
    host_id    TEXT   NOT NULL REFERENCES hosts (id),
    subject_id TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    command    TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX open_commands_of_host ON open_commands (host_id, created_at);
CREATE INDEX open_commands_of_subject ON open_commands (subject_id);

CREATE TABLE projects (
    id         TEXT   NOT NULL PRIMARY KEY,
    org_id     TEXT   NOT NULL REFERENCES organizations (id),
    name       TEXT   NOT NULL,
    slug       TEXT   NOT NULL,
    url        TEXT,
    url_key    TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX projects_of_org ON projects (org_id, url_key);

CREATE TABLE host_projects (
    host_id        TEXT   NOT NULL REFERENCES hosts (id),
    project_id     TEXT   NOT NULL REFERENCES projects (id),
    slug           TEXT   NOT NULL,
    path           TEXT   NOT NULL,
    default_branch TEXT,
    state          TEXT   NOT NULL,
    imported       BIGINT NOT NULL,
    as_of          BIGINT NOT NULL,
    PRIMARY KEY (host_id, project_id)
);
CREATE INDEX host_projects_of_project ON host_projects (project_id);

CREATE TABLE workspaces (
    id          TEXT   NOT NULL PRIMARY KEY,
    org_id      TEXT   NOT NULL REFERENCES organizations (id),
    host_id     TEXT   NOT NULL REFERENCES hosts (id),
    project_id  TEXT,
    name        TEXT   NOT NULL,
    branch      TEXT,
    base_branch TEXT,
    base_commit TEXT,
    kind        TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    error       TEXT,
    path        TEXT   NOT NULL,
    changes     TEXT,
    task_id     TEXT,
    created_by  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    as_of       BIGINT NOT NULL,
    confirmed   BIGINT NOT NULL,
    delete_asked_at BIGINT,
    delete_error TEXT,
    removed_at  BIGINT
);
CREATE INDEX workspaces_of_org ON workspaces (org_id, removed_at, created_at);
CREATE INDEX workspaces_of_host ON workspaces (host_id, removed_at);
CREATE INDEX workspaces_of_task ON workspaces (task_id);

CREATE TABLE automations (
    id              TEXT   NOT NULL PRIMARY KEY,
    org_id          TEXT   NOT NULL REFERENCES organizations (id),
    owner_id        TEXT   NOT NULL REFERENCES users (id),
    host_id         TEXT   NOT NULL REFERENCES hosts (id),
    name            TEXT   NOT NULL,
    name_key        TEXT   NOT NULL,
    agent           TEXT   NOT NULL,
    enabled         BIGINT NOT NULL,
    paused_reason   TEXT,
    target          TEXT   NOT NULL,
    schedule        TEXT   NOT NULL,
    schedule_text   TEXT   NOT NULL,
    policies        TEXT   NOT NULL,
    plan_after      BIGINT NOT NULL,
    revision        BIGINT NOT NULL,
    host_revision   BIGINT NOT NULL,
    prompt_version  BIGINT NOT NULL,
    moving_from     TEXT,
    moving_revision BIGINT,
    status          TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    deleted_at      BIGINT
);
CREATE INDEX automations_of_owner ON automations (org_id, owner_id, deleted_at, created_at);
CREATE INDEX automations_of_host ON automations (host_id, host_revision);

CREATE TABLE automation_prompts (
    automation_id TEXT   NOT NULL REFERENCES automations (id),
    version       BIGINT NOT NULL,
    prompt        TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (automation_id, version)
);

-- Automations that a host must forget: deleted, or moved to another host.
CREATE TABLE automation_tombstones (
    host_id       TEXT   NOT NULL REFERENCES hosts (id),
    automation_id TEXT   NOT NULL REFERENCES automations (id),
    host_revision BIGINT NOT NULL,
    PRIMARY KEY (host_id, automation_id)
);

CREATE TABLE runs (
    id            TEXT   NOT NULL PRIMARY KEY,
    org_id        TEXT   NOT NULL REFERENCES organizations (id),
    host_id       TEXT   NOT NULL REFERENCES hosts (id),
    automation_id TEXT   NOT NULL REFERENCES automations (id),
    scheduled_for BIGINT NOT NULL,
    queued_at     BIGINT NOT NULL,
    state         TEXT   NOT NULL,
    over          BIGINT NOT NULL,
    record        TEXT   NOT NULL,
    as_of         BIGINT NOT NULL
);
CREATE INDEX runs_of_automation ON runs (automation_id, queued_at, scheduled_for, id);
CREATE INDEX runs_going_on ON runs (host_id, over);

-- The log of a run as delivered so far: one row for where it stands, and its bytes in order.
CREATE TABLE run_logs (
    run_id    TEXT   NOT NULL PRIMARY KEY,
    host_id   TEXT   NOT NULL REFERENCES hosts (id),
    end_at    BIGINT NOT NULL,
    crc       BIGINT NOT NULL,
    size      BIGINT,
    as_of     BIGINT NOT NULL
);

CREATE TABLE run_log_chunks (
    run_id   TEXT   NOT NULL REFERENCES run_logs (run_id),
    start_at BIGINT NOT NULL,
    bytes    BLOB   NOT NULL,
    PRIMARY KEY (run_id, start_at)
);

-- Tasks: the organization's work items, their statuses and labels.

CREATE TABLE task_statuses (
    id       TEXT   NOT NULL PRIMARY KEY,
    org_id   TEXT   NOT NULL REFERENCES organizations (id),
    name     TEXT   NOT NULL,
    name_key TEXT   NOT NULL,
    type     TEXT   NOT NULL,
    position BIGINT NOT NULL,
    UNIQUE (org_id, name_key)
);

-- `ordinal` counts the tasks made in an organization: the order of listing, also within one
-- millisecond. `search_text` is title, description and slug in lower case.
CREATE TABLE tasks (
    id           TEXT   NOT NULL PRIMARY KEY,
    org_id       TEXT   NOT NULL REFERENCES organizations (id),
    ordinal      BIGINT NOT NULL,
    slug         TEXT   NOT NULL,
    title        TEXT   NOT NULL,
    description  TEXT,
    search_text  TEXT   NOT NULL,
    status_id    TEXT   NOT NULL REFERENCES task_statuses (id),
    priority     TEXT   NOT NULL,
    assignee_id  TEXT   REFERENCES users (id),
    creator_id   TEXT   NOT NULL REFERENCES users (id),
    estimate     DOUBLE PRECISION,
    due_at       BIGINT,
    labels       TEXT   NOT NULL,
    branch       TEXT,
    pr_url       TEXT,
    started_at   BIGINT,
    completed_at BIGINT,
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (org_id, slug),
    UNIQUE (org_id, ordinal)
);
CREATE INDEX tasks_of_status ON tasks (org_id, status_id);

-- For finding: each label of a task in lower case.
CREATE TABLE task_labels (
    task_id   TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    label_key TEXT NOT NULL,
    PRIMARY KEY (task_id, label_key)
);
CREATE INDEX task_labels_by_key ON task_labels (label_key);

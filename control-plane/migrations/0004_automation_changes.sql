-- What was done to an automation, in words, to be read beside its runs: by its owner, and by what
-- became of its hosts.

CREATE TABLE automation_changes (
    automation_id TEXT   NOT NULL REFERENCES automations (id),
    at            BIGINT NOT NULL,
    kind          TEXT   NOT NULL,
    revision      BIGINT NOT NULL,
    what          TEXT   NOT NULL,
    PRIMARY KEY (automation_id, at, kind, what)
);

-- Who did what to which thing from which client. Rows are only ever added, in the transaction of the
-- change they tell of; `seq` counts them within an organization.

CREATE TABLE audit_log (
    org_id     TEXT   NOT NULL REFERENCES organizations (id),
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    actor_id   TEXT,
    actor      TEXT   NOT NULL,
    client     TEXT   NOT NULL,
    address    TEXT,
    action     TEXT   NOT NULL,
    thing_kind TEXT   NOT NULL,
    thing_id   TEXT   NOT NULL,
    thing_name TEXT   NOT NULL,
    detail     TEXT,
    PRIMARY KEY (org_id, seq)
);
CREATE INDEX audit_log_by_time ON audit_log (org_id, at);

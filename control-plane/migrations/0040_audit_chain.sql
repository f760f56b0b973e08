-- Each entry carries the SHA-256 of the one before it and of itself, so that one that was changed or
-- taken out is noticed. Looking for what was done to one thing must not read the whole log.

ALTER TABLE audit_log ADD COLUMN digest TEXT NOT NULL DEFAULT '';

CREATE INDEX audit_log_by_thing ON audit_log (org_id, thing_id, seq);
CREATE INDEX audit_log_by_actor ON audit_log (org_id, LOWER(actor), seq);

-- Whose a run is stands with the run, so that an owner's runs over all automations are listed newest
-- first, also by state, host and automation, without reading the others.
ALTER TABLE runs ADD COLUMN owner_id TEXT;
UPDATE runs SET owner_id = (SELECT a.owner_id FROM automations a WHERE a.id = runs.automation_id);
CREATE INDEX runs_of_owner ON runs (owner_id, org_id, queued_at, id);
CREATE INDEX runs_of_owner_by_state ON runs (owner_id, org_id, state, queued_at, id);
CREATE INDEX runs_of_owner_by_host ON runs (owner_id, org_id, host_id, queued_at, id);

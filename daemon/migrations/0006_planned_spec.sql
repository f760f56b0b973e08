-- The spec of the planned revision, while a newer one waits for its plan: what was due under it is
-- still to be recorded.
ALTER TABLE automations ADD COLUMN planned_spec TEXT;

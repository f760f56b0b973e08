-- Whose runs have an automation of some name is told by the index alone: a run's record is long.
DROP INDEX runs_of_owner;
CREATE INDEX runs_of_owner ON runs (owner_id, org_id, queued_at, id, automation_id);

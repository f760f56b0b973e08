-- Which machine a host was last seen on, doubts about it, and who changed what.
--
-- `machine` is the mark of the machine (see the link's proof); `doubt` (JSON) is set when another
-- machine was seen with the host's identity, until somebody settles it; `past_marks` (JSON) are the
-- starts of its daemon that a restored database has left behind: one that returns is a second copy.
ALTER TABLE hosts ADD COLUMN machine TEXT;
ALTER TABLE hosts ADD COLUMN doubt TEXT;
ALTER TABLE hosts ADD COLUMN past_marks TEXT;
ALTER TABLE hosts ADD COLUMN key_since BIGINT;
ALTER TABLE host_grants ADD COLUMN granted_by TEXT;
CREATE INDEX host_grants_of_user ON host_grants (user_id);

-- Hosts are told whose each automation is: everything is sent once more.
UPDATE hosts SET desired_revision = desired_revision + 1;
UPDATE automations SET host_revision =
    (SELECT h.desired_revision FROM hosts h WHERE h.id = automations.host_id)
    WHERE deleted_at IS NULL;

-- Which start of the daemon numbered which events: how the control plane knows a database restored
-- from a backup, which gives numbers that were given before.
CREATE TABLE lives (
    first_seq INTEGER PRIMARY KEY,
    mark      TEXT NOT NULL
) STRICT;

-- Which start of its daemon numbered which of a host's events, as it last said (JSON).
ALTER TABLE hosts ADD COLUMN lives TEXT;

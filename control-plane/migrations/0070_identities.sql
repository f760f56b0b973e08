-- As whom somebody is known at a provider, for them to recognize; and when a session last proved who
-- sits in front of it.
ALTER TABLE identities ADD COLUMN email TEXT;
ALTER TABLE sessions ADD COLUMN proved_at BIGINT;

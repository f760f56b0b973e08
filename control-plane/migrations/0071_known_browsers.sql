-- Browsers that signed in to an account before: a guesser elsewhere does not hold them up. Only a hash
-- of the cookie is stored.
CREATE TABLE known_browsers (
    user_id TEXT   NOT NULL REFERENCES users (id),
    hash    TEXT   NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- Signing in: passwords, sessions of the console, links that work once, identities at other providers.

CREATE TABLE passwords (
    user_id    TEXT   NOT NULL PRIMARY KEY REFERENCES users (id),
    phc        TEXT   NOT NULL,
    updated_at BIGINT NOT NULL
);

-- A signed-in browser. Only the SHA-256 of the cookie's secret is stored. `org_id` is the
-- organization it works in; none until one was chosen.
CREATE TABLE sessions (
    id           TEXT   NOT NULL PRIMARY KEY,
    hash         TEXT   NOT NULL UNIQUE,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    org_id       TEXT   REFERENCES organizations (id),
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    agent        TEXT,
    address      TEXT
);
CREATE INDEX sessions_of_user ON sessions (user_id);

-- Links that work once: `setup` and `recovery` for a person, `invitation` for an email and a role.
CREATE TABLE links (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    hash       TEXT   NOT NULL UNIQUE,
    org_id     TEXT   NOT NULL REFERENCES organizations (id),
    user_id    TEXT   REFERENCES users (id),
    email      TEXT,
    role       TEXT,
    created_by TEXT   REFERENCES users (id),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at   BIGINT
);
CREATE INDEX links_of_org ON links (org_id, kind, spent_at);

-- Who a person is at an OpenID Connect provider.
CREATE TABLE identities (
    issuer     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    user_id    TEXT   NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_of_user ON identities (user_id);

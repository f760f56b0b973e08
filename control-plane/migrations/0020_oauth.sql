-- OAuth: the clients we know of, what people allowed them, and the codes on the way to tokens.

-- `registered` by itself (RFC 7591), or the last reading of a client's own metadata `document`. A row
-- past its time is no client any more. `used_at` is when somebody last allowed it something.
CREATE TABLE oauth_clients (
    id            TEXT   NOT NULL PRIMARY KEY,
    kind          TEXT   NOT NULL,
    name          TEXT   NOT NULL,
    redirect_uris TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    used_at       BIGINT
);
CREATE INDEX oauth_clients_by_expiry ON oauth_clients (expires_at);

-- What a person allowed a client: the family of every token that came of it. It is connected once its
-- code was exchanged.
CREATE TABLE oauth_grants (
    id           TEXT   NOT NULL PRIMARY KEY,
    org_id       TEXT   NOT NULL REFERENCES organizations (id),
    user_id      TEXT   NOT NULL REFERENCES users (id),
    client_id    TEXT   NOT NULL,
    client_name  TEXT   NOT NULL,
    scopes       TEXT   NOT NULL,
    audience     TEXT   NOT NULL,
    address      TEXT,
    created_at   BIGINT NOT NULL,
    connected_at BIGINT,
    revoked_at   BIGINT
);
CREATE INDEX oauth_grants_of_org ON oauth_grants (org_id, user_id);

-- Authorization codes: single use, a minute. Used ones stay a day, so that a second use is noticed.
CREATE TABLE oauth_codes (
    hash         TEXT   NOT NULL PRIMARY KEY,
    grant_id     TEXT   NOT NULL REFERENCES oauth_grants (id),
    redirect_uri TEXT   NOT NULL,
    challenge    TEXT   NOT NULL,
    expires_at   BIGINT NOT NULL,
    spent_at     BIGINT
);
CREATE INDEX oauth_codes_by_expiry ON oauth_codes (expires_at);

-- Devices that wait for somebody to type their code elsewhere (RFC 8628). `state` is pending,
-- allowed (then there is a grant), denied or spent.
CREATE TABLE oauth_devices (
    hash        TEXT   NOT NULL PRIMARY KEY,
    user_code   TEXT   NOT NULL UNIQUE,
    client_id   TEXT   NOT NULL,
    client_name TEXT   NOT NULL,
    scopes      TEXT   NOT NULL,
    audience    TEXT   NOT NULL,
    address     TEXT,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    interval_ms BIGINT NOT NULL,
    polled_at   BIGINT,
    state       TEXT   NOT NULL,
    grant_id    TEXT   REFERENCES oauth_grants (id)
);
CREATE INDEX oauth_devices_by_expiry ON oauth_devices (expires_at);

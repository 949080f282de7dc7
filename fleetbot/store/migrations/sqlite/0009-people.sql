-- Who is who on Forgejo and in Matrix, as people have proven it; and what they have begun to prove.

CREATE TABLE people (
    login      TEXT   NOT NULL PRIMARY KEY COLLATE NOCASE,
    mxid       TEXT   NOT NULL,
    proven_at  BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE claims (
    mxid        TEXT   NOT NULL PRIMARY KEY,
    login       TEXT   NOT NULL,
    code        TEXT   NOT NULL,
    room        TEXT   NOT NULL,
    asked_at    BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
) WITHOUT ROWID;

-- Tokens with which one agent each may enrol once; `id` is the message that asked for it, `room` and
-- `event` the message that has the token, until it is redacted.

CREATE TABLE enrolments (
    id          TEXT   NOT NULL PRIMARY KEY,
    agent       TEXT   NOT NULL,
    hash        BLOB   NOT NULL UNIQUE,
    actor       TEXT   NOT NULL,
    made_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    room        TEXT   NOT NULL,
    event       TEXT   NOT NULL
);
CREATE INDEX enrolments_agent ON enrolments (agent);

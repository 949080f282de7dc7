-- The journal, its read models, the inbox, the outbox and the small tables beside them.
-- Times are epoch milliseconds; JSON is TEXT; ids are made by the application.

-- One line per event. `hash` covers the line and the hash before it (store/records.py: link).
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY,
    stream   TEXT    NOT NULL,
    version  BIGINT  NOT NULL,
    type     TEXT    NOT NULL,
    at       BIGINT  NOT NULL,
    actor    TEXT    NOT NULL,
    cause    TEXT    NOT NULL,
    data     TEXT    NOT NULL,
    hash     BLOB    NOT NULL,
    UNIQUE (stream, version)
);

-- Read models: the domain's value as JSON, and the columns that queries need (store/views.py).
CREATE TABLE tasks (
    id          TEXT   NOT NULL PRIMARY KEY,
    repo        TEXT   NOT NULL,
    issue       BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    run         TEXT,
    created_at  BIGINT NOT NULL,
    data        TEXT   NOT NULL
);
-- One issue never becomes two tasks; 0 stands for a task without an issue.
CREATE UNIQUE INDEX tasks_issue ON tasks (repo, issue) WHERE issue > 0;
CREATE INDEX tasks_newest ON tasks (created_at, id);
CREATE INDEX tasks_state ON tasks (state, created_at, id);

CREATE TABLE runs (
    id           TEXT   NOT NULL PRIMARY KEY,
    task         TEXT   NOT NULL,
    agent        TEXT   NOT NULL,
    assigned_at  BIGINT NOT NULL,
    data         TEXT   NOT NULL
);
CREATE INDEX runs_task ON runs (task, assigned_at);
CREATE INDEX runs_agent ON runs (agent);

CREATE TABLE receipts (
    id        TEXT   NOT NULL PRIMARY KEY,
    task      TEXT   NOT NULL,
    filed_at  BIGINT NOT NULL,
    data      TEXT   NOT NULL
);
CREATE INDEX receipts_task ON receipts (task, filed_at);

CREATE TABLE agents (
    name  TEXT NOT NULL PRIMARY KEY,
    data  TEXT NOT NULL
);

CREATE TABLE agent_tokens (
    agent  TEXT NOT NULL PRIMARY KEY,
    hash   BLOB NOT NULL UNIQUE
);

-- Inbox. `body` is there while something is still to be done.
CREATE TABLE arrivals (
    key     TEXT   NOT NULL PRIMARY KEY,
    kind    TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    meta    TEXT   NOT NULL,
    body    BLOB,
    answer  BLOB
);
CREATE INDEX arrivals_due ON arrivals (kind, at) WHERE body IS NOT NULL;
CREATE INDEX arrivals_done ON arrivals (at) WHERE body IS NULL;

-- Outbox. `state` is pending, delivered or superseded; `position` is the order of insertion.
CREATE TABLE outbox (
    position      INTEGER PRIMARY KEY,
    id            TEXT   NOT NULL UNIQUE,
    destination   TEXT   NOT NULL,
    kind          TEXT   NOT NULL,
    collapse      TEXT,
    payload       BLOB   NOT NULL,
    due_at        BIGINT NOT NULL,
    seq           BIGINT NOT NULL,
    state         TEXT   NOT NULL,
    delivered_at  BIGINT NOT NULL,
    result        TEXT   NOT NULL
);
CREATE INDEX outbox_pending ON outbox (destination, position) WHERE state = 'pending';
CREATE INDEX outbox_collapse ON outbox (destination, collapse)
    WHERE state = 'pending' AND collapse IS NOT NULL;
CREATE INDEX outbox_done ON outbox (due_at) WHERE state <> 'pending';

-- Destinations whose last delivery failed: until when they are left alone, and what is wrong.
CREATE TABLE failing (
    destination  TEXT   NOT NULL PRIMARY KEY,
    due_at       BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    error        TEXT   NOT NULL
);

CREATE TABLE anchors (
    key    TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL
);

CREATE TABLE log_lines (
    run       TEXT   NOT NULL,
    position  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    text      TEXT   NOT NULL,
    PRIMARY KEY (run, position)
) WITHOUT ROWID;

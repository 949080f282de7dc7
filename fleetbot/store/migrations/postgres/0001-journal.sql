-- The journal, its read models, the inbox, the outbox and the small tables beside them: what the
-- migrations for SQLite have come to, table by table. Times are epoch milliseconds; JSON is TEXT; ids
-- are made by the application. Text is ordered by its bytes, as on SQLite.

-- Who writes, or wrote last (store/postgres/leadership.py); the one row is made by the first. After
-- `lease` milliseconds without a renewal another may take over; 0: only with the end of its session.
-- `place`: the machine and folder it runs in.
CREATE TABLE leader (
    one         BIGINT NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one = 1),
    epoch       BIGINT NOT NULL,
    name        TEXT   NOT NULL,
    address     TEXT   NOT NULL,
    since       BIGINT NOT NULL,
    renewed_at  BIGINT NOT NULL,
    lease       BIGINT NOT NULL,
    place       TEXT   NOT NULL
);

-- One line per event. `hash` covers the line and the hash before it (store/records.py: link);
-- `schema` says how to read it (domain/upcasts.py).
CREATE TABLE events (
    seq      BIGINT NOT NULL PRIMARY KEY,
    stream   TEXT   COLLATE "C" NOT NULL,
    version  BIGINT NOT NULL,
    type     TEXT   COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    actor    TEXT   COLLATE "C" NOT NULL,
    cause    TEXT   COLLATE "C" NOT NULL,
    data     TEXT   COLLATE "C" NOT NULL,
    hash     BYTEA  NOT NULL,
    schema   BIGINT NOT NULL DEFAULT 1,
    UNIQUE (stream, version)
);

-- Read models: the domain's value as JSON, and the columns that queries need (store/views.py).
CREATE TABLE tasks (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    repo        TEXT   COLLATE "C" NOT NULL,
    repo_id     BIGINT NOT NULL DEFAULT 0,
    issue       BIGINT NOT NULL,
    state       TEXT   COLLATE "C" NOT NULL,
    run         TEXT   COLLATE "C",
    created_at  BIGINT NOT NULL,
    watched     BIGINT NOT NULL DEFAULT 0,
    receipt     TEXT   COLLATE "C",
    updated_at  BIGINT NOT NULL DEFAULT 0,
    data        TEXT   COLLATE "C" NOT NULL
);
-- One issue never becomes two tasks; issue 0 stands for a task without one, and repository 0 for one
-- of which only the name is known yet.
CREATE UNIQUE INDEX tasks_issue ON tasks (repo_id, issue) WHERE issue > 0 AND repo_id > 0;
CREATE UNIQUE INDEX tasks_named ON tasks (issue, repo) WHERE issue > 0 AND repo_id = 0;
CREATE INDEX tasks_repo ON tasks (repo_id, created_at, id);
CREATE INDEX tasks_newest ON tasks (created_at, id);
CREATE INDEX tasks_state ON tasks (state, created_at, id);
CREATE INDEX tasks_watched ON tasks (id) WHERE watched = 1;
CREATE INDEX tasks_ended ON tasks (updated_at) WHERE state IN ('completed', 'cancelled');

CREATE TABLE runs (
    id             TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    task           TEXT   COLLATE "C" NOT NULL,
    agent          TEXT   COLLATE "C" NOT NULL,
    assigned_at    BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL DEFAULT 0,
    input_tokens   BIGINT NOT NULL DEFAULT 0,
    output_tokens  BIGINT NOT NULL DEFAULT 0,
    cached_tokens  BIGINT NOT NULL DEFAULT 0,
    cost_usd       DOUBLE PRECISION,
    verified       BIGINT NOT NULL DEFAULT 0,
    took           BIGINT,
    data           TEXT   COLLATE "C" NOT NULL
);
CREATE INDEX runs_task ON runs (task, assigned_at);
CREATE INDEX runs_agent ON runs (agent, assigned_at);
CREATE INDEX runs_ended ON runs (ended_at, verified, took, cost_usd) WHERE ended_at > 0;

CREATE TABLE receipts (
    id        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    task      TEXT   COLLATE "C" NOT NULL,
    run       TEXT   COLLATE "C" NOT NULL DEFAULT '',
    filed_at  BIGINT NOT NULL,
    data      TEXT   COLLATE "C" NOT NULL
);
CREATE INDEX receipts_task ON receipts (task, filed_at);

CREATE TABLE agents (
    name       TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    forgotten  BIGINT NOT NULL DEFAULT 0,
    data       TEXT   COLLATE "C" NOT NULL
);

CREATE TABLE repos (
    id    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name  TEXT COLLATE "C" NOT NULL,
    data  TEXT COLLATE "C" NOT NULL
);

CREATE TABLE agent_tokens (
    agent  TEXT  COLLATE "C" NOT NULL PRIMARY KEY,
    hash   BYTEA NOT NULL UNIQUE
);

-- Inbox. `body` is there while something is still to be done; what cannot be acted on yet waits until
-- `due_at`, after so many tries.
CREATE TABLE arrivals (
    key     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    kind    TEXT   COLLATE "C" NOT NULL,
    at      BIGINT NOT NULL,
    meta    TEXT   COLLATE "C" NOT NULL,
    body    BYTEA,
    answer  BYTEA,
    due_at  BIGINT NOT NULL DEFAULT 0,
    tries   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX arrivals_due ON arrivals (kind, due_at, at) WHERE body IS NOT NULL;
CREATE INDEX arrivals_done ON arrivals (at) WHERE body IS NULL;

-- Outbox. `state` is pending, acknowledged, superseded, dead or dismissed; `position` is the order of
-- insertion. An effect that is set aside stands in a queue of its own.
CREATE TABLE outbox (
    position     BIGINT NOT NULL PRIMARY KEY,
    id           TEXT   COLLATE "C" NOT NULL UNIQUE,
    destination  TEXT   COLLATE "C" NOT NULL,
    queue        TEXT   COLLATE "C" NOT NULL,
    kind         TEXT   COLLATE "C" NOT NULL,
    collapse     TEXT   COLLATE "C",
    payload      BYTEA  NOT NULL,
    due_at       BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    state        TEXT   COLLATE "C" NOT NULL,
    settled_at   BIGINT NOT NULL,
    result       TEXT   COLLATE "C" NOT NULL,
    refusals     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX outbox_queue ON outbox (queue, state, position);
CREATE INDEX outbox_collapse ON outbox (destination, collapse)
    WHERE collapse IS NOT NULL AND state IN ('pending', 'dead');
CREATE INDEX outbox_done ON outbox (due_at) WHERE state IN ('acknowledged', 'superseded', 'dismissed');
CREATE INDEX outbox_dead ON outbox (settled_at) WHERE state = 'dead';

-- `head` is the position of the first pending effect; the queue is left alone before `due_at`.
-- `attempts` counts failures since the last success, the first at `since`, the last with `error`.
CREATE TABLE queues (
    name        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    sender      TEXT   COLLATE "C" NOT NULL,
    head        BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    held_until  BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    since       BIGINT NOT NULL DEFAULT 0,
    error       TEXT   COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX queues_due ON queues (sender, due_at, head);
CREATE INDEX queues_failing ON queues (sender, since) WHERE attempts > 0;

CREATE TABLE anchors (
    key    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value  TEXT COLLATE "C" NOT NULL
);

CREATE TABLE log_lines (
    run       TEXT   COLLATE "C" NOT NULL,
    position  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT   COLLATE "C" NOT NULL,
    text      TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (run, position)
);

-- What the messages of ours in rooms are about. `kind` says what `subject` is the id of.
CREATE TABLE posted (
    room     TEXT   COLLATE "C" NOT NULL,
    event    TEXT   COLLATE "C" NOT NULL,
    kind     TEXT   COLLATE "C" NOT NULL,
    subject  TEXT   COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (room, event)
);
CREATE INDEX posted_subject ON posted (room, kind, subject, at);

-- Who is who on Forgejo (in small letters) and in Matrix, as people have proven it; and what they have
-- begun to prove.
CREATE TABLE people (
    login      TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    mxid       TEXT   COLLATE "C" NOT NULL,
    proven_at  BIGINT NOT NULL
);

CREATE TABLE claims (
    mxid        TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    login       TEXT   COLLATE "C" NOT NULL,
    code        TEXT   COLLATE "C" NOT NULL,
    room        TEXT   COLLATE "C" NOT NULL,
    asked_at    BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);

-- Tokens with which one agent each may enrol once; `id` is the message that asked for it, `room` and
-- `event` the message that has the token, until it is redacted.
CREATE TABLE enrolments (
    id          TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    agent       TEXT   COLLATE "C" NOT NULL,
    hash        BYTEA  NOT NULL UNIQUE,
    actor       TEXT   COLLATE "C" NOT NULL,
    made_at     BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT NOT NULL,
    room        TEXT   COLLATE "C" NOT NULL,
    event       TEXT   COLLATE "C" NOT NULL
);
CREATE INDEX enrolments_agent ON enrolments (agent);

-- What the messages of ours in rooms are about, so that replies and reactions to them are understood
-- after a restart as well. `kind` says what `subject` is the id of.

CREATE TABLE posted (
    room    TEXT   NOT NULL,
    event   TEXT   NOT NULL,
    kind    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (room, event)
) WITHOUT ROWID;

CREATE INDEX posted_subject ON posted (room, kind, subject, at);

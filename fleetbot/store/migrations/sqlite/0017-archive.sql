-- What was moved out of the journal into files (store/archive): the files; of which streams how many
-- lines are gone from here, and up to where; and, for each gap that this leaves, the number and hash
-- of its last line, so that the chain goes on behind it.

CREATE TABLE segments (
    first     BIGINT NOT NULL PRIMARY KEY,
    last      BIGINT NOT NULL,
    previous  TEXT   NOT NULL,
    hash      TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    size      BIGINT NOT NULL,
    sha256    TEXT   NOT NULL,
    made_at   BIGINT NOT NULL
);

CREATE TABLE archived (
    stream    TEXT   NOT NULL PRIMARY KEY,
    version   BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL,
    at        BIGINT NOT NULL
);

CREATE TABLE gaps (
    seq   BIGINT NOT NULL PRIMARY KEY,
    hash  BLOB   NOT NULL
);

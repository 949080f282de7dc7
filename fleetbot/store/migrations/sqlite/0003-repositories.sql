-- Repositories by the id that they keep on Forgejo; their names are no key any more.

CREATE TABLE repos (
    id    TEXT NOT NULL PRIMARY KEY,
    name  TEXT NOT NULL,
    data  TEXT NOT NULL
);

-- 0: the journal knows the name only, until the repository is first looked at.
ALTER TABLE tasks ADD COLUMN repo_id BIGINT NOT NULL DEFAULT 0;

-- One issue never becomes two tasks; issue 0 stands for a task without one.
DROP INDEX tasks_issue;
CREATE UNIQUE INDEX tasks_issue ON tasks (repo_id, issue) WHERE issue > 0 AND repo_id > 0;
CREATE UNIQUE INDEX tasks_named ON tasks (issue, repo) WHERE issue > 0 AND repo_id = 0;
CREATE INDEX tasks_repo ON tasks (repo_id, created_at, id);

-- What came in and cannot be acted on yet waits until `due_at`, after so many tries.
ALTER TABLE arrivals ADD COLUMN due_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE arrivals ADD COLUMN tries  BIGINT NOT NULL DEFAULT 0;
DROP INDEX arrivals_due;
CREATE INDEX arrivals_due ON arrivals (kind, due_at, at) WHERE body IS NOT NULL;

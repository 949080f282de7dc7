-- Tasks whose pull request is watched until it is merged.

ALTER TABLE tasks ADD COLUMN watched BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tasks_watched ON tasks (id) WHERE watched = 1;

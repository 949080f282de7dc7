-- What is looked for has a column of its own, instead of being taken from the JSON: a database reads
-- less then, and not every one can look into any JSON.

ALTER TABLE tasks ADD COLUMN receipt    TEXT;
ALTER TABLE tasks ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE tasks SET
    receipt    = json_extract(data, '$.receipt'),
    updated_at = coalesce(json_extract(data, '$.updated_at'), 0);
DROP INDEX tasks_ended;
CREATE INDEX tasks_ended ON tasks (updated_at) WHERE state IN ('completed', 'cancelled');

ALTER TABLE receipts ADD COLUMN run TEXT NOT NULL DEFAULT '';
UPDATE receipts SET run = coalesce(json_extract(data, '$.run'), '');

ALTER TABLE agents ADD COLUMN forgotten BIGINT NOT NULL DEFAULT 0;
UPDATE agents SET forgotten = coalesce(json_extract(data, '$.forgotten'), 0);

-- The newest runs of an agent.
DROP INDEX runs_agent;
CREATE INDEX runs_agent ON runs (agent, assigned_at);

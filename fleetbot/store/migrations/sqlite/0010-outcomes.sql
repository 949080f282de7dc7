-- What a run has led to, beside its JSON, for numbers over hundreds of thousands of runs: `verified`
-- is 1, or 2 where the first receipt of the task's first run held; `took` is how long (ms) it was from
-- the task's beginning to the run's end.

ALTER TABLE runs ADD COLUMN verified BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN took     BIGINT;

UPDATE runs SET verified = CASE
    WHEN json_extract(data, '$.reason') IS NOT NULL THEN 0
    WHEN coalesce(json_extract(data, '$.number'), 0) <= 1
        AND json_extract(data, '$.refutations') IS NULL THEN 2
    ELSE 1
END
WHERE ended_at > 0;
UPDATE runs SET took = ended_at - (SELECT created_at FROM tasks WHERE tasks.id = runs.task)
WHERE ended_at > 0;

DROP INDEX IF EXISTS runs_ended;
CREATE INDEX runs_ended ON runs (ended_at, verified, took, cost_usd) WHERE ended_at > 0;

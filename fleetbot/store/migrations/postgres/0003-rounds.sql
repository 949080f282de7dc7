-- Tasks that are at work on a round, or would go on with it: who takes that up looks at the event that
-- brought it, so their events stay in the database.

ALTER TABLE tasks ADD COLUMN in_round BIGINT NOT NULL DEFAULT 0;
UPDATE tasks SET in_round = 1 WHERE (CAST(data AS JSON) ->> 'round') IS NOT NULL;

-- The outbox by queues: each knows its head, so that what is due is found without a walk over all
-- that waits. An effect that is set aside stands in a queue of its own; one that is given up is
-- `dead` and is kept. Effects name their task instead of carrying it.

ALTER TABLE outbox RENAME COLUMN delivered_at TO settled_at;
ALTER TABLE outbox ADD COLUMN queue     TEXT   NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN refusals  BIGINT NOT NULL DEFAULT 0;

-- What was given up before was marked as delivered. Where nothing newer has taken its place it can
-- be sent again.
UPDATE outbox SET state = 'dead', result = substr(result, length('undeliverable: ') + 1)
WHERE state = 'delivered' AND result LIKE 'undeliverable: %' AND NOT EXISTS (
    SELECT 1 FROM outbox newer
    WHERE newer.destination = outbox.destination AND newer.collapse = outbox.collapse
        AND newer.position > outbox.position
);

UPDATE outbox SET destination = 'forgejo:task/' || json_extract(CAST(payload AS TEXT), '$.task.id')
WHERE kind IN ('issue_state', 'receipt_comment');

UPDATE outbox SET payload = CAST(json_object(
    'kind', kind,
    'task', json_extract(CAST(payload AS TEXT), '$.task.id')
) AS BLOB)
WHERE state IN ('pending', 'dead') AND kind = 'issue_state';

UPDATE outbox SET payload = CAST(json_object(
    'kind', kind,
    'task', json_extract(CAST(payload AS TEXT), '$.task.id'),
    'receipt', json_extract(CAST(payload AS TEXT), '$.receipt.receipt.id')
) AS BLOB)
WHERE state IN ('pending', 'dead') AND kind = 'receipt_comment';

UPDATE outbox SET payload = CAST(json_set(
    CAST(payload AS TEXT), '$.task.title',
    json_extract(CAST(payload AS TEXT), '$.task.traits.title')
) AS BLOB)
WHERE state IN ('pending', 'dead') AND kind = 'task_notice';

UPDATE outbox SET queue = destination;
UPDATE outbox SET state = 'acknowledged' WHERE state = 'delivered';

DROP INDEX outbox_pending;
DROP INDEX outbox_collapse;
DROP INDEX outbox_done;
CREATE INDEX outbox_queue ON outbox (queue, state, position);
CREATE INDEX outbox_collapse ON outbox (destination, collapse, state) WHERE collapse IS NOT NULL;
CREATE INDEX outbox_done ON outbox (due_at) WHERE state IN ('acknowledged', 'superseded', 'dismissed');
CREATE INDEX outbox_dead ON outbox (settled_at) WHERE state = 'dead';

-- `head` is the position of the first pending effect; the queue is left alone before `due_at`.
-- `attempts` counts failures since the last success, the first at `since`, the last with `error`.
CREATE TABLE queues (
    name        TEXT   NOT NULL PRIMARY KEY,
    sender      TEXT   NOT NULL,
    head        BIGINT NOT NULL,
    due_at      BIGINT NOT NULL,
    held_until  BIGINT NOT NULL DEFAULT 0,
    attempts    BIGINT NOT NULL DEFAULT 0,
    since       BIGINT NOT NULL DEFAULT 0,
    error       TEXT   NOT NULL DEFAULT ''
);
CREATE INDEX queues_due ON queues (sender, due_at, head);
CREATE INDEX queues_failing ON queues (sender, since) WHERE attempts > 0;

-- What failed last is tried at once after an update.
DROP TABLE failing;
INSERT INTO queues (name, sender, head, due_at)
SELECT queue, substr(queue, 1, instr(queue, ':') - 1), min(position), due_at
FROM outbox WHERE state = 'pending' GROUP BY queue;

-- For the repair of what ended lately.
CREATE INDEX tasks_ended ON tasks (json_extract(data, '$.updated_at'))
    WHERE state IN ('completed', 'cancelled');

-- What the fold keeps of time, and rows of before do not have: else they differ from their events,
-- and a task would seem to have waited since 1970. It is each value's last field, as in domain/model.py.

UPDATE tasks SET data = json_set(json_remove(data, '$.entered_at'), '$.entered_at', (
    SELECT at FROM events
    WHERE stream = 'task:' || tasks.id AND type IN (
        'task.created', 'task.assigned', 'task.started', 'task.completed', 'task.failed',
        'task.agent_lost', 'task.cancelled', 'task.requeued'
    )
    ORDER BY version DESC LIMIT 1
));

UPDATE runs SET data = json_set(json_remove(data, '$.checked_ms'), '$.checked_ms', checked.ms)
FROM (
    SELECT receipts.run AS run, sum(refuted.at - receipts.filed_at) AS ms
    FROM (SELECT id, task, filed_at, json_extract(data, '$.run') AS run FROM receipts) AS receipts
    JOIN events AS refuted ON refuted.stream = 'task:' || receipts.task
        AND refuted.type = 'receipt.refuted'
        AND json_extract(refuted.data, '$.receipt') = receipts.id
    GROUP BY receipts.run
) AS checked
WHERE runs.id = checked.run AND checked.ms > 0;

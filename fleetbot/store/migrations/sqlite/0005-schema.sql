-- The schema that each line was written with (domain/upcasts.py); all lines so far are of the first.

ALTER TABLE events ADD COLUMN schema INTEGER NOT NULL DEFAULT 1;

-- Runs keep of questions and messages what still waits, and the lines that have the rest.

UPDATE runs SET data = json_set(data, '$.asks', (
    SELECT json_group_array(json(
        CASE
            WHEN answered IS NOT NULL THEN json_set(
                json_remove(ask, '$.request', '$.text', '$.title', '$.options'),
                '$.asked', asked, '$.answered', answered)
            WHEN json_array_length(ask, '$.options') = 0 THEN json_set(
                json_remove(ask, '$.request', '$.options'), '$.asked', asked)
            ELSE json_set(json_remove(ask, '$.request'), '$.asked', asked)
        END
    ))
    FROM (
        SELECT
            asks.value AS ask,
            (
                SELECT seq FROM events
                WHERE stream = 'task:' || runs.task AND type = 'run.asked'
                AND json_extract(events.data, '$.run') = runs.id
                AND json_extract(events.data, '$.ask') = json_extract(asks.value, '$.id')
            ) AS asked,
            (
                SELECT seq FROM events
                WHERE stream = 'task:' || runs.task AND type = 'run.answered'
                AND json_extract(events.data, '$.run') = runs.id
                AND json_extract(events.data, '$.ask') = json_extract(asks.value, '$.id')
            ) AS answered
        FROM json_each(runs.data, '$.asks') AS asks
        ORDER BY asks.key
    )
))
WHERE json_array_length(data, '$.asks') > 0;

UPDATE runs SET data = json_set(data, '$.messages', (
    SELECT json_group_array(json(json_set(
        CASE
            WHEN json_extract(message, '$.taken') = 'delivered' THEN json_remove(message, '$.text')
            ELSE message
        END,
        '$.said', said
    )))
    FROM (
        SELECT
            messages.value AS message,
            (
                SELECT seq FROM events
                WHERE stream = 'task:' || runs.task AND type = 'run.messaged'
                AND json_extract(events.data, '$.run') = runs.id
                AND json_extract(events.data, '$.message') = json_extract(messages.value, '$.id')
            ) AS said
        FROM json_each(runs.data, '$.messages') AS messages
        ORDER BY messages.key
    )
))
WHERE json_array_length(data, '$.messages') > 0;

-- Agents that have signed off are forgotten some time after.

UPDATE agents SET data = json_set(data, '$.signed_off_at', (
    SELECT at FROM events WHERE stream = 'agent:' || agents.name AND type = 'agent.deregistered'
    ORDER BY version DESC LIMIT 1
))
WHERE json_extract(data, '$.status') = 'deregistered';

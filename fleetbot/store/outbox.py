"""The outbox in SQL: which entries are due, and what becomes of them."""

from __future__ import annotations

from typing import Any

from fleetbot.store.records import Backlog, Due, OutboxEntry

INSERT = """
INSERT INTO outbox (
    position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', 0, '')
ON CONFLICT (id) DO NOTHING
"""

SUPERSEDE = """
UPDATE outbox SET state = 'superseded'
WHERE state = 'pending' AND destination = ?1 AND collapse = ?2 AND position < (
    SELECT max(position) FROM outbox
    WHERE state = 'pending' AND destination = ?1 AND collapse = ?2
)
"""

DELIVERED = "UPDATE outbox SET state = 'delivered', delivered_at = ?, result = ? WHERE id = ?"

SUCCEEDED = "DELETE FROM failing WHERE destination = (SELECT destination FROM outbox WHERE id = ?)"

FAILED = """
INSERT INTO failing (destination, due_at, attempts, error)
SELECT destination, ?, 1, ? FROM outbox WHERE id = ?
ON CONFLICT (destination) DO UPDATE SET
    due_at = excluded.due_at, attempts = failing.attempts + 1, error = excluded.error
"""

RELEASED = "DELETE FROM failing WHERE destination = ?"

PRUNE = """
DELETE FROM outbox WHERE position IN (
    SELECT position FROM outbox WHERE state <> 'pending' AND due_at < ? LIMIT ?
)
"""

# Walks from destination to destination, so that its cost does not grow with what waits for each.
HEADS = """
WITH RECURSIVE waiting (destination) AS (
    SELECT min(destination) FROM outbox WHERE state = 'pending'
    UNION ALL
    SELECT (
        SELECT min(o.destination) FROM outbox o
        WHERE o.state = 'pending' AND o.destination > waiting.destination
    )
    FROM waiting WHERE waiting.destination IS NOT NULL
),
heads (destination, position) AS (
    SELECT waiting.destination, (
        SELECT min(o.position) FROM outbox o
        WHERE o.state = 'pending' AND o.destination = waiting.destination
    )
    FROM waiting WHERE waiting.destination IS NOT NULL
)
"""

DUE = f"""{HEADS}
SELECT o.id, o.destination, o.kind, o.payload, o.due_at, o.seq, o.collapse, coalesce(f.attempts, 0)
FROM heads
JOIN outbox o ON o.position = heads.position
LEFT JOIN failing f ON f.destination = heads.destination
WHERE o.due_at <= ?1 AND coalesce(f.due_at, 0) <= ?1
ORDER BY o.position
LIMIT ?2
"""

NEXT_DUE = f"""{HEADS}
SELECT min(CASE WHEN f.due_at > o.due_at THEN f.due_at ELSE o.due_at END)
FROM heads
JOIN outbox o ON o.position = heads.position
LEFT JOIN failing f ON f.destination = heads.destination
"""

BACKLOG = """
SELECT
    waiting.destination,
    waiting.entries,
    waiting.oldest,
    coalesce(f.due_at, 0),
    coalesce(f.attempts, 0),
    coalesce(f.error, '')
FROM (
    SELECT destination, count(*) AS entries, min(due_at) AS oldest
    FROM outbox WHERE state = 'pending' GROUP BY destination
) waiting
LEFT JOIN failing f ON f.destination = waiting.destination
ORDER BY waiting.destination
"""


def entry_row(position: int, entry: OutboxEntry) -> tuple[object, ...]:
    place = (position, entry.id, entry.destination, entry.kind, entry.collapse)
    return (*place, entry.payload, entry.due_at, entry.seq)


def due(row: tuple[Any, ...]) -> Due:
    id, destination, kind, payload, due_at, seq, collapse, attempts = row
    entry = OutboxEntry(
        id=id,
        destination=destination,
        kind=kind,
        payload=payload,
        due_at=due_at,
        seq=seq,
        collapse=collapse,
    )
    return Due(entry=entry, attempts=attempts)


def backlog(row: tuple[Any, ...]) -> Backlog:
    destination, pending, oldest, deferred_until, attempts, error = row
    return Backlog(
        destination=destination,
        pending=pending,
        oldest=oldest,
        deferred_until=deferred_until,
        attempts=attempts,
        error=error,
    )

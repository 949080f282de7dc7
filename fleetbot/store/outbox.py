"""The outbox in SQL: queues of effects, what is due at their heads, and what becomes of it.

An effect waits in the queue of its destination, or in one of its own once it was set aside. The
table `queues` knows the head of each, so that neither what is due nor when costs more the more
waits. Every statement that may change a head names the queue; `SETTLE` then puts it right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fleetbot.store.database import Database
from fleetbot.store.insert import Insert, Row
from fleetbot.store.records import (
    Backlog,
    Change,
    DeadLetter,
    Deferred,
    Due,
    OutboxEntry,
    QueueTrouble,
    readable,
)
from fleetbot.store.scope import as_list
from fleetbot.store.untaken import Untaken

_COLUMNS = (
    *("position", "id", "destination", "queue", "kind", "collapse", "payload", "due_at", "seq"),
    *("state", "settled_at", "result"),
)
_ENTRIES = Insert("outbox", _COLUMNS, "ON CONFLICT (id) DO NOTHING")

# Where the queue has a head already it keeps it. Only the new entries are walked.
_QUEUE_UP = """
INSERT INTO queues (name, sender, head, due_at)
SELECT queue, substr(queue, 1, instr(queue, ':') - 1), position, due_at
FROM outbox WHERE position IN (
    SELECT min(position) FROM outbox NOT INDEXED
    WHERE position >= ? AND state = 'pending' GROUP BY queue
)
ON CONFLICT (name) DO NOTHING
"""

# What newer entries from a position on take the place of: two lists as JSON, in one row.
SUPERSEDED = """
SELECT json_group_array(older.position), json_group_array(DISTINCT older.queue)
FROM (
    SELECT destination, collapse, max(position) AS position FROM outbox
    WHERE position >= ? AND collapse IS NOT NULL GROUP BY destination, collapse
) AS newer CROSS JOIN outbox older
WHERE older.destination = newer.destination AND older.collapse = newer.collapse
    AND older.state IN ('pending', 'dead') AND older.position < newer.position
"""

_SUPERSEDE = """
UPDATE outbox SET state = 'superseded'
WHERE position IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
"""

_ACKNOWLEDGED = """
UPDATE outbox SET state = 'acknowledged', settled_at = ?, result = ? WHERE id = ?
RETURNING queue, destination, collapse, id
"""

_GIVEN_UP = """
UPDATE outbox SET state = 'dead', settled_at = ?, result = ?
WHERE id = ? AND state = 'pending' RETURNING queue, destination, collapse, id
"""

_REFUSED = "UPDATE outbox SET refusals = refusals + 1 WHERE id = ?"

_SET_ASIDE = """
UPDATE outbox SET queue = destination || ' ' || position
WHERE id = ? AND state = 'pending' AND queue = destination RETURNING destination, queue
"""

# The ranges are those of the queues of what was set aside, and of what goes to parts of it.
_QUEUES_TO = """
SELECT name, '', NULL, '' FROM queues
WHERE name = ?1 OR name BETWEEN ?1 || ' ' AND ?1 || ' :' OR name BETWEEN ?1 || '/' AND ?1 || '0'
"""

_QUEUE_OF = "SELECT queue, destination, collapse, id FROM outbox WHERE id = ?"

_WELL = "UPDATE queues SET attempts = 0, held_until = 0, since = 0, error = '' WHERE name = ?"

_HELD = "UPDATE queues SET held_until = ? WHERE name = ?"

_FAILED = """
UPDATE queues SET
    held_until = ?2, attempts = attempts + 1, error = ?3,
    since = CASE attempts WHEN 0 THEN ?4 ELSE since END
WHERE name = ?1
"""

_SETTLE = (
    """
    DELETE FROM queues WHERE name IN (SELECT value FROM json_each(?)) AND NOT EXISTS (
        SELECT 1 FROM outbox WHERE queue = queues.name AND state = 'pending'
    )
    """,
    """
    INSERT INTO queues (name, sender, head, due_at)
    SELECT queue, substr(queue, 1, instr(queue, ':') - 1), position, due_at
    FROM json_each(?) names JOIN outbox ON position = (
        SELECT position FROM outbox
        WHERE queue = names.value AND state = 'pending' ORDER BY position LIMIT 1
    )
    WHERE true
    ON CONFLICT (name) DO UPDATE SET
        head = excluded.head, due_at = CASE
            WHEN queues.held_until > excluded.due_at THEN queues.held_until ELSE excluded.due_at
        END
    """,
)

_REVIVE = """
UPDATE outbox SET
    state = 'pending', queue = destination, due_at = ?1, refusals = 0, settled_at = 0, result = ''
WHERE state = 'dead' AND (CAST(?2 AS BIGINT) IS NULL OR position = ?2) RETURNING queue
"""

_DISMISS = """
UPDATE outbox SET state = 'dismissed'
WHERE state = 'dead' AND (CAST(?1 AS BIGINT) IS NULL OR position = ?1)
"""

# An effect is due from when it was made on, so none is made later than now.
_AHEAD = """
SELECT coalesce(max(o.due_at), 0) - ?1 FROM queues q JOIN outbox o ON o.position = q.head
"""

_SET_BACK = (
    "UPDATE outbox SET due_at = due_at - ?2 WHERE state = 'pending' AND due_at > ?1",
    "UPDATE queues SET since = since - ?2 WHERE since > ?1",
    """
    UPDATE queues SET due_at = due_at - ?2,
        held_until = CASE WHEN held_until > ?2 THEN held_until - ?2 ELSE 0 END
    WHERE due_at > ?1
    """,
    "UPDATE arrivals SET due_at = due_at - ?2 WHERE body IS NOT NULL AND due_at > ?1",
)

PRUNE = """
DELETE FROM outbox WHERE position IN (
    SELECT position FROM outbox
    WHERE state IN ('acknowledged', 'superseded', 'dismissed') AND due_at < ? LIMIT ?
)
"""

DUE = """
SELECT
    o.id, o.destination, o.kind, o.payload, o.due_at, o.seq, o.collapse,
    q.attempts, o.refusals, o.queue <> o.destination
FROM queues q JOIN outbox o ON o.position = q.head
WHERE q.sender = ? AND q.due_at <= ? AND o.destination NOT IN (SELECT value FROM json_each(?))
ORDER BY q.due_at, q.head LIMIT ?
"""

NEXT_DUE = "SELECT min(due_at) FROM queues WHERE sender = ?"

TROUBLES = """
SELECT name, attempts, error, since, held_until FROM queues
WHERE sender = ? AND attempts > 0 ORDER BY since LIMIT ?
"""

BACKLOG = """
SELECT q.sender, o.kind, count(*), min(o.due_at)
FROM queues q CROSS JOIN outbox o WHERE o.queue = q.name AND o.state = 'pending'
GROUP BY q.sender, o.kind ORDER BY q.sender, o.kind
"""

DEAD = """
SELECT position, destination, kind, payload, due_at, settled_at, result
FROM outbox INDEXED BY outbox_dead WHERE state = 'dead' AND position > ?
ORDER BY position LIMIT ?
"""

GRAVEYARD = """
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE state = 'dead' LIMIT ?) AS letters),
    (SELECT min(settled_at) FROM outbox WHERE state = 'dead'),
    (SELECT max(settled_at) FROM outbox WHERE state = 'dead')
"""

# The second range is that of the queues of what was set aside.
FATES = """
SELECT DISTINCT kind, state FROM outbox
WHERE queue = ?1 OR queue BETWEEN ?1 || ' ' AND ?1 || ' :'
"""


class Outbox:
    """The writing side of the outbox, within the transaction that is open.

    Until that is committed the lock of `untaken` is to be held.
    """

    def __init__(self, database: Database, untaken: Untaken) -> None:
        self._db = database
        self._untaken = untaken
        highest = database.execute("SELECT coalesce(max(position), 0) FROM outbox").fetchone()
        self._position: int = highest[0]

    def write(self, changes: Sequence[Change]) -> None:
        self._take_up([entry for change in changes for entry in change.outbox])
        touched: dict[str, None] = {}
        for change in changes:
            for done in change.acknowledged:
                told = (done.at, readable(done.result), done.id)
                touched |= self._left(self._queues(_ACKNOWLEDGED, *told))
            for dead in change.given_up:
                told = (dead.at, readable(dead.error), dead.id)
                touched |= self._left(self._queues(_GIVEN_UP, *told))
            for destination in change.released:
                touched |= self._left(self._queues(_QUEUES_TO, destination))
        self._settle(touched)
        for deferred in (d for change in changes for d in change.deferred):
            self._defer(deferred)

    def _take_up(self, entries: Collection[OutboxEntry]) -> None:
        """All at once, so that SQLite does its work while other threads do theirs."""
        if not (news := self._untaken.news(entries)):
            return
        first = self._position + 1
        _ENTRIES.execute(self._db, [self._row(entry) for entry in news])
        self._db.execute(_QUEUE_UP, (first,))
        positions, queues = self._db.execute(SUPERSEDED, (first,)).fetchone()
        if positions not in (None, "[]"):
            self._db.execute(_SUPERSEDE, (positions,))
            self._put_right(queues)

    def _row(self, entry: OutboxEntry) -> Row:
        self._position += 1
        place = (self._position, entry.id, entry.destination, entry.destination)
        what = (entry.kind, entry.collapse, entry.payload, entry.due_at, entry.seq)
        return (*place, *what, "pending", 0, "")

    def _queues(self, statement: str, *values: object) -> dict[str, None]:
        """The queues whose effects the statement names; some sender has had these effects."""
        found = self._db.execute(statement, values).fetchall()
        for _, destination, collapse, id in found:
            self._untaken.let_go((destination, collapse), id)
        return {row[0]: None for row in found}

    def _left(self, queues: dict[str, None]) -> dict[str, None]:
        """The head is gone, or what was in its way: the failures say nothing of the next try."""
        self._db.executemany(_WELL, [(queue,) for queue in queues])
        return queues

    def _settle(self, queues: Collection[str]) -> None:
        if queues:
            self._put_right(as_list(queues))

    def _put_right(self, queues: str) -> None:
        """The heads of these queues; their names as JSON."""
        for statement in _SETTLE:
            self._db.execute(statement, (queues,))

    def _defer(self, deferred: Deferred) -> None:
        if deferred.refused:
            self._db.execute(_REFUSED, (deferred.id,))
        if deferred.aside:
            moved = self._db.execute(_SET_ASIDE, (deferred.id,)).fetchall()
            for destination, queue in moved:
                self._left({destination: None})
                self._settle((destination, queue))
        for queue in self._queues(_QUEUE_OF, deferred.id):
            if deferred.early:
                self._db.execute(_HELD, (deferred.due_at, queue))
            else:
                values = (queue, deferred.due_at, readable(deferred.error), deferred.at)
                self._db.execute(_FAILED, values)
            self._settle((queue,))

    def revive(self, letter: int | None, now: int) -> int:
        """Have one dead letter, or all, sent again, and at once; how many."""
        queues = [row[0] for row in self._db.execute(_REVIVE, (now, letter)).fetchall()]
        self._settle(self._left(dict.fromkeys(queues)))
        return len(queues)

    def dismiss(self, letter: int | None) -> int:
        """Let go of one dead letter, or all; how many."""
        return self._db.execute(_DISMISS, (letter,)).rowcount

    def set_back(self, now: int, by: int | None) -> int:
        """What waits for times of a clock that was ahead waits as long by this one; how far ahead
        that was."""
        if by is None:
            by = max(0, self._db.execute(_AHEAD, (now,)).fetchone()[0])
        if by:
            for statement in _SET_BACK:
                self._db.execute(statement, (now, by))
        return by

    def prune(self, before: int, limit: int) -> int:
        return self._db.execute(PRUNE, (before, limit)).rowcount


def due(database: Database, now: int, room: Mapping[str, int], busy: Collection[str]) -> list[Due]:
    """What each sender may deliver now, up to the room it has, but to no destination in `busy`."""
    given = as_list(busy)
    return [
        _due(row)
        for sender, limit in room.items()
        for row in database.execute(DUE, (sender, now, given, limit))
    ]


def _due(row: tuple[Any, ...]) -> Due:
    id, destination, kind, payload, due_at, seq, collapse, attempts, refusals, aside = row
    entry = OutboxEntry(
        id=id,
        destination=destination,
        kind=kind,
        payload=payload,
        due_at=due_at,
        seq=seq,
        collapse=collapse,
    )
    return Due(entry=entry, attempts=attempts, refusals=refusals, aside=bool(aside))


def trouble(row: tuple[Any, ...]) -> QueueTrouble:
    name, attempts, error, since, held_until = row
    return QueueTrouble(
        destination=name.partition(" ")[0],
        attempts=attempts,
        error=error,
        since=since,
        held_until=held_until,
    )


def backlog(row: tuple[Any, ...]) -> Backlog:
    sender, kind, pending, oldest = row
    return Backlog(sender=sender, kind=kind, pending=pending, oldest=oldest)


def dead_letter(row: tuple[Any, ...]) -> DeadLetter:
    position, destination, kind, payload, due_at, given_up_at, error = row
    return DeadLetter(
        number=position,
        destination=destination,
        kind=kind,
        payload=payload,
        due_at=due_at,
        given_up_at=given_up_at,
        error=error,
    )

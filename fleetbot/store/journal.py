"""One transaction: changes that have gathered, as rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from msgspec.structs import astuple

from fleetbot.domain.events import (
    AGENT_EVENTS,
    FLEET_EVENTS,
    REPO_EVENTS,
    TASK_EVENTS,
    encode,
    event_type,
)
from fleetbot.domain.model import RunId
from fleetbot.domain.upcasts import SCHEMA
from fleetbot.store import identities, outcomes, retention
from fleetbot.store.chain import GENESIS, link
from fleetbot.store.database import Database, Statement
from fleetbot.store.identities import Claim, Enrolment, Identity, Person
from fleetbot.store.insert import Insert, Row, upsert
from fleetbot.store.interface import LogGap
from fleetbot.store.outbox import Outbox
from fleetbot.store.records import (
    LINE_BYTES,
    LOG_BYTES,
    LOG_IS_FULL,
    Anchor,
    Arrival,
    Change,
    LogChunk,
    Posted,
    readable,
)
from fleetbot.store.scope import as_list
from fleetbot.store.untaken import Untaken
from fleetbot.store.views import AGENTS, RECEIPTS, REPOS, RUNS, TASKS, View

_TYPES = {
    event: event_type(event) for event in (*TASK_EVENTS, *AGENT_EVENTS, *FLEET_EVENTS, *REPO_EVENTS)
}

EVENTS = Insert(
    "events", ("seq", "stream", "version", "type", "at", "actor", "cause", "data", "hash", "schema")
)

ARRIVALS = ("key", "kind", "at", "meta", "body", "answer", "due_at", "tries")
TAKEN = Insert("arrivals", ARRIVALS)
KEPT = Insert("arrivals", ARRIVALS, "ON CONFLICT (key) DO NOTHING")
KNOWN = "SELECT key FROM arrivals WHERE key IN (SELECT value FROM json_each(?))"

HANDLED = "UPDATE arrivals SET body = NULL, answer = coalesce(?, answer) WHERE key = ?"

PUT_OFF = "UPDATE arrivals SET due_at = ?, tries = ? WHERE key = ?"

LOG_LINES = Insert("log_lines", ("run", "position", "at", "kind", "text"))

# A message of ours is about one thing for ever; sent again, it is the same one.
POSTED = Insert(
    "posted", ("room", "event", "kind", "subject", "at"), "ON CONFLICT (room, event) DO NOTHING"
)

LOG_EXTENT = """
SELECT coalesce(max(position) + 1, 0), coalesce(sum(length(CAST(text AS BLOB)) + ?), 0)
FROM log_lines WHERE run = ?
"""
_LOGS_KNOWN = 1000
_PORTION = 1000  # rows of a read model that is made anew

PRUNE_ARRIVALS = """
DELETE FROM arrivals WHERE key IN (
    SELECT key FROM arrivals WHERE body IS NULL AND at < ? LIMIT ?
)
"""


Keyed = tuple[
    Insert, Callable[[Change], Iterable[Any]], Callable[[Any], object], Callable[[Any], Row]
]


def _newest_of(view: View, field: str, key: str) -> Keyed:
    insert = upsert(view.table, view.columns, view.fixed)
    return insert, attrgetter(field), attrgetter(key), view.row


def _identity(kind: type[Identity], table: str) -> Keyed:
    columns = kind.__struct_fields__
    return upsert(table, columns), attrgetter(table), attrgetter(columns[0]), astuple


def _anchor(anchor: Anchor) -> Row:
    return (anchor.key, readable(anchor.value))


def _posted(post: Posted) -> Row:
    return (post.room, post.event, post.kind, post.subject, post.at)


def _person(person: Person) -> Row:
    """An account has one owner, however it is spelt."""
    return (person.login.lower(), person.mxid, person.proven_at)


# Of these only the newest value of a key is written: statement, field, key, row.
_NEWEST: tuple[Keyed, ...] = (
    _newest_of(TASKS, "tasks", "id"),
    _newest_of(RUNS, "runs", "id"),
    _newest_of(RECEIPTS, "receipts", "receipt.id"),
    _newest_of(AGENTS, "agents", "name"),
    _newest_of(REPOS, "repos", "id"),
    (upsert("anchors", ("key", "value")), attrgetter("anchors"), attrgetter("key"), _anchor),
    (POSTED, attrgetter("posted"), attrgetter("room", "event"), _posted),
    (
        upsert("people", Person.__struct_fields__),
        attrgetter("people"),
        lambda person: person.login.lower(),
        _person,
    ),
    _identity(Claim, "claims"),
    _identity(Enrolment, "enrolments"),
)


class OutOfStep(Exception):
    """Memory and journal disagree on what comes next."""


class Journal:
    """The writing side of one connection; knows where the journal ends."""

    def __init__(self, database: Database, untaken: Untaken) -> None:
        self._db = database
        self._untaken = untaken
        self._read()

    def _read(self) -> None:
        last = self._db.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        self._seq: int = last[0] if last else 0
        self._hash: bytes = last[1] if last else GENESIS
        self.outbox = Outbox(self._db, self._untaken)
        self._logs: dict[RunId, tuple[int, int]] = {}

    def reread(self) -> None:
        """After a rollback. The lock of the effects that are untaken is to be held."""
        self._untaken.forget()
        self._read()

    def write(self, changes: Sequence[Change]) -> None:
        """Writes what the changes hold but for the outbox, within the transaction that is open."""
        EVENTS.execute(self._db, self._lines(changes))
        for insert, field, key, row in _NEWEST:
            newest = {key(value): value for change in changes for value in field(change)}
            insert.execute(self._db, [row(value) for value in newest.values()])
        self._write_took(changes)
        self._write_tokens(changes)
        self._write_inbox(changes)

    def _execute(self, statement: str, rows: Collection[Row]) -> None:
        if rows:
            self._db.executemany(statement, rows)

    def _lines(self, changes: Sequence[Change]) -> list[Row]:
        rows: list[Row] = []
        for line in chain.from_iterable(change.events for change in changes):
            self._seq += 1
            if line.seq != self._seq:
                raise OutOfStep(f"event {line.seq} follows {self._seq - 1} in the journal")
            actor, cause = readable(line.actor), readable(line.cause)
            place = (line.seq, line.stream, line.version, line.at, actor, cause)
            data = encode(line.event)
            self._hash = link(self._hash, *place, data, SCHEMA)
            rows.append(
                (
                    line.seq,
                    line.stream,
                    line.version,
                    _TYPES[type(line.event)],
                    line.at,
                    actor,
                    cause,
                    data.decode(),
                    self._hash,
                    SCHEMA,
                )
            )
        return rows

    def _write_took(self, changes: Sequence[Change]) -> None:
        """How long a run's task had taken when it ended: a run does not know when that began."""
        ended = {run.id for change in changes for run in change.runs if run.ended_at}
        self._execute(f"{outcomes.TOOK} AND id = ?", [(run,) for run in ended])

    def _write_tokens(self, changes: Sequence[Change]) -> None:
        newest = {token.agent: token for change in changes for token in change.tokens}
        self._execute("DELETE FROM agent_tokens WHERE agent = ?", [(agent,) for agent in newest])
        held = [(token.agent, token.hash) for token in newest.values() if token.hash]
        self._execute("INSERT INTO agent_tokens (agent, hash) VALUES (?, ?)", held)

    def _write_inbox(self, changes: Sequence[Change]) -> None:
        arrived: list[Row] = []
        acted_on: list[Row] = []
        for change in changes:
            if change.arrivals:
                rows = acted_on if change.events else arrived
                rows += map(_arrival, change.arrivals)
        TAKEN.execute(self._db, acted_on)
        KEPT.execute(self._db, arrived)
        self._execute(HANDLED, [(h.answer, h.key) for c in changes for h in c.handled])
        self._execute(PUT_OFF, [(p.due_at, p.tries, p.key) for c in changes for p in c.put_off])

    def keep(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Of each whether its key is new; only then it is written."""
        if not arrivals:
            return []
        keys = as_list(arrival.key for arrival in arrivals)
        known = {row[0] for row in self._db.execute(KNOWN, (keys,))}
        new: dict[str, Arrival] = {}
        for arrival in arrivals:
            if arrival.key not in known:
                new.setdefault(arrival.key, arrival)
        TAKEN.execute(self._db, list(map(_arrival, new.values())))
        return [new.get(arrival.key) is arrival for arrival in arrivals]

    def append_log(self, chunk: LogChunk) -> int:
        """How many lines are dealt with: stored now or before, or dropped behind a full log."""
        length, size = self._log_extent(chunk.run)
        end = chunk.offset + len(chunk.lines)
        if size >= LOG_BYTES:
            return end
        if chunk.offset > length:
            raise LogGap(chunk.run, chunk.offset, length)
        kept: list[tuple[int, str, str]] = []
        for line in chunk.lines[length - chunk.offset :]:
            text = readable(line.text)
            kept.append((line.at, line.kind, text))
            size += LINE_BYTES + len(text.encode())
            if size >= LOG_BYTES:
                kept.append((line.at, LOG_IS_FULL.kind, LOG_IS_FULL.text))
                break
        rows = [(chunk.run, place, *line) for place, line in enumerate(kept, start=length)]
        LOG_LINES.execute(self._db, rows)
        self._logs[chunk.run] = (length + len(kept), size)
        return max(end, length)

    def _log_extent(self, run: RunId) -> tuple[int, int]:
        """The log's length in lines and bytes; summed up once, not with every chunk."""
        if run not in self._logs:
            if len(self._logs) >= _LOGS_KNOWN:
                self._logs.clear()
            self._logs[run] = self._db.execute(LOG_EXTENT, (LINE_BYTES, run)).fetchone()
        return self._logs[run]

    def change(self, statements: Sequence[Statement]) -> list[int]:
        """How many rows each has changed. None adds a line: those are counted."""
        return [self._db.execute(text, values).rowcount for text, values in statements]

    def prune(self, before: int, limit: int) -> int:
        """Deletes up to `limit` effects and as many arrivals; returns how many it were."""
        effects = self.outbox.prune(before, limit)
        arrivals = self._db.execute(PRUNE_ARRIVALS, (before, limit)).rowcount
        identities.prune(self._db, before)
        return effects + arrivals

    def delete_logs(self, runs: Sequence[RunId]) -> int:
        for run in runs:
            self._logs.pop(run, None)
        return retention.delete_logs(self._db, runs)

    def prune_anchors(self, before: int) -> int:
        return retention.prune_anchors(self._db, before)

    def prune_posted(self, before: int) -> None:
        retention.prune_posted(self._db, before)


def _arrival(a: Arrival) -> Row:
    return (a.key, a.kind, a.at, a.meta, a.body, a.answer, a.due_at, a.tries)

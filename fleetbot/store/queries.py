"""What a store can be asked, each question as its SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import msgspec

from fleetbot.domain.events import Recorded
from fleetbot.domain.model import (
    Agent,
    AgentName,
    FiledReceipt,
    ReceiptId,
    Repo,
    Run,
    RunId,
    Task,
    TaskId,
    TaskState,
)
from fleetbot.domain.repositories import at_home
from fleetbot.store import identities, outbox, outcomes, spending, totals
from fleetbot.store.auditable import Auditable, Row
from fleetbot.store.database import Source
from fleetbot.store.figures import Outcomes, RunTotals, UsageBy, UsageSum
from fleetbot.store.identities import Claim, Enrolment, Identity
from fleetbot.store.interface import Unreadable
from fleetbot.store.reader import Reader
from fleetbot.store.records import (
    Acknowledged,
    Arrival,
    Backlog,
    DeadLetter,
    Graveyard,
    LogLine,
    Posted,
    PostKind,
    QueueTrouble,
    Shelved,
    Standing,
)
from fleetbot.store.scope import Repos, as_list, named
from fleetbot.store.snapshot import (
    EVENTS,
    decode_agent,
    decode_receipt,
    decode_repo,
    decode_run,
    decode_task,
    marks,
    recorded,
)

T = TypeVar("T")
Its = TypeVar("Its", bound=Identity)

_STANDING = """
SELECT t.data, r.data, c.data, p.data FROM tasks t {index}
LEFT JOIN runs r ON r.id = t.run
LEFT JOIN receipts c ON c.id = t.receipt
LEFT JOIN repos p ON p.id = CAST(t.repo_id AS TEXT)
"""
_ALL = 2**63 - 1
_SHELVED = """
SELECT a.version, s.name FROM archived a
JOIN segments s ON s.first <= a.last_seq AND s.last >= a.last_seq
WHERE a.stream = ?
"""
_POSTED = "SELECT room, event, kind, subject, at FROM posted"
STANDING = f"{_STANDING.format(index='')} WHERE t.id = ?"
ENDED = f"""{_STANDING.format(index="INDEXED BY tasks_ended")}
WHERE t.state IN ('completed', 'cancelled') AND t.updated_at >= ?
    AND (t.repo_id = ? OR (t.repo_id = 0 AND lower(t.repo) = lower(CAST(? AS TEXT))))
"""
FILING = """
SELECT t.data, r.data, c.data, p.data FROM receipts c
JOIN tasks t ON t.id = c.task
JOIN runs r ON r.id = c.run
LEFT JOIN repos p ON p.id = CAST(t.repo_id AS TEXT)
WHERE c.id = ?
"""
# Each half by the index that keeps one issue from becoming two tasks.
BY_ISSUE = f"""
SELECT data FROM (
    SELECT data, repo_id, created_at FROM tasks
    WHERE repo_id = ? AND repo_id > 0 AND issue = ? AND issue > 0
    UNION ALL
    SELECT data, repo_id, created_at FROM tasks
    WHERE issue = ? AND issue > 0 AND repo_id = 0 AND {named("repo")}
) AS found
ORDER BY repo_id DESC, created_at DESC LIMIT 1
"""
CARDS = f"""
SELECT DISTINCT subject FROM posted WHERE kind = '{PostKind.CARD}'
    AND subject IN (SELECT id FROM tasks WHERE state NOT IN ('completed', 'cancelled'))
"""
ARRIVALS = "SELECT key, kind, at, body, answer, meta, due_at, tries FROM arrivals"


class Queries(Auditable):
    """The reading half of `Store`. What walks over many rows is asked apart, as a report, so that
    nobody who asks for one row waits for it."""

    def __init__(self, source: Source) -> None:
        self._reads = Reader(source, "fleetbot-reads")
        self._reports = Reader(source, "fleetbot-reports")

    async def task(self, task: TaskId) -> Task | None:
        return await self._value(decode_task, "SELECT data FROM tasks WHERE id = ?", task)

    async def task_by_issue(self, repo_id: int, names: Collection[str], issue: int) -> Task | None:
        values = (repo_id, issue, issue, as_list(names))
        return await self._value(decode_task, BY_ISSUE, *values)

    async def without_repo_id(
        self, names: Collection[str], after: TaskId, limit: int
    ) -> list[Task]:
        query = f"""
            SELECT data FROM tasks WHERE repo_id = 0 AND issue > 0 AND {named("repo")} AND id > ?
            ORDER BY id LIMIT ?
        """
        return await self._values(decode_task, query, as_list(names), after, limit)

    async def watched(self, after: TaskId, limit: int) -> list[Task]:
        query = "SELECT data FROM tasks WHERE watched = 1 AND id > ? ORDER BY id LIMIT ?"
        return await self._values(decode_task, query, after, limit)

    async def tasks(
        self,
        *,
        states: Collection[TaskState] = (),
        repo: Repo | None = None,
        agent: AgentName | None = None,
        limit: int = 100,
        before: TaskId | None = None,
    ) -> list[Task]:
        terms: list[str] = ["1 = 1"]
        values: list[object] = []
        if states:
            terms.append(f"state IN ({marks(states)})")
            values += [state.value for state in states]
        if repo is not None:
            term, of_repo = _of_repo(repo.id, repo.names)
            terms.append(term)
            values += of_repo
        if agent is not None:
            terms.append("run IN (SELECT id FROM runs WHERE agent = ?)")
            values.append(agent)
        if before is not None:
            terms.append("(created_at, id) < (SELECT created_at, id FROM tasks WHERE id = ?)")
            values.append(before)
        query = f"SELECT data FROM tasks WHERE {' AND '.join(terms)}"
        newest_first = " ORDER BY created_at DESC, id DESC LIMIT ?"
        return _decoded(decode_task, await self._reports.rows(query + newest_first, *values, limit))

    async def run(self, run: RunId) -> Run | None:
        return await self._value(decode_run, "SELECT data FROM runs WHERE id = ?", run)

    async def repos_of_agent(self, agent: AgentName) -> frozenset[str]:
        query = """
            SELECT DISTINCT t.repo FROM tasks t WHERE t.id IN (
                SELECT task FROM runs WHERE agent = ? ORDER BY assigned_at DESC LIMIT 1000
            )
        """
        return frozenset(repo for (repo,) in await self._reports.rows(query, agent))

    async def runs_of(self, task: TaskId) -> list[Run]:
        query = "SELECT data FROM runs WHERE task = ? ORDER BY assigned_at, id"
        return await self._values(decode_run, query, task)

    async def usage(
        self, *, since: int = 0, until: int | None = None, repos: Repos = None
    ) -> UsageSum:
        query, values = spending.total(since, until, repos)
        return spending.summed((await self._reports.rows(query, *values))[0])

    async def usage_by(
        self,
        by: UsageBy,
        *,
        since: int = 0,
        until: int | None = None,
        repos: Repos = None,
        limit: int = 100,
    ) -> list[UsageSum]:
        query, values = spending.by(by, since, until, repos, limit)
        return [spending.summed(row, by) for row in await self._reports.rows(query, *values)]

    async def outcomes(
        self, since: int, until: int, span_ms: int, repos: Repos = None
    ) -> list[Outcomes]:
        query, values = outcomes.outcomes(since, until, span_ms, repos)
        rows = await self._reports.run(lambda database: database.execute(query, values).fetchall())
        return [outcomes.outcome(row, since, span_ms) for row in rows]

    async def run_totals(
        self, since: int, until: int | None, bounds_ms: Sequence[int]
    ) -> list[RunTotals]:
        query, values = totals.totals(since, until, bounds_ms)
        return [totals.total(row) for row in await self._reports.rows(query, *values)]

    async def took(
        self, since: int, until: int, repos: Repos = None
    ) -> tuple[int | None, int | None]:
        query, values = outcomes.took(since, until, repos)
        rows = await self._reports.run(lambda database: database.execute(query, values).fetchall())
        median, p90 = rows[0]
        return median, p90

    async def receipt(self, receipt: ReceiptId) -> FiledReceipt | None:
        return await self._value(decode_receipt, "SELECT data FROM receipts WHERE id = ?", receipt)

    async def receipts_of(self, task: TaskId) -> list[FiledReceipt]:
        query = "SELECT data FROM receipts WHERE task = ? ORDER BY filed_at, id"
        return await self._values(decode_receipt, query, task)

    async def agent(self, agent: AgentName) -> Agent | None:
        return await self._value(decode_agent, "SELECT data FROM agents WHERE name = ?", agent)

    async def events(
        self, stream: str | None = None, *, after: int = 0, limit: int = 500
    ) -> list[Recorded]:
        if stream is None:
            rows = await self._reads.rows(
                f"{EVENTS} WHERE seq > ? ORDER BY seq LIMIT ?", after, limit
            )
        else:
            query = f"{EVENTS} WHERE stream = ? AND seq > ? ORDER BY version LIMIT ?"
            rows = await self._reads.rows(query, stream, after, limit)
        return list(map(_line, rows))

    async def shelved(self, stream: str) -> Shelved | None:
        rows = await self._reads.rows(_SHELVED, stream)
        return Shelved(lines=rows[0][0], file=rows[0][1]) if rows else None

    async def arrival(self, key: str) -> Arrival | None:
        rows = await self._reads.rows(f"{ARRIVALS} WHERE key = ?", key)
        return _arrival(rows[0]) if rows else None

    async def arrivals_due(self, kind: str, now: int, limit: int = 100) -> list[Arrival]:
        query = f"""
            {ARRIVALS} WHERE kind = ? AND body IS NOT NULL AND due_at <= ?
            ORDER BY due_at, at, key LIMIT ?
        """
        return [_arrival(row) for row in await self._reads.rows(query, kind, now, limit)]

    async def next_arrival(self, kind: str) -> int | None:
        query = "SELECT min(due_at) FROM arrivals WHERE kind = ? AND body IS NOT NULL"
        due: int | None = (await self._reads.rows(query, kind))[0][0]
        return due

    async def next_due(self, sender: str) -> int | None:
        due: int | None = (await self._reads.rows(outbox.NEXT_DUE, sender))[0][0]
        return due

    async def backlog(self) -> list[Backlog]:
        return [outbox.backlog(row) for row in await self._reports.rows(outbox.BACKLOG)]

    async def troubles(self, sender: str, limit: int) -> list[QueueTrouble]:
        return [
            outbox.trouble(row) for row in await self._reports.rows(outbox.TROUBLES, sender, limit)
        ]

    async def graveyard(self, limit: int = -1) -> Graveyard:
        letters, oldest, newest = (
            await self._reports.rows(outbox.GRAVEYARD, limit if limit >= 0 else _ALL)
        )[0]
        return Graveyard(letters=letters, oldest=oldest, newest=newest)

    async def dead_letters(self, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        return [
            outbox.dead_letter(row) for row in await self._reports.rows(outbox.DEAD, after, limit)
        ]

    async def fates(self, destination: str) -> frozenset[tuple[str, str]]:
        return frozenset(await self._reads.rows(outbox.FATES, destination))

    async def acknowledged(self, id: str) -> Acknowledged | None:
        query = "SELECT id, settled_at, result FROM outbox WHERE id = ? AND state = 'acknowledged'"
        rows = await self._reads.rows(query, id)
        return Acknowledged(id=rows[0][0], at=rows[0][1], result=rows[0][2]) if rows else None

    async def standing(self, task: TaskId) -> Standing | None:
        rows = await self._reads.rows(STANDING, task)
        return _standing(rows[0]) if rows else None

    async def filing(self, receipt: ReceiptId) -> Standing | None:
        rows = await self._reads.rows(FILING, receipt)
        return _standing(rows[0]) if rows else None

    async def ended(self, repo: Repo, since: int) -> list[Standing]:
        rows = await self._reports.rows(ENDED, since, repo.id, repo.name)
        return [_standing(row) for row in rows]

    async def anchor(self, key: str) -> str | None:
        return await self._value(str, "SELECT value FROM anchors WHERE key = ?", key)

    async def posted(self, room: str, event: str) -> Posted | None:
        rows = await self._reads.rows(f"{_POSTED} WHERE room = ? AND event = ?", room, event)
        return _posted(rows[0]) if rows else None

    async def post_of(self, room: str, kind: PostKind, subject: str) -> Posted | None:
        newest = "WHERE room = ? AND kind = ? AND subject = ? ORDER BY at DESC LIMIT 1"
        rows = await self._reads.rows(f"{_POSTED} {newest}", room, kind, subject)
        return _posted(rows[0]) if rows else None

    async def cards(self) -> list[TaskId]:
        return [TaskId(task) for (task,) in await self._reports.rows(CARDS)]

    async def claim(self, mxid: str) -> Claim | None:
        rows = await self._reads.rows(identities.CLAIM, mxid)
        return _identity(Claim, rows[0]) if rows else None

    async def claims(self, now: int) -> list[Claim]:
        rows = await self._reads.rows(identities.CLAIMS, now)
        return [_identity(Claim, row) for row in rows]

    async def enrolment(self, hash: bytes) -> Enrolment | None:
        rows = await self._reads.rows(identities.ENROLMENT_OF_HASH, hash)
        return _identity(Enrolment, rows[0]) if rows else None

    async def enrolments_of(self, agent: AgentName) -> list[Enrolment]:
        rows = await self._reads.rows(identities.ENROLMENTS_OF_AGENT, agent)
        return [_identity(Enrolment, row) for row in rows]

    async def enrolments_told(self) -> list[Enrolment]:
        rows = await self._reads.rows(identities.ENROLMENTS_TOLD)
        return [_identity(Enrolment, row) for row in rows]

    async def log_lines(self, run: RunId, offset: int = 0, limit: int = 1000) -> list[LogLine]:
        query = """
            SELECT at, kind, text FROM log_lines
            WHERE run = ? AND position >= ? ORDER BY position LIMIT ?
        """
        return [LogLine(*row) for row in await self._reads.rows(query, run, offset, limit)]

    async def log_length(self, run: RunId) -> int:
        query = "SELECT coalesce(max(position) + 1, 0) FROM log_lines WHERE run = ?"
        return int((await self._reads.rows(query, run))[0][0])

    async def rows(self, query: str, *values: object) -> list[Row]:
        return await self._reports.rows(query, *values)

    async def _value(self, of: Callable[[Any], T], query: str, *values: object) -> T | None:
        found = await self._values(of, query, *values)
        return found[0] if found else None

    async def _values(self, of: Callable[[Any], T], query: str, *values: object) -> list[T]:
        return _decoded(of, await self._reads.rows(query, *values))


def _decoded(of: Callable[[Any], T], rows: Sequence[tuple[Any, ...]]) -> list[T]:
    try:
        return [of(row[0]) for row in rows]
    except msgspec.DecodeError as error:
        raise _unreadable(error) from error


def _posted(row: tuple[Any, ...]) -> Posted:
    room, event, kind, subject, at = row
    return Posted(room=room, event=event, kind=PostKind(kind), subject=subject, at=at)


def _identity(kind: type[Its], row: tuple[Any, ...]) -> Its:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


def _line(row: tuple[Any, ...]) -> Recorded:
    try:
        return recorded(row)
    except msgspec.DecodeError as error:
        raise Unreadable(f"Event {row[0]} cannot be read ({error}): restore a backup.") from error


def _unreadable(error: msgspec.DecodeError) -> Unreadable:
    return Unreadable(
        f"A row cannot be read ({error}): stop fleetbot and run `fleetbot db rebuild`."
    )


def _of_repo(repo_id: int, names: Collection[str]) -> tuple[str, list[object]]:
    """The condition for a task's being the repository's; names without a case."""
    condition = f"(repo_id = ? AND repo_id > 0 OR repo_id = 0 AND {named('repo')})"
    return condition, [repo_id, as_list(names)]


def _standing(row: tuple[Any, ...]) -> Standing:
    task, run, receipt, repo = row
    try:
        return Standing(
            task=at_home(decode_task(task), decode_repo(repo)) if repo else decode_task(task),
            run=decode_run(run) if run else None,
            receipt=decode_receipt(receipt) if receipt else None,
        )
    except msgspec.DecodeError as error:
        raise _unreadable(error) from error


def _arrival(row: tuple[Any, ...]) -> Arrival:
    key, kind, at, body, answer, meta, due_at, tries = row
    return Arrival(
        key=key,
        kind=kind,
        at=at,
        body=body,
        answer=answer,
        meta=meta,
        due_at=due_at,
        tries=tries,
    )

"""The store on SQLite: appends go to the writer's thread, reads to a connection of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

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
from fleetbot.store import outbox, spending
from fleetbot.store.interface import StoreUnavailable, Unreadable
from fleetbot.store.journal import Journal
from fleetbot.store.lock import ProcessLock
from fleetbot.store.reader import Reader
from fleetbot.store.records import (
    Acknowledged,
    AgentToken,
    Arrival,
    Backlog,
    Change,
    DeadLetter,
    Due,
    Graveyard,
    JournalLine,
    LogChunk,
    LogLine,
    Models,
    QueueTrouble,
    Snapshot,
    Standing,
    UsageBy,
    UsageSum,
)
from fleetbot.store.retention import OLD_LOGS
from fleetbot.store.snapshot import (
    EVENTS,
    decode_agent,
    decode_receipt,
    decode_repo,
    decode_run,
    decode_task,
    marks,
    recorded,
    snapshot,
)
from fleetbot.store.views import VIEWS
from fleetbot.store.writer import Writer

T = TypeVar("T")

_PRUNED_AT_ONCE = 2000
_LOGS_AT_ONCE = 20

_STANDING = """
SELECT t.data, r.data, c.data, p.data FROM tasks t {index}
LEFT JOIN runs r ON r.id = t.run
LEFT JOIN receipts c ON c.id = json_extract(t.data, '$.receipt')
LEFT JOIN repos p ON p.id = CAST(t.repo_id AS TEXT)
"""
STANDING = f"{_STANDING.format(index='')} WHERE t.id = ?"
ENDED = f"""{_STANDING.format(index="INDEXED BY tasks_ended")}
WHERE t.state IN ('completed', 'cancelled') AND json_extract(t.data, '$.updated_at') >= ?
    AND (t.repo_id = ? OR (t.repo_id = 0 AND t.repo = ? COLLATE NOCASE))
"""
FILING = """
SELECT t.data, r.data, c.data, p.data FROM receipts c
JOIN tasks t ON t.id = c.task
JOIN runs r ON r.id = json_extract(c.data, '$.run')
LEFT JOIN repos p ON p.id = CAST(t.repo_id AS TEXT)
WHERE c.id = ?
"""
ARRIVALS = "SELECT key, kind, at, body, answer, meta, due_at, tries FROM arrivals"
LINES = "SELECT seq, stream, version, type, at, actor, cause, data, hash, schema FROM events"


class SqliteStore:
    """`Store` on one SQLite file that migrations have been applied to; see `journal.Store`.

    `synchronous=NORMAL` survives a killed process but not a power cut.
    """

    def __init__(self, path: Path, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> None:
        self._path = path
        self._synchronous = synchronous
        self._lock = ProcessLock(path)
        self._writer: Writer | None = None
        self._loaded = False
        self._reads = Reader(path, "fleetbot-reads")
        self._reports = Reader(path, "fleetbot-reports")  # what walks over many rows
        self._tokens: dict[AgentName, bytes] = {}  # asked with every request, changed rarely
        self._holders: dict[bytes, AgentName] = {}

    async def open(self) -> None:
        await self._retire_writer()
        self._lock.acquire()
        self._reads.open()
        self._reports.open()
        self._writer = Writer(self._path, self._synchronous)
        await self._writer.start()

    async def load(self) -> Snapshot:
        await self.open()
        found = await self._reads.run(snapshot)
        self._tokens, self._holders = {}, {}
        for agent, hash in await self._reads.rows("SELECT agent, hash FROM agent_tokens"):
            self._hold(AgentToken(agent=agent, hash=hash))
        self._loaded = True
        return found

    async def close(self) -> None:
        await self._retire_writer()
        for reader in (self._reads, self._reports):
            await reader.close()
        self._lock.release()

    async def _retire_writer(self) -> None:
        self._loaded = False
        if self._writer is not None:
            await self._writer.stop()
            self._writer = None

    # writing

    @property
    def loaded(self) -> bool:
        return self._loaded and self._writer is not None and self._writer.accepts

    def submit(self, change: Change) -> asyncio.Future[None]:
        durable = self._loaded_writer().submit(change)
        if change.tokens:
            durable.add_done_callback(partial(self._learn, change.tokens))
        return durable

    def _learn(self, tokens: Sequence[AgentToken], durable: asyncio.Future[None]) -> None:
        if not durable.cancelled() and durable.exception() is None:
            for token in tokens:
                self._hold(token)

    def _hold(self, token: AgentToken) -> None:
        if (old := self._tokens.pop(token.agent, None)) is not None:
            self._holders.pop(old, None)
        if token.hash is not None:
            self._tokens[token.agent] = token.hash
            self._holders[token.hash] = token.agent

    async def append(self, change: Change) -> None:
        await self.submit(change)

    async def keep(self, arrival: Arrival) -> bool:
        kept: bool = await self._loaded_writer().submit(arrival)
        return kept

    async def append_log(self, chunk: LogChunk) -> int:
        writer = self._loaded_writer()
        length: int = await writer.submit(lambda journal: journal.append_log(chunk))
        return length

    async def prune(self, before: int) -> int:
        def prune(journal: Journal) -> int:
            return journal.prune(before, _PRUNED_AT_ONCE)

        total = 0
        while True:  # in portions, so that appends get their turn in between
            pruned: int = await self._loaded_writer().submit(prune)
            total += pruned
            if pruned < _PRUNED_AT_ONCE:
                return total

    async def prune_logs(self, before: int) -> int:
        writer, lines = self._loaded_writer(), 0
        while rows := await self._reports.rows(OLD_LOGS, before, _LOGS_AT_ONCE):
            runs = [RunId(run) for (run,) in rows]
            lines += await writer.submit(partial(Journal.delete_logs, runs=runs))
        await writer.submit(partial(Journal.prune_anchors, before=before))
        return lines

    async def revive(self, letter: int | None, now: int) -> int:
        def revive(journal: Journal) -> int:
            return journal.outbox.revive(letter, now)

        revived: int = await self._loaded_writer().submit(revive)
        return revived

    async def dismiss(self, letter: int | None) -> int:
        writer = self._loaded_writer()
        dismissed: int = await writer.submit(lambda journal: journal.outbox.dismiss(letter))
        return dismissed

    async def replace_models(self, models: Models) -> None:
        await self._open_writer().submit(lambda journal: journal.replace_models(models))

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailable("the store is not open")
        return self._writer

    def _loaded_writer(self) -> Writer:
        if not self._loaded:
            raise StoreUnavailable("the store must be loaded first")
        return self._open_writer()

    # reading

    async def task(self, task: TaskId) -> Task | None:
        return await self._value(decode_task, "SELECT data FROM tasks WHERE id = ?", task)

    async def task_by_issue(self, repo_id: int, names: Collection[str], issue: int) -> Task | None:
        where, values = _of_repo(repo_id, names)
        query = f"SELECT data FROM tasks WHERE issue = ? AND issue > 0 AND {where}"
        newest = " ORDER BY repo_id DESC, created_at DESC LIMIT 1"
        return await self._value(decode_task, query + newest, issue, *values)

    async def without_repo_id(
        self, names: Collection[str], after: TaskId, limit: int
    ) -> list[Task]:
        where = f"repo_id = 0 AND issue > 0 AND repo COLLATE NOCASE IN ({marks(names)}) AND id > ?"
        query = f"SELECT data FROM tasks WHERE {where} ORDER BY id LIMIT ?"
        return await self._values(decode_task, query, *names, after, limit)

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

    async def runs_of(self, task: TaskId) -> list[Run]:
        query = "SELECT data FROM runs WHERE task = ? ORDER BY assigned_at, id"
        return await self._values(decode_run, query, task)

    async def usage(self, *, since: int = 0, until: int | None = None) -> UsageSum:
        query, values = spending.total(since, until)
        return spending.summed((await self._reports.rows(query, *values))[0])

    async def usage_by(
        self, by: UsageBy, *, since: int = 0, until: int | None = None, limit: int = 100
    ) -> list[UsageSum]:
        query, values = spending.by(by, since, until, limit)
        return [spending.summed(row, by) for row in await self._reports.rows(query, *values)]

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
        return [recorded(row) for row in rows]

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

    async def due(self, now: int, room: Mapping[str, int], busy: Collection[str] = ()) -> list[Due]:
        return await self._reads.run(lambda database: outbox.due(database, now, room, busy))

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
        letters, oldest, newest = (await self._reports.rows(outbox.GRAVEYARD, limit))[0]
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

    async def token_hash(self, agent: AgentName) -> bytes | None:
        return self._tokens.get(agent)

    async def agent_by_token_hash(self, hash: bytes) -> AgentName | None:
        return self._holders.get(hash)

    async def log_lines(self, run: RunId, offset: int = 0, limit: int = 1000) -> list[LogLine]:
        query = """
            SELECT at, kind, text FROM log_lines
            WHERE run = ? AND position >= ? ORDER BY position LIMIT ?
        """
        return [LogLine(*row) for row in await self._reads.rows(query, run, offset, limit)]

    async def log_length(self, run: RunId) -> int:
        query = "SELECT coalesce(max(position) + 1, 0) FROM log_lines WHERE run = ?"
        return int((await self._reads.rows(query, run))[0][0])

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]:
        query = f"{LINES} WHERE seq > ? ORDER BY seq LIMIT ?"
        return [JournalLine(*row) for row in await self._reports.rows(query, after, limit)]

    async def stream_lines(
        self, prefix: str, after: tuple[str, int], limit: int
    ) -> list[JournalLine]:
        query = f"""
            {LINES} WHERE (stream, version) > (?, ?) AND stream < ?
            ORDER BY stream, version LIMIT ?
        """
        rows = await self._reports.rows(query, *after, f"{prefix}\U0010ffff", limit)
        return [JournalLine(*row) for row in rows]

    async def model_rows(
        self, view: str, column: str, after: str, last: str
    ) -> list[tuple[object, ...]]:
        columns = ", ".join(VIEWS[view].columns)
        query = f"""
            SELECT {columns} FROM {view}
            WHERE {column} > ? AND {column} <= ? ORDER BY {column}
        """
        return await self._reports.rows(query, after, last)

    async def _value(self, of: Callable[[Any], T], query: str, *values: object) -> T | None:
        found = await self._values(of, query, *values)
        return found[0] if found else None

    async def _values(self, of: Callable[[Any], T], query: str, *values: object) -> list[T]:
        return _decoded(of, await self._reads.rows(query, *values))


def _decoded(of: Callable[[Any], T], rows: Sequence[tuple[Any, ...]]) -> list[T]:
    try:
        return [of(row[0]) for row in rows]
    except msgspec.DecodeError as error:
        raise Unreadable(
            f"A row cannot be read ({error}): stop fleetbot and run `fleetbot db rebuild`."
        ) from error


def _of_repo(repo_id: int, names: Collection[str]) -> tuple[str, list[object]]:
    """The condition for a task's being the repository's; names without a case."""
    unknown = f"repo_id = 0 AND repo COLLATE NOCASE IN ({marks(names)})"
    return f"(repo_id = ? AND repo_id > 0 OR {unknown})", [repo_id, *names]


def _standing(row: tuple[Any, ...]) -> Standing:
    task, run, receipt, repo = row
    return Standing(
        task=at_home(decode_task(task), decode_repo(repo)) if repo else decode_task(task),
        run=decode_run(run) if run else None,
        receipt=decode_receipt(receipt) if receipt else None,
    )


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

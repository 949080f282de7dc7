"""What is kept, in what shape, and what a store promises.

A `Change` is one decision: its events, the values they lead to, and what the outside must be told,
durable together or not at all. Memory decides; the store refuses what memory cannot have meant.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

import msgspec

from fleetbot.domain.errors import Conflict
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import (
    Agent,
    AgentName,
    FiledReceipt,
    ReceiptId,
    Run,
    RunId,
    Task,
    TaskId,
    TaskState,
    Usage,
)


class StoreUnavailable(Exception):
    """The database refuses, or is not loaded.

    After an append that raised this no other is taken until `load`: memory has been decided on
    events that never landed, so it must be read again from disk first.
    """


class LogGap(Conflict):
    """Log lines before `offset` are missing; send again from `length`, what is stored so far."""

    def __init__(self, run: RunId, offset: int, length: int) -> None:
        super().__init__(
            f"run {run} has {length} log lines; lines from {offset} would leave a gap:"
            f" send again from {length}",
            field="offset",
        )
        self.length = length


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what the store keeps beside the domain's values. Times are epoch milliseconds."""


class Arrival(Row, frozen=True):
    """Something that came in: a webhook delivery, a claim, a receipt, by its idempotency key.

    `body` is what is still to be acted on; None when the change that records the arrival also deals
    with it. `answer` is what a second arrival with the same key is told. `meta` is small, e.g. the
    type of a webhook event.
    """

    key: str
    kind: str
    at: int
    body: bytes | None = None
    answer: bytes | None = None
    meta: str = ""


class Handled(Row, frozen=True):
    """Marks an arrival as done: its body is dropped, its answer kept."""

    key: str
    answer: bytes | None = None


class OutboxEntry(Row, frozen=True):
    """An effect to be delivered; order holds per destination, in the order of insertion.

    `id` is derived from the effect: a second entry with the same id is ignored. A newer entry with
    the same (`destination`, `collapse`) supersedes older ones that are not delivered yet. `seq` is
    the event that caused it, 0 if none did.
    """

    id: str
    destination: str
    kind: str
    payload: bytes
    due_at: int
    seq: int = 0
    collapse: str | None = None


class Due(Row, frozen=True):
    """An entry that may be delivered now.

    `attempts` counts the failures at its destination since the last success there: that of an entry
    would start anew whenever a newer one supersedes it.
    """

    entry: OutboxEntry
    attempts: int


class Delivered(Row, frozen=True):
    """`result` is what the destination answered, e.g. an event id or a comment id."""

    id: str
    at: int
    result: str = ""


class Deferred(Row, frozen=True):
    """A delivery failed: nothing goes to its destination before `due_at`."""

    id: str
    due_at: int
    error: str


class Backlog(Row, frozen=True):
    """What waits for one destination: `oldest` is the least `due_at`.

    `attempts` counts its failures since the last success, `error` is the last of them.
    """

    destination: str
    pending: int
    oldest: int
    deferred_until: int
    attempts: int
    error: str


class Anchor(Row, frozen=True):
    """A small remembered fact of the outside: a thread's root event, a status comment's id."""

    key: str
    value: str


class AgentToken(Row, frozen=True):
    agent: AgentName
    hash: bytes


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    at: int
    kind: str
    text: str


LOG_BYTES = 16 * 1024 * 1024  # of a run, counted with `LINE_BYTES` for each line
LINE_BYTES = 32
LOG_IS_FULL = LogLine(
    at=0,
    kind="system",
    text=f"[the log is longer than {LOG_BYTES >> 20} MiB: what came after this was not kept]",
)


class LogChunk(Row, frozen=True):
    """Lines of a run's log; `offset` is the index of the first one, from 0."""

    run: RunId
    offset: int
    lines: tuple[LogLine, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """All that one decision changes. The newest value of a task, run, agent, receipt, … wins.

    The caller assigns `seq` without gaps and `version` per stream: memory is the authority. An
    arrival whose key is already known is left alone when the change has no events, and fails the
    append when it has some: they have happened already.
    """

    events: tuple[Recorded, ...] = ()
    tasks: tuple[Task, ...] = ()
    runs: tuple[Run, ...] = ()
    agents: tuple[Agent, ...] = ()
    receipts: tuple[FiledReceipt, ...] = ()
    outbox: tuple[OutboxEntry, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    handled: tuple[Handled, ...] = ()
    delivered: tuple[Delivered, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    tokens: tuple[AgentToken, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What memory starts from: open tasks with their runs and receipts, and all agents.

    `fleet` is the last line of the fleet's own stream.
    """

    seq: int
    fleet: Recorded | None
    tasks: tuple[Task, ...]
    runs: tuple[Run, ...]
    receipts: tuple[FiledReceipt, ...]
    agents: tuple[Agent, ...]


class UsageBy(StrEnum):
    """What runs are summed up by. A run counts on the day, in UTC, on which it ended."""

    AGENT = "agent"
    REPO = "repo"
    TASK = "task"
    DAY = "day"


class UsageSum(Row, frozen=True):
    """What runs that have ended used together. `key`: as asked for; days as `2026-11-23`."""

    key: str
    runs: int
    usage: Usage


GENESIS = bytes(32)
_json = msgspec.json.Encoder()


class JournalLine(msgspec.Struct, frozen=True):
    """An event as it is kept: `data` is the exact text that `hash` covers."""

    seq: int
    stream: str
    version: int
    type: str
    at: int
    actor: str
    cause: str
    data: str
    hash: bytes


def link(
    previous: bytes,
    seq: int,
    stream: str,
    version: int,
    at: int,
    actor: str,
    cause: str,
    data: bytes,
) -> bytes:
    """The hash of a line.

    SHA-256 over the hash before it (`GENESIS` for the first) and `[seq, stream, version, at, actor,
    cause, data]` as compact JSON in UTF-8, with the event's JSON as it is kept.
    """
    line = _json.encode((seq, stream, version, at, actor, cause, msgspec.Raw(data)))
    return sha256(previous + line).digest()


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """The read models of a whole journal up to `seq`, as a fold of it gives them."""

    seq: int
    tasks: Collection[Task]
    runs: Collection[Run]
    agents: Collection[Agent]
    receipts: Collection[FiledReceipt]


class Store(Protocol):
    """Durable truth. One event loop uses it; reads see every append that has returned."""

    async def open(self) -> None:
        """Opens the store for reads and `replace_models` only; `load` does it too."""

    async def load(self) -> Snapshot:
        """Opens the store, at first and after a failed append; appends are refused until it did.

        Raises `StoreUnavailable`, and `DatabaseInUse` when another process works on the database.
        """

    @property
    def loaded(self) -> bool:
        """Whether appends are taken: since `load`, until one of them fails."""

    async def append(self, change: Change) -> None:
        """Returns when the change is durable.

        Raises `StoreUnavailable` if it is not; then all appends behind it fail too. A caller that
        is cancelled leaves the transaction alone: its change stands or falls with the others.
        """

    async def keep(self, arrival: Arrival) -> bool:
        """Remembers what came in, durably; False if something with its key is known already."""

    async def append_log(self, chunk: LogChunk) -> int:
        """Stores the lines that are new; returns how many of the run's lines are dealt with.

        Raises `LogGap`. A log is kept up to `LOG_BYTES`, with a last line that says so; what comes
        after it counts as dealt with and is dropped.
        """

    async def prune(self, before: int) -> int:
        """Forgets delivered and superseded effects and handled arrivals older than `before`."""

    async def close(self) -> None:
        """Commits what has been handed in, then lets go of the database."""

    async def task(self, task: TaskId) -> Task | None: ...

    async def task_by_issue(self, repo: str, issue: int) -> Task | None: ...

    async def tasks(
        self,
        *,
        states: Collection[TaskState] = (),
        repo: str | None = None,
        agent: AgentName | None = None,
        limit: int = 100,
        before: TaskId | None = None,
    ) -> list[Task]:
        """Newest first; `agent` is that of the task's current run; `before` the last one seen."""

    async def run(self, run: RunId) -> Run | None: ...

    async def runs_of(self, task: TaskId) -> list[Run]:
        """In the order in which they were assigned."""

    async def usage(self, *, since: int = 0, until: int | None = None) -> UsageSum:
        """Of all runs that ended from `since` on and before `until`, in epoch milliseconds."""

    async def usage_by(
        self, by: UsageBy, *, since: int = 0, until: int | None = None, limit: int = 100
    ) -> list[UsageSum]:
        """The same, part by part: the dearest first, days from the newest back."""

    async def receipt(self, receipt: ReceiptId) -> FiledReceipt | None: ...

    async def receipts_of(self, task: TaskId) -> list[FiledReceipt]:
        """In the order in which they were filed."""

    async def agent(self, agent: AgentName) -> Agent | None: ...

    async def events(
        self, stream: str | None = None, *, after: int = 0, limit: int = 500
    ) -> list[Recorded]:
        """Events with `seq` greater than `after`, oldest first; of one stream or of all."""

    async def arrival(self, key: str) -> Arrival | None: ...

    async def arrivals_due(self, kind: str, limit: int = 100) -> list[Arrival]:
        """Arrivals that still have a body, oldest first."""

    async def due(self, now: int, limit: int = 100) -> list[Due]:
        """The first undelivered entry of each destination, where it and the destination are due."""

    async def next_due(self) -> int | None:
        """When `due` will have something, which may be in the past; None when nothing waits."""

    async def outbox_stats(self) -> list[Backlog]:
        """What waits, by destination; those where nothing waits are left out."""

    async def delivered(self, id: str) -> Delivered | None:
        """What became of an effect; None while it is pending, when superseded or forgotten."""

    async def anchor(self, key: str) -> str | None: ...

    async def token_hash(self, agent: AgentName) -> bytes | None: ...

    async def agent_by_token_hash(self, hash: bytes) -> AgentName | None: ...

    async def log_lines(self, run: RunId, offset: int = 0, limit: int = 1000) -> list[LogLine]: ...

    async def log_length(self, run: RunId) -> int: ...

    async def last_hash(self) -> bytes:
        """Of the journal's last line; `GENESIS` when it is empty."""

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]:
        """As kept, for verification."""

    async def model_rows(self, view: str, after: str, limit: int) -> list[tuple[object, ...]]:
        """Rows of one of `views.VIEWS` in the order of their keys, for verification."""

    async def replace_models(self, models: Models) -> None:
        """Puts these in place of the read models; raises `Conflict` if `seq` is not the last."""

"""What a store promises; the same tests hold every one to it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from fleetbot.domain.errors import Conflict, Invalid
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
from fleetbot.spread import Spread
from fleetbot.store.archive.archiving import Archived
from fleetbot.store.archive.segments import Segment
from fleetbot.store.chain import Head, JournalLine
from fleetbot.store.figures import Outcomes, RunTotals, UsageBy, UsageSum
from fleetbot.store.identities import Claim, Enrolment
from fleetbot.store.records import (
    Acknowledged,
    Arrival,
    Backlog,
    Change,
    DeadLetter,
    Due,
    Graveyard,
    LogChunk,
    LogLine,
    Posted,
    PostKind,
    QueueTrouble,
    Shelved,
    Snapshot,
    Standing,
)
from fleetbot.store.scope import Repos


class StoreUnavailable(Exception):
    """The database refuses, or is not loaded.

    After an append that raised this no other is taken until `load`: memory has been decided on
    events that never landed, so it must be read again from disk first.
    """


class Deposed(StoreUnavailable):
    """Another orchestrator leads since: nothing of this one is written any more."""


class Unreadable(Conflict):
    """What is asked for is there, but cannot be read; the text says what helps."""


class Unwritable(Invalid):
    """What is to be kept cannot be: it is refused alone, and the store goes on."""


class LogGap(Conflict):
    """Log lines before `offset` are missing; send again from `length`, what is stored so far."""

    def __init__(self, run: RunId, offset: int, length: int) -> None:
        super().__init__(
            f"run {run} has {length} log lines; lines from {offset} would leave a gap:"
            f" send again from {length}",
            field="offset",
        )
        self.length = length


class Store(Protocol):
    """Durable truth. One event loop uses it; reads see every append that has returned.

    `failure`: why nothing could be written, until a change is; empty where all is well.
    """

    failure: str

    async def open(self) -> None:
        """Opens the store for reads only; `load` does it too."""

    async def load(self) -> Snapshot:
        """Opens the store, at first and after a failed append; appends are refused until it did.

        Rows that cannot be read are named in it. Raises `StoreUnavailable`, and `DatabaseInUse`
        when another process works on the database.
        """

    @property
    def loaded(self) -> bool:
        """Whether appends are taken: since `load`, until one of them fails."""

    def submit(self, change: Change) -> asyncio.Future[None]:
        """A future that is done when the change is durable, in the order of submission.

        It fails with `StoreUnavailable` if it is not; then all behind it fail too. To cancel it
        leaves the transaction alone: its change stands or falls with the others.
        """

    async def append(self, change: Change) -> None:
        """`submit`, and wait. Raises `StoreUnavailable`."""

    async def keep(self, arrival: Arrival) -> bool:
        """Remembers what came in, durably; False if something with its key is known already."""

    async def append_log(self, chunk: LogChunk) -> int:
        """Stores the lines that are new; returns how many of the run's lines are dealt with.

        Raises `LogGap`. A log is kept up to `LOG_BYTES`, with a last line that says so; what comes
        after it counts as dealt with and is dropped.
        """

    async def prune(self, before: int) -> int:
        """Forgets effects that are done with and handled arrivals older than `before`; dead letters
        stay."""

    async def prune_logs(self, before: int) -> int:
        """Forgets the logs of runs that ended before; returns how many lines that were.

        Also what was remembered of these runs, of tasks that ended before, and of forgotten agents.
        """

    async def archive(self, folder: Path, before: int, now: int, least: int) -> Archived:
        """Moves the lines of tasks that were over before (epoch ms) to segments of at least so many
        lines in the folder, while others append. Raises `ArchiveRefused`, `JournalDamaged`."""

    async def size(self) -> int:
        """How much room all of it takes on the disk, in bytes."""

    async def close(self) -> None:
        """Commits what has been handed in, then lets go of the database."""

    async def task(self, task: TaskId) -> Task | None: ...

    async def task_by_issue(self, repo_id: int, names: Collection[str], issue: int) -> Task | None:
        """By the repository's id, or by one of its names where the task has no id yet."""

    async def without_repo_id(
        self, names: Collection[str], after: TaskId, limit: int
    ) -> list[Task]:
        """Tasks of the repositories of these names that have no repository's id; ids go up."""

    async def tasks(
        self,
        *,
        states: Collection[TaskState] = (),
        repo: Repo | None = None,
        agent: AgentName | None = None,
        limit: int = 100,
        before: TaskId | None = None,
    ) -> list[Task]:
        """Newest first; `agent` is that of the task's current run; `before` the last one seen.

        `repo`: also what bears its name and has no id yet.
        """

    async def watched(self, after: TaskId, limit: int) -> list[Task]:
        """Tasks whose pull request is watched; ids go up."""

    async def run(self, run: RunId) -> Run | None: ...

    async def repos_of_agent(self, agent: AgentName) -> frozenset[str]:
        """What the repositories were called then that it had its last thousand runs for."""

    async def runs_of(self, task: TaskId) -> list[Run]:
        """In the order in which they were assigned."""

    async def usage(
        self, *, since: int = 0, until: int | None = None, repos: Repos = None
    ) -> UsageSum:
        """Of runs that ended from `since` on and before `until`, in epoch milliseconds: of all, or
        of those of some repositories."""

    async def usage_by(
        self,
        by: UsageBy,
        *,
        since: int = 0,
        until: int | None = None,
        repos: Repos = None,
        limit: int = 100,
    ) -> list[UsageSum]:
        """The same, part by part: the dearest first, days from the newest back."""

    async def outcomes(
        self, since: int, until: int, span_ms: int, repos: Repos = None
    ) -> list[Outcomes]:
        """What runs that ended from `since` on and before `until` have led to, by spans of time
        from `since` on; those in which nothing ended are left out."""

    async def run_totals(
        self, since: int, until: int | None, bounds_ms: Sequence[int]
    ) -> list[RunTotals]:
        """Of runs that ended from `since` on and before `until`, by what they ended with."""

    @property
    def commit_times(self) -> Spread:
        """How long transactions take, since the process began."""

    async def took(
        self, since: int, until: int, repos: Repos = None
    ) -> tuple[int | None, int | None]:
        """Of the whole time: how long (ms) half of the verified tasks took, and nine of ten; None
        where none was verified."""

    async def receipt(self, receipt: ReceiptId) -> FiledReceipt | None: ...

    async def receipts_of(self, task: TaskId) -> list[FiledReceipt]:
        """In the order in which they were filed."""

    async def agent(self, agent: AgentName) -> Agent | None: ...

    async def events(
        self, stream: str | None = None, *, after: int = 0, limit: int = 500
    ) -> list[Recorded]:
        """Events with `seq` greater than `after`, oldest first; of one stream or of all.

        Raises `Unreadable` for one that is damaged.
        """

    async def shelved(self, stream: str) -> Shelved | None:
        """Where the beginning of a stream is; None where `events` has it."""

    async def arrival(self, key: str) -> Arrival | None: ...

    async def arrivals_due(self, kind: str, now: int, limit: int = 100) -> list[Arrival]:
        """Arrivals that still have a body and may be acted on now, those that wait longest first.

        What was put off stands behind what has come in meanwhile.
        """

    async def next_arrival(self, kind: str) -> int | None:
        """When `arrivals_due` will have something, which may be past; None if nothing waits."""

    async def due(self, now: int, room: Mapping[str, int], busy: Collection[str] = ()) -> list[Due]:
        """The first entry of each queue that is due: of each sender up to as many as it has `room`
        for, those that are due longest first, none for a destination in `busy`."""

    async def next_due(self, sender: str) -> int | None:
        """When `due` will have something, which may be in the past; None when nothing waits."""

    async def backlog(self) -> list[Backlog]:
        """What waits, by sender and kind; where nothing waits is left out. Counts it all."""

    async def troubles(self, sender: str, limit: int) -> list[QueueTrouble]:
        """The queues that fail, those first that have failed longest."""

    async def graveyard(self, limit: int = -1) -> Graveyard:
        """The dead letters in short; they are counted up to `limit`."""

    async def dead_letters(self, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """Those with a greater number than `after`, in the order of their numbers."""

    async def revive(self, letter: int | None, now: int) -> int:
        """Has one dead letter, or all, sent again from `now` on; how many."""

    async def set_back(self, now: int, by: int | None = None) -> int:
        """The clock was set back to `now` (epoch ms) by so many milliseconds: what waits in the
        outbox or the inbox waits no longer for that. None: by as much as the newest of what is next
        is ahead. Answers by how many."""

    async def dismiss(self, letter: int | None) -> int:
        """Lets go of one dead letter, or all; how many."""

    async def fates(self, destination: str) -> frozenset[tuple[str, str]]:
        """Kind and state of what was ever to go there, as far as it is kept."""

    async def acknowledged(self, id: str) -> Acknowledged | None:
        """What became of an effect; None while it is pending, when superseded or forgotten."""

    async def standing(self, task: TaskId) -> Standing | None: ...

    async def filing(self, receipt: ReceiptId) -> Standing | None:
        """The receipt, with its run and its task."""

    async def ended(self, repo: Repo, since: int) -> list[Standing]:
        """The closed tasks of a repository to which something has happened since (epoch ms)."""

    async def anchor(self, key: str) -> str | None: ...

    async def posted(self, room: str, event: str) -> Posted | None:
        """What that message of ours is about; None for any other."""

    async def post_of(self, room: str, kind: PostKind, subject: str) -> Posted | None:
        """The newest message of ours about it in the room."""

    async def cards(self) -> list[TaskId]:
        """The open tasks that have a card in some room."""

    @property
    def people(self) -> Mapping[str, str]:
        """Who has proven to own an account: Forgejo login, in small letters, to Matrix id."""

    async def claim(self, mxid: str) -> Claim | None:
        """What somebody says to be, or has said last."""

    async def claims(self, now: int) -> list[Claim]:
        """Those that can still be proven."""

    async def enrolment(self, hash: bytes) -> Enrolment | None: ...

    async def enrolments_of(self, agent: AgentName) -> list[Enrolment]:
        """In the order in which they were made."""

    async def enrolments_told(self) -> list[Enrolment]:
        """Those whose token stands in a message."""

    async def token_hash(self, agent: AgentName) -> bytes | None: ...

    async def agent_by_token_hash(self, hash: bytes) -> AgentName | None: ...

    async def log_lines(self, run: RunId, offset: int = 0, limit: int = 1000) -> list[LogLine]: ...

    async def log_length(self, run: RunId) -> int: ...

    async def head(self) -> Head:
        """Where the journal ends; 0 and `GENESIS` where there is nothing in it."""

    async def journal_lines(self, after: int, limit: int) -> list[JournalLine]:
        """As kept, for verification."""

    async def stream_lines(
        self, prefix: str, after: tuple[str, int], limit: int
    ) -> list[JournalLine]:
        """As kept: streams that begin with `prefix`, one by one, behind a stream and version."""

    async def segments(self) -> list[Segment]:
        """What the archive consists of, in its order."""

    async def gaps(self, after: int, last: int) -> Mapping[int, Head]:
        """The last line of each gap before lines with numbers behind `after`, to `last`, that the
        archive has left; by its number."""

    async def archived(self, first: str, last: str) -> Mapping[str, int]:
        """Of the streams from `first` to `last`: of how many lines each is the archive alone."""

    async def away(self) -> int:
        """How many lines only the archive has."""

    async def model_rows(
        self, view: str, columns: Sequence[str], by: str, after: str, last: str
    ) -> list[tuple[object, ...]]:
        """Rows of one of `views.VIEWS`: those with more than `after` in column `by`, to `last`."""

"""What is kept, and in what shape.

A `Change` is one decision: its events, the values they lead to, and what the outside must be told,
durable together or not at all. Memory decides; the store refuses what memory cannot have meant.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from fleetbot.domain.events import Recorded
from fleetbot.domain.model import Agent, AgentName, FiledReceipt, Repo, Run, RunId, Task
from fleetbot.store.identities import Claim, Enrolment, Person


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of what the store keeps beside the domain's values. Times are epoch milliseconds.

    None holds cycles, so the garbage collector need not walk them.
    """


def readable(text: str) -> str:
    """Text from outside as it is kept where it is no JSON: with a sign for the character that
    Postgres takes nowhere in a text, and terminals swallow."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}") if "\0" in text else text


class Arrival(Row, frozen=True):
    """Something that came in: a webhook delivery, a claim, a receipt, by its idempotency key.

    `body` is what is still to be acted on; None when the change that records the arrival also deals
    with it. `answer` is what a second arrival with the same key is told. `meta` is small, e.g. the
    type of a webhook event. It is acted on from `due_at` on; `tries` have failed before.
    """

    key: str
    kind: str
    at: int
    body: bytes | None = None
    answer: bytes | None = None
    meta: str = ""
    due_at: int = 0
    tries: int = 0


class PutOff(Row, frozen=True):
    """An arrival could not be acted on: not before `due_at`, after so many `tries`."""

    key: str
    due_at: int
    tries: int


class Handled(Row, frozen=True):
    """Marks an arrival as done: its body is dropped, its answer kept."""

    key: str
    answer: bytes | None = None


class OutboxEntry(Row, frozen=True):
    """An effect to be delivered; order holds per destination, in the order of insertion.

    `id` is derived from the effect: a second entry with the same id is ignored. A newer entry with
    the same (`destination`, `collapse`) supersedes older ones that are not delivered yet, dead
    letters too. `seq` is the event that caused it, 0 if none did.
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

    `attempts` counts the failures of its queue since the last success there: that of an entry
    would start anew whenever a newer one supersedes it. `refusals` are the entry's own; once it was
    set `aside`, what stood behind it no longer waits for it.
    """

    entry: OutboxEntry
    attempts: int
    refusals: int = 0
    aside: bool = False


class Acknowledged(Row, frozen=True):
    """`result` is what the destination answered, e.g. an event id or a comment id."""

    id: str
    at: int
    result: str = ""


class Deferred(Row, frozen=True):
    """A delivery failed `at`: nothing of its queue goes out before `due_at`.

    `refused`: the destination answers and refuses this very entry; `aside`: from now on it stands
    in a queue of its own. `early`: nothing has failed, it is only not its time.
    """

    id: str
    at: int
    due_at: int
    error: str
    refused: bool = False
    aside: bool = False
    early: bool = False


class GivenUp(Row, frozen=True):
    """The entry becomes a dead letter."""

    id: str
    at: int
    error: str


class DeadLetter(Row, frozen=True):
    """An entry that was given up. `number` names it; `due_at` is since when it was to go out."""

    number: int
    destination: str
    kind: str
    payload: bytes
    due_at: int
    given_up_at: int
    error: str


class Graveyard(Row, frozen=True):
    """How many dead letters there are, counted up to a limit, and when they were given up."""

    letters: int
    oldest: int | None
    newest: int | None


class QueueTrouble(Row, frozen=True):
    """A queue whose last delivery failed: `attempts` since the last success, the first at `since`,
    the last with `error`; nothing goes there before `held_until`."""

    destination: str
    attempts: int
    error: str
    since: int
    held_until: int


class Backlog(Row, frozen=True):
    """What of one kind waits for one sender: `oldest` is the least `due_at`."""

    sender: str
    kind: str
    pending: int
    oldest: int


class Standing(Row, frozen=True):
    """Where a task stands, read at once: its run and its receipt, where it has them.

    `task` is under the name that its repository has now.
    """

    task: Task
    run: Run | None
    receipt: FiledReceipt | None


class Anchor(Row, frozen=True):
    """A small remembered fact of the outside: a thread's root event, a status comment's id."""

    key: str
    value: str


class AgentToken(Row, frozen=True):
    """`hash` None: the agent has no token any more."""

    agent: AgentName
    hash: bytes | None


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


class PostKind(StrEnum):
    """What a message of ours is about, and so what a reply or a reaction to it means."""

    CARD = "card"  # a task, by its id
    NOTICE = "notice"  # a task as well
    ASK = "ask"  # a question: `<run>/<ask>`
    SETUP = "setup"  # what setup offers, by the number of the offer
    DRAFT = "draft"  # something that a person has still to confirm, by the message that wished it
    RUN = "run"  # a run's log, by the run's id


class Posted(Row, frozen=True):
    """A message of ours in a room; of one `subject` and `kind` the newest is the one that counts.

    `room` is the id that the room had when it was sent.
    """

    room: str
    event: str
    kind: PostKind
    subject: str
    at: int


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that one decision changes. The newest value of a task, run, agent, receipt, … wins.

    The caller assigns `seq` without gaps and `version` per stream: memory is the authority. An
    arrival whose key is already known is left alone when the change has no events, and fails the
    append when it has some: they have happened already. What waits for the destinations `released`
    may go at once, whatever pause they were given.
    """

    events: tuple[Recorded, ...] = ()
    tasks: tuple[Task, ...] = ()
    runs: tuple[Run, ...] = ()
    agents: tuple[Agent, ...] = ()
    receipts: tuple[FiledReceipt, ...] = ()
    repos: tuple[Repo, ...] = ()
    outbox: tuple[OutboxEntry, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    handled: tuple[Handled, ...] = ()
    acknowledged: tuple[Acknowledged, ...] = ()
    put_off: tuple[PutOff, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    given_up: tuple[GivenUp, ...] = ()
    anchors: tuple[Anchor, ...] = ()
    posted: tuple[Posted, ...] = ()
    tokens: tuple[AgentToken, ...] = ()
    enrolments: tuple[Enrolment, ...] = ()
    people: tuple[Person, ...] = ()
    claims: tuple[Claim, ...] = ()
    released: tuple[str, ...] = ()


class Shelved(Row, frozen=True):
    """How many `lines` of a stream are in the archive only, the last of them in that file."""

    lines: int
    file: str


class BadRow(Row, frozen=True):
    """A row that cannot be read; `stream`: the events it follows from. `tasks`: the issues whose
    tasks are left out with an agent's."""

    table: str
    key: str
    stream: str
    error: str
    tasks: tuple[str, ...] = ()

    def __str__(self) -> str:
        with_it = f", and with it what it is at: {', '.join(self.tasks)}" if self.tasks else ""
        return f"{self.table} {self.key} cannot be read ({self.error}){with_it}"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What memory starts from: open tasks with their runs and receipts, all agents and
    repositories.

    `fleet`: the last line of each kind of pause, of the fleet's own stream; `bad` are the rows that
    are not among these.
    """

    seq: int
    fleet: tuple[Recorded, ...]
    tasks: tuple[Task, ...]
    runs: tuple[Run, ...]
    receipts: tuple[FiledReceipt, ...]
    agents: tuple[Agent, ...]
    repos: tuple[Repo, ...] = ()
    bad: tuple[BadRow, ...] = ()

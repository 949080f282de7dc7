"""The lines of the journal. An event is a fact: immutable, named in the past, complete in itself.

The tag of each type is its name in the journal. A new field has a default, and changes nothing for
old lines; any other change of shape raises `upcasts.SCHEMA` and adds an upcast there, so that old
lines stay readable for ever.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fleetbot.domain.model import (
    AgentName,
    AskKind,
    Behavior,
    Evidence,
    Receipt,
    ReceiptId,
    RunId,
    Taken,
    Traits,
    Usage,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.upcasts import SCHEMA, upcast
from fleetbot.domain.waits import WaitReason


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """Base of all events."""


class TaskCreated(Event, frozen=True, tag="task.created"):
    repo: str
    issue: int
    url: str
    author: str
    traits: Traits
    base: str = ""
    repo_id: int = 0


class TaskMoved(Event, frozen=True, tag="task.moved"):
    """Its repository has another name, or became known by its id."""

    repo: str
    url: str
    repo_id: int


class TaskBased(Event, frozen=True, tag="task.based"):
    """The branch to start from is another. `problem`: why it cannot be started from; it waits."""

    base: str
    problem: str = ""


class TaskEdited(Event, frozen=True, tag="task.edited"):
    """Title or labels changed on the issue."""

    traits: Traits


class TaskPinned(Event, frozen=True, tag="task.pinned"):
    """A person chose the agent."""

    agent: AgentName


class TaskAssigned(Event, frozen=True, tag="task.assigned"):
    run: RunId
    agent: AgentName
    attempt: int
    branch: str


class TaskStarted(Event, frozen=True, tag="task.started"):
    run: RunId


class TaskRequeued(Event, frozen=True, tag="task.requeued"):
    """`avoid` is the agent that should not get it next; `fresh` forgets the attempts so far.

    `uncounted`: the attempt that just ended was not the task's fault and does not count.
    `excuse`: so often by now the task was let off for this reason; 0 where it was not.
    `reopened_at`: when Forgejo says that the issue was reopened, where that is why.
    """

    reason: ReasonCode
    not_before: int = 0
    avoid: AgentName | None = None
    fresh: bool = False
    uncounted: bool = False
    excuse: int = 0
    reopened_at: int = 0


class TaskClosing(Event, frozen=True, tag="task.closing"):
    """A merge of the run's own work closed the issue: its receipt is heard first, and the task is
    cancelled for `reason` where the run comes to nothing. None: the issue is open again."""

    reason: ReasonCode | None = None


class TaskStuck(Event, frozen=True, tag="task.stuck"):
    """It has waited since `since` (epoch ms), longer than people should not hear of it.

    `subject`: whom or what it waits for; tasks with the same reason and subject are told together.
    """

    reason: WaitReason
    subject: str
    since: int


class TaskUnstuck(Event, frozen=True, tag="task.unstuck"):
    """The wait that people were told of is over, or has another cause."""

    reason: WaitReason
    subject: str
    since: int


class ReceiptFiled(Event, frozen=True, tag="receipt.filed"):
    run: RunId
    receipt: Receipt


class ReceiptVerified(Event, frozen=True, tag="receipt.verified"):
    """`evidence`: what Forgejo showed; None in lines of before it was kept."""

    run: RunId
    receipt: ReceiptId
    evidence: Evidence | None = None


class ReceiptRefuted(Event, frozen=True, tag="receipt.refuted"):
    """`final`: the run's last chance is gone. `own_head`: its commit is or was the head of the
    run's own pull request."""

    run: RunId
    receipt: ReceiptId
    reasons: tuple[str, ...]
    final: bool = False
    own_head: bool = False


class ReceiptUnknown(Event, frozen=True, tag="receipt.unknown"):
    """A check could not be made; it is tried again at `check_at`. `own_head`: it was found, for the
    first time, that its commit is the head of the run's own pull request."""

    run: RunId
    receipt: ReceiptId
    unread: tuple[str, ...]
    check_at: int
    own_head: bool = False


class RunAsked(Event, frozen=True, tag="run.asked"):
    """The agent program waits for a person until `expires_at` (epoch ms).

    `request` is the program's whole request, secrets masked.
    """

    run: RunId
    ask: str
    kind: AskKind
    title: str
    expires_at: int
    request: dict[str, Any] = msgspec.field(default_factory=dict)
    options: tuple[str, ...] = ()


class RunAnswered(Event, frozen=True, tag="run.answered"):
    """`expired`: nobody answered in time, which counts as a no."""

    run: RunId
    ask: str
    behavior: Behavior
    text: str = ""
    expired: bool = False


class RunMessaged(Event, frozen=True, tag="run.messaged"):
    """A person said something to the run."""

    run: RunId
    message: str
    text: str


class RunMessageTaken(Event, frozen=True, tag="run.message_taken"):
    run: RunId
    message: str
    taken: Taken


class TaskCompleted(Event, frozen=True, tag="task.completed"):
    run: RunId
    receipt: ReceiptId


class TaskFailed(Event, frozen=True, tag="task.failed"):
    run: RunId
    reason: ReasonCode
    detail: str = ""
    usage: Usage = Usage()


class TaskAgentLost(Event, frozen=True, tag="task.agent_lost"):
    run: RunId
    reason: ReasonCode
    usage: Usage = Usage()


class TaskCancelled(Event, frozen=True, tag="task.cancelled"):
    """`usage` is that of the run that was stopped, if one was."""

    reason: ReasonCode
    usage: Usage = Usage()


class AgentRegistered(Event, frozen=True, tag="agent.registered"):
    adapter: str
    capabilities: tuple[str, ...] = ()
    max_concurrency: int = 1
    account: str = ""
    host: str = ""
    program: str = ""
    health: tuple[str, ...] = ()


class AgentOnline(Event, frozen=True, tag="agent.online"):
    pass


class AgentOffline(Event, frozen=True, tag="agent.offline"):
    reason: ReasonCode = ReasonCode.AGENT_LOST


class AgentParked(Event, frozen=True, tag="agent.parked"):
    """The agent takes nothing new before `until` (epoch ms). `quiet`: rooms need not hear."""

    until: int
    reason: ReasonCode
    detail: str = ""
    quiet: bool = False


class AgentFaulted(Event, frozen=True, tag="agent.faulted"):
    """A run of its ended for a reason that the task does not own; `faults`: so many in a row."""

    reason: ReasonCode
    faults: int


class AgentUnwell(Event, frozen=True, tag="agent.unwell"):
    """The agent takes nothing new until its check passes again."""

    reason: ReasonCode
    detail: str = ""
    quiet: bool = False


class AgentWell(Event, frozen=True, tag="agent.well"):
    """Its check passes again. `proven`: it has filed a receipt, so that its faults are over."""

    proven: bool = False
    quiet: bool = False


class AgentDrained(Event, frozen=True, tag="agent.drained"):
    """A person wants it to take nothing new."""


class AgentResumed(Event, frozen=True, tag="agent.resumed"):
    """A person wants it to take tasks again, whatever limit or fault it had met."""


class AgentDeregistered(Event, frozen=True, tag="agent.deregistered"):
    pass


class AgentRevoked(Event, frozen=True, tag="agent.revoked"):
    """A person took its token, so that nobody speaks for it until it is enrolled again."""


class AgentForgotten(Event, frozen=True, tag="agent.forgotten"):
    """It had signed off, and is known no more; its name may be given to another."""


class FleetPaused(Event, frozen=True, tag="fleet.paused"):
    """Nothing is given to anybody before `until` (epoch ms). `spent`: on that day so far."""

    reason: ReasonCode
    until: int
    spent: Usage = Usage()


class FleetResumed(Event, frozen=True, tag="fleet.resumed"):
    """The pause ended before its time."""


class RepoKnown(Event, frozen=True, tag="repo.known"):
    """What a repository is, as Forgejo shows it; said again where any of it has changed."""

    name: str
    default_branch: str = ""
    former: tuple[str, ...] = ()


class RepoRenamed(Event, frozen=True, tag="repo.renamed"):
    """It was renamed or transferred."""

    name: str
    was: str


class RepoHeld(Event, frozen=True, tag="repo.held"):
    """None of its tasks are given out before `repo.released`; runs that are on go on."""

    reason: ReasonCode
    detail: str = ""


class RepoReleased(Event, frozen=True, tag="repo.released"):
    """Its tasks are given out again."""


TaskEvent = (
    TaskCreated
    | TaskMoved
    | TaskBased
    | TaskEdited
    | TaskPinned
    | TaskAssigned
    | TaskStarted
    | TaskRequeued
    | TaskClosing
    | TaskStuck
    | TaskUnstuck
    | ReceiptFiled
    | ReceiptVerified
    | ReceiptRefuted
    | ReceiptUnknown
    | RunAsked
    | RunAnswered
    | RunMessaged
    | RunMessageTaken
    | TaskCompleted
    | TaskFailed
    | TaskAgentLost
    | TaskCancelled
)
AgentEvent = (
    AgentRegistered
    | AgentOnline
    | AgentOffline
    | AgentParked
    | AgentFaulted
    | AgentUnwell
    | AgentWell
    | AgentDrained
    | AgentResumed
    | AgentDeregistered
    | AgentRevoked
    | AgentForgotten
)
FleetEvent = FleetPaused | FleetResumed
RepoEvent = RepoKnown | RepoRenamed | RepoHeld | RepoReleased
AnyEvent = TaskEvent | AgentEvent | FleetEvent | RepoEvent

TASK_EVENTS: tuple[type[Event], ...] = TaskEvent.__args__
AGENT_EVENTS: tuple[type[Event], ...] = AgentEvent.__args__
FLEET_EVENTS: tuple[type[Event], ...] = FleetEvent.__args__
REPO_EVENTS: tuple[type[Event], ...] = RepoEvent.__args__

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder(order="deterministic")


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in the journal.

    `stream` is `task:<id>`, `agent:<name>`, `repo:<id>` or `fleet`, `version` the place there from
    1; `seq` has no gaps over all streams; `at` is in epoch milliseconds; `actor` says who
    (`matrix:@u:hs`, `agent:a-1`, `forgejo:<login>`, `timer`); `cause` ties what follows from what
    (`delivery:<id>`, `seq:<n>`).
    """

    seq: int
    stream: str
    version: int
    at: int
    actor: str
    cause: str
    event: AnyEvent


def event_type(event: Event | type[Event]) -> str:
    """The event's name in the journal, e.g. `task.created`."""
    tag: Any = event.__struct_config__.tag
    return str(tag)


def encode(event: AnyEvent) -> bytes:
    """Deterministic JSON, so that the journal's hash chain can be checked on any machine."""
    return _encoder.encode(event)


def decode(data: bytes | str, schema: int = SCHEMA) -> AnyEvent:
    """The event of a line that was written with `schema`.

    Raises `msgspec.DecodeError` if it is none, also where only a newer fleetbot could read it.
    """
    if schema == SCHEMA:
        return _decoder.decode(data)
    event: AnyEvent = msgspec.convert(upcast(msgspec.json.decode(data), schema), AnyEvent)
    return event

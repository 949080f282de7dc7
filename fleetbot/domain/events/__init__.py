"""The lines of the journal. An event is a fact: immutable, named in the past, complete in itself.

The tag of each type is its name in the journal. A new field has a default, and changes nothing for
old lines; any other change of shape raises `upcasts.SCHEMA` and adds an upcast there, so that old
lines stay readable for ever.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fleetbot.domain.events.agents import (
    AgentDeregistered,
    AgentDrained,
    AgentEvent,
    AgentFaulted,
    AgentForgotten,
    AgentOffline,
    AgentOnline,
    AgentParked,
    AgentRegistered,
    AgentResumed,
    AgentRevoked,
    AgentUnwell,
    AgentWell,
)
from fleetbot.domain.events.base import Event
from fleetbot.domain.events.fleet import (
    FleetEvent,
    FleetFrozen,
    FleetPaused,
    FleetResumed,
    FleetThawed,
    RepoEvent,
    RepoFrozen,
    RepoHeld,
    RepoKnown,
    RepoReleased,
    RepoRenamed,
    RepoThawed,
)
from fleetbot.domain.events.pulls import (
    PullAsked,
    PullClosed,
    PullLanding,
    PullLeft,
    PullMerged,
    PullNotLanded,
    PullReopened,
    PullRerun,
    PullSeen,
    PullUpdated,
)
from fleetbot.domain.events.tasks import (
    ReceiptFiled,
    ReceiptRefuted,
    ReceiptUnknown,
    ReceiptVerified,
    RunAnswered,
    RunAskCut,
    RunAsked,
    RunMessaged,
    RunMessageTaken,
    TaskAgentLost,
    TaskAssigned,
    TaskBased,
    TaskBehind,
    TaskBlocked,
    TaskCancelled,
    TaskClosing,
    TaskCompleted,
    TaskCreated,
    TaskEdited,
    TaskEvent,
    TaskFailed,
    TaskMoved,
    TaskNoted,
    TaskOverlaps,
    TaskPinned,
    TaskRequeued,
    TaskStarted,
    TaskStuck,
    TaskUnstuck,
)
from fleetbot.domain.upcasts import SCHEMA, upcast

__all__ = [
    "AGENT_EVENTS",
    "FLEET_EVENTS",
    "REPO_EVENTS",
    "TASK_EVENTS",
    "AgentDeregistered",
    "AgentDrained",
    "AgentEvent",
    "AgentFaulted",
    "AgentForgotten",
    "AgentOffline",
    "AgentOnline",
    "AgentParked",
    "AgentRegistered",
    "AgentResumed",
    "AgentRevoked",
    "AgentUnwell",
    "AgentWell",
    "AnyEvent",
    "Event",
    "FleetEvent",
    "FleetFrozen",
    "FleetPaused",
    "FleetResumed",
    "FleetThawed",
    "PullAsked",
    "PullClosed",
    "PullLanding",
    "PullLeft",
    "PullMerged",
    "PullNotLanded",
    "PullReopened",
    "PullRerun",
    "PullSeen",
    "PullUpdated",
    "ReceiptFiled",
    "ReceiptRefuted",
    "ReceiptUnknown",
    "ReceiptVerified",
    "Recorded",
    "RepoEvent",
    "RepoFrozen",
    "RepoHeld",
    "RepoKnown",
    "RepoReleased",
    "RepoRenamed",
    "RepoThawed",
    "RunAnswered",
    "RunAskCut",
    "RunAsked",
    "RunMessageTaken",
    "RunMessaged",
    "TaskAgentLost",
    "TaskAssigned",
    "TaskBased",
    "TaskBehind",
    "TaskBlocked",
    "TaskCancelled",
    "TaskClosing",
    "TaskCompleted",
    "TaskCreated",
    "TaskEdited",
    "TaskEvent",
    "TaskFailed",
    "TaskMoved",
    "TaskNoted",
    "TaskOverlaps",
    "TaskPinned",
    "TaskRequeued",
    "TaskStarted",
    "TaskStuck",
    "TaskUnstuck",
    "decode",
    "encode",
    "event_type",
]


AnyEvent = TaskEvent | AgentEvent | FleetEvent | RepoEvent

TASK_EVENTS: tuple[type[Event], ...] = TaskEvent.__args__
AGENT_EVENTS: tuple[type[Event], ...] = AgentEvent.__args__
FLEET_EVENTS: tuple[type[Event], ...] = FleetEvent.__args__
REPO_EVENTS: tuple[type[Event], ...] = RepoEvent.__args__

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_encoder = msgspec.json.Encoder(order="deterministic")


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    try:
        if schema == SCHEMA:
            return _decoder.decode(data)
        event: AnyEvent = msgspec.convert(upcast(msgspec.json.decode(data), schema), AnyEvent)
    except (UnicodeDecodeError, RecursionError) as error:  # nothing that we have written
        raise msgspec.DecodeError(str(error)) from None
    return event

"""A task's lines of the journal, and its story in steps, as whoever has the words tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fleetbot.domain.events import Recorded
from fleetbot.domain.model import AgentName, RunId, Task, TaskId
from fleetbot.domain.state import task_stream
from fleetbot.store.interface import Store
from fleetbot.store.records import Shelved

_AT_ONCE = 500


class Past(NamedTuple):
    """`shelved`: what came before the lines and is in the archive only, if anything did."""

    lines: Sequence[Recorded]
    shelved: Shelved | None


async def past(store: Store, task: TaskId) -> Past:
    """All that happened to the task."""
    lines: list[Recorded] = []
    stream = task_stream(task)
    while part := await store.events(stream, after=lines[-1].seq if lines else 0, limit=_AT_ONCE):
        lines += part
    return Past(lines, await shelved_before(store, task, lines))


async def shelved_before(store: Store, task: TaskId, lines: Sequence[Recorded]) -> Shelved | None:
    """None where the first of these lines, if there are any, is the task's first."""
    if lines and lines[0].version == 1:
        return None
    return await store.shelved(task_stream(task))


class Step(NamedTuple):
    """Lines of the journal that tell the same, `times` of them, `line` the last: what happened, and
    by whom or what for, in plain words."""

    line: Recorded
    times: int
    says: str
    by: str


# Of a task, lines of its stream, whose its runs are, and the moment (epoch ms) of telling.
TellSteps = Callable[[Task, Sequence[Recorded], Mapping[RunId, AgentName], int], Sequence[Step]]

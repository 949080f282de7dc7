"""A task's story in steps, as whoever has the words for it tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fleetbot.domain.events import Recorded
from fleetbot.domain.model import AgentName, RunId, Task


class Step(NamedTuple):
    """Lines of the journal that tell the same, `times` of them, `line` the last: what happened, and
    by whom or what for, in plain words."""

    line: Recorded
    times: int
    says: str
    by: str


# Of a task, lines of its stream, whose its runs are, and the moment (epoch ms) of telling.
TellSteps = Callable[[Task, Sequence[Recorded], Mapping[RunId, AgentName], int], Sequence[Step]]

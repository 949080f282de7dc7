"""Whose log is written next, where not all can be at once: pure.

Who has waited longest; but the wait of a thread that somebody looks at counts more, and that of a
file less. So nobody waits much longer than there are others, and nobody for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from fleetbot.domain.model import AgentName, RunId

LOOKED_AT_MS = 600_000  # after somebody wrote or reacted there
FILE_MS = 600_000  # that a file waits to be sent; after that it is to be asked for
_LOOKED_AT, _FILE = 4.0, 0.25


class Turn(NamedTuple):
    """Lines of the run are to be written; or, with `is_file`, its whole log is to be sent."""

    run: RunId
    is_file: bool = False


class Turns:
    """What is to be written, each since when (epoch ms). `agent_of` tells whose a run is."""

    def __init__(self, agent_of: Callable[[RunId], AgentName | None]) -> None:
        self._agent_of = agent_of
        self._since: dict[Turn, int] = {}
        self._looked_at: dict[AgentName, int] = {}

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, turn: Turn) -> bool:
        return turn in self._since

    @property
    def behind(self) -> list[int]:
        """Since when there are lines that wait."""
        return [since for turn, since in self._since.items() if not turn.is_file]

    def add(self, turn: Turn, since: int) -> None:
        """Where it waits already it goes on waiting."""
        self._since.setdefault(turn, since)

    def put(self, turn: Turn, since: int) -> None:
        self._since[turn] = since

    def take(self, turn: Turn) -> int:
        """It is being written; since when it had waited."""
        return self._since.pop(turn)

    def look_at(self, agent: AgentName, now: int) -> None:
        """Somebody looks at the agent's thread."""
        self._looked_at[agent] = now

    def next(self, now: int, but: Collection[Turn]) -> Turn | None:
        """The first of those that are not in `but`."""
        left = [turn for turn in self._since if turn not in but]
        return min(left, key=lambda turn: (-self._weight(turn, now), turn), default=None)

    def _weight(self, turn: Turn, now: int) -> float:
        waited = max(0, now - self._since[turn])
        if turn.is_file:
            return waited * _FILE
        agent = self._agent_of(turn.run)
        looked_at = self._looked_at.get(agent) if agent else None
        is_looked_at = looked_at is not None and now - looked_at < LOOKED_AT_MS
        return waited * (_LOOKED_AT if is_looked_at else 1.0)

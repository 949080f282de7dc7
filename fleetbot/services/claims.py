"""Claims that wait, found by what their agents can do."""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from operator import attrgetter

from fleetbot.domain.model import Agent, AgentName, RunId
from fleetbot.domain.queue import Lane
from fleetbot.services.fleet import Landing

_age = attrgetter("number")


@dataclass(eq=False, slots=True)
class Claim:
    """`number`: claims that came later have higher ones. `landing`: None for empty hands."""

    number: int
    agent: AgentName
    key: str
    run: RunId
    alive: Callable[[], bool]
    landing: asyncio.Future[Landing | None]

    def waits(self) -> bool:
        return not self.landing.done() and self.alive()


class WaitingClaims:
    """All that wait, by agent. Lanes find those whose agents have room, the oldest first."""

    def __init__(self) -> None:
        self._claims: dict[AgentName, dict[str, Claim]] = {}
        self._skills: dict[AgentName, frozenset[str]] = {}  # of agents whose claims lanes can find
        self._able: dict[frozenset[str], list[Claim]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._claims.values()))

    def __bool__(self) -> bool:
        return bool(self._claims)

    def get(self, agent: AgentName, key: str) -> Claim | None:
        return self._claims.get(agent, {}).get(key)

    def of(self, agent: AgentName) -> Collection[Claim]:
        return self._claims.get(agent, {}).values()

    def agents(self) -> Collection[AgentName]:
        return self._claims.keys()

    def all(self) -> list[Claim]:
        return [claim for claims in self._claims.values() for claim in claims.values()]

    def add(self, claim: Claim) -> None:
        """In the place of one with the same agent and key, if there is one."""
        if older := self.get(claim.agent, claim.key):
            self.discard(older)
        self._claims.setdefault(claim.agent, {})[claim.key] = claim
        if claim.agent in self._skills:
            insort(self._able[self._skills[claim.agent]], claim, key=_age)

    def discard(self, claim: Claim) -> None:
        """Let go of the claim, if it still waits."""
        if self.get(claim.agent, claim.key) is not claim:
            return
        del self._claims[claim.agent][claim.key]
        if claim.agent in self._skills:
            self._take_down(claim)
        if not self._claims[claim.agent]:
            del self._claims[claim.agent]
            self._skills.pop(claim.agent, None)

    def show(self, agent: Agent, *, has_room: bool) -> None:
        """Have lanes find the agent's claims, under what it can do now, if it has room."""
        skills = frozenset(agent.capabilities) if has_room else None
        if agent.name not in self._claims or skills == self._skills.get(agent.name):
            return
        for claim in self.of(agent.name):
            if agent.name in self._skills:
                self._take_down(claim)
            if skills is not None:
                insort(self._able.setdefault(skills, []), claim, key=_age)
        self._skills.pop(agent.name, None)
        if skills is not None:
            self._skills[agent.name] = skills

    def _take_down(self, claim: Claim) -> None:
        skills = self._skills[claim.agent]
        claims = self._able[skills]
        del claims[bisect_left(claims, claim.number, key=_age)]
        if not claims:
            del self._able[skills]

    def shown(self, agent: AgentName) -> list[Claim]:
        """The agent's claims, the oldest first; none if it has no room."""
        return list(self.of(agent)) if agent in self._skills else []

    def shown_agents(self) -> Collection[AgentName]:
        """Those that have room."""
        return self._skills.keys()

    def skills(self) -> Collection[str]:
        """What one or another of them can do."""
        return set().union(*self._able)

    def able(self, lane: Lane) -> Iterator[Claim]:
        """Those whose agents have room and can do the lane's tasks, the oldest first."""
        needs = set(lane.needs)
        if lane.wanted is not None:
            return iter([c for c in self.shown(lane.wanted) if needs <= self._skills[c.agent]])
        return heapq.merge(*(c for s, c in self._able.items() if needs <= s), key=_age)

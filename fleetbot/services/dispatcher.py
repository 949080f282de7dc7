"""Waiting claims: each is answered the moment there is a task for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fleetbot.domain.commands import Dispatch
from fleetbot.domain.dispatch import has_room, lane_is_open, may_take
from fleetbot.domain.errors import Busy, Conflict
from fleetbot.domain.events import AgentDeregistered, AgentRevoked, Recorded
from fleetbot.domain.model import AgentName, RunId, TaskId
from fleetbot.domain.queue import Lane
from fleetbot.services.claims import Claim, WaitingClaims
from fleetbot.services.fleet import Beside, Context, Fleet, Landing
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Arrival

CLAIMS_PER_RUN = 2  # that may wait, for each run the agent has room for: one may be a lost one


@dataclass(slots=True)
class _Touched:
    """What may fit since the last look and did not before; all else was tried then."""

    everything: bool = False
    lanes: set[Lane] = field(default_factory=set)
    agents: set[AgentName] = field(default_factory=set)


class Dispatcher:
    """Gives each waiting task to the oldest claim that fits it, whenever something changed.

    Only what a change has touched is tried anew. What time alone opens (an agent's rest is over,
    a task has avoided an agent long enough) is found by `wake`, which tries everything.
    """

    def __init__(self, fleet: Fleet, new_run: Callable[[], RunId]) -> None:
        self._fleet = fleet
        self._new_run = new_run
        self._numbers = itertools.count()
        self._claims = WaitingClaims()
        self._touched = _Touched()
        self._scheduled = False
        self._closed = False
        fleet.listen(self._on_lines)

    async def claim(
        self, agent: AgentName, key: str, wait: float, alive: Callable[[], bool]
    ) -> RunId | None:
        """A run for the agent, durable; None if there is none within `wait` seconds.

        `alive` tells whether somebody still listens: a claim whose caller has gone gets nothing.
        A second claim with the same key takes the place of the first, or shares what it was given.
        Raises `Busy` where the agent has too many waiting: they would cost all others.
        """
        landing = asyncio.get_running_loop().create_future()
        claim = Claim(next(self._numbers), agent, key, self._new_run(), alive, landing)
        if older := self._claims.get(agent, key):
            if older.landing.done() and (given := older.landing.result()):
                await asyncio.shield(given.durable)
                return older.run
            _settle(older, None)
        else:
            self._check_number(agent)
        self._claims.add(claim)
        self._show(agent)
        with suppress(StoreUnavailable):  # it is tried once the state has been read again
            self._try(agent)
        try:
            return await self._until_landed(claim, 0 if self._closed else wait)
        finally:
            self._claims.discard(claim)

    def _check_number(self, agent: AgentName) -> None:
        known = self._fleet.state.agents.get(agent)
        most = CLAIMS_PER_RUN * (known.max_concurrency if known else 1)
        waiting = sum(claim.alive() for claim in self._claims.of(agent))
        if waiting >= most:
            raise Busy(f"{waiting} claims of {agent} wait already; it may have {most}.")

    async def _until_landed(self, claim: Claim, wait: float) -> RunId | None:
        try:
            async with asyncio.timeout(wait):
                landing = await asyncio.shield(claim.landing)
        except TimeoutError:
            landing = claim.landing.result() if claim.landing.done() else None
        if landing is None:
            return None
        await asyncio.shield(landing.durable)
        return claim.run

    @property
    def waiting(self) -> int:
        """How many claims wait at this moment."""
        return len(self._claims)

    def close(self) -> None:
        """Send all waiting claims home empty-handed."""
        self._closed = True
        self._send_home(self._claims.all())

    def _send_home(self, claims: Iterable[Claim]) -> None:
        """Of an agent that was revoked they may be a thief's, and the name enrolled anew soon."""
        for claim in claims:
            _settle(claim, None)

    # what is tried anew

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        if not self._claims:
            return  # one that comes tries everything
        for line in lines:
            self._note(line)
        if not lines:  # the state was taken from disk
            self._touched.everything = True
        self._schedule()

    def _note(self, line: Recorded) -> None:
        """A task opens its lane, and the agent that had it; other lines may open anything."""
        kind, _, key = line.stream.partition(":")
        if kind == "agent":
            self._touched.agents.add(AgentName(key))
            if isinstance(line.event, AgentRevoked | AgentDeregistered):
                self._send_home(self._claims.of(AgentName(key)))
        elif kind == "task":
            self._note_task(TaskId(key))
        else:
            self._touched.everything = True

    def _note_task(self, task_id: TaskId) -> None:
        state, touched = self._fleet.state, self._touched
        task = state.tasks.get(task_id)
        if task is None:
            return
        if lane := state.queue.lane(task_id):
            touched.lanes.add(lane)
        if run := state.runs.get(task.run or task.last_run or RunId("")):
            touched.agents.add(run.agent)
            if self._fleet.policy.repo_limit:
                touched.lanes |= {lane for lane in state.queue.lanes() if lane.repo == task.place}

    def wake(self) -> None:
        """Try everything once the present burst of changes is over."""
        if self._claims:
            self._touched.everything = True
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.match)

    def match(self) -> None:
        """Give away what was touched, as far as there are claims that fit."""
        self._scheduled = False
        touched, self._touched = self._touched, _Touched()
        for agent in self._claims.agents() if touched.everything else touched.agents:
            self._show(agent)
        with suppress(StoreUnavailable):  # all is tried once the state has been read again
            self._give_away(self._reachable() if touched.everything else touched.lanes)
            for agent in touched.agents:
                self._try(agent)

    def _reachable(self) -> Iterable[Lane]:
        """All lanes that one of the claims might be for."""
        claims = self._claims
        return self._fleet.state.queue.lanes_within(claims.shown_agents(), claims.skills())

    def _show(self, agent: AgentName) -> None:
        """Have lanes find the agent's claims, if it has room."""
        state = self._fleet.state
        if known := state.agents.get(agent):
            self._claims.show(known, has_room=has_room(state, known, self._fleet.clock()))

    def _give_away(self, lanes: Iterable[Lane]) -> None:
        """What goes first of all that waits in the lanes, to the oldest claim that fits; and on."""
        queue = self._fleet.state.queue
        heads = [
            (head, lane) for lane in lanes if (head := queue.head(lane)) and self._oldest(lane)
        ]
        heapq.heapify(heads)
        while heads:
            _, lane = heapq.heappop(heads)
            claim = self._oldest(lane)
            if claim is None:
                continue
            if not self._serve(claim):
                return  # the day's budget is spent
            if head := queue.head(lane):
                heapq.heappush(heads, (head, lane))

    def _oldest(self, lane: Lane) -> Claim | None:
        """The oldest claim that the lane's first task may be given to."""
        fleet = self._fleet
        if not lane_is_open(fleet.state, lane, fleet.policy):
            return None
        now = fleet.clock()
        for claim in self._claims.able(lane):
            agent = fleet.state.agents[claim.agent]
            if claim.waits() and may_take(fleet.state, agent, lane, now, fleet.policy):
                return claim
        return None

    def _try(self, agent: AgentName) -> None:
        """Give the agent's claims what there is for it, if it has room."""
        for claim in self._claims.shown(agent):
            if claim.waits() and not self._serve(claim):
                return

    def _serve(self, claim: Claim) -> bool:
        """Give the claim what its agent should do now; false if that is nothing."""
        arrival = Arrival(
            key=claim_key(claim.agent, claim.key),
            kind="claim",
            at=self._fleet.clock(),
            answer=claim.run.encode(),
        )
        context = Context(actor=f"agent:{claim.agent}", cause="claim")
        command = Dispatch(claim.agent, claim.run)
        try:
            landing = self._fleet.submit(command, context, Beside(arrival))
        except Conflict:  # it had its run just now
            _settle(claim, None)
            return True
        if landing.lines:
            _settle(claim, landing)
            self._show(claim.agent)
        return bool(landing.lines)


def _settle(claim: Claim, landing: Landing | None) -> None:
    if not claim.landing.done():
        claim.landing.set_result(landing)


def claim_key(agent: AgentName, key: str) -> str:
    """The inbox key of a claim: agents choose their own keys, so each has its own space."""
    return f"claim:{agent}:{key}"

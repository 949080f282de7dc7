"""Waiting claims: each is answered the moment there is a task for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleetbot.domain.commands import Dispatch
from fleetbot.domain.dispatch import has_room
from fleetbot.domain.errors import Busy
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import AgentName, RunId
from fleetbot.services.fleet import Beside, Context, Fleet, Landing
from fleetbot.store.interface import StoreUnavailable
from fleetbot.store.records import Arrival

CLAIMS_PER_RUN = 2  # that may wait, for each run the agent has room for: one may be a lost one


@dataclass(eq=False, slots=True)
class _Claim:
    agent: AgentName
    key: str
    run: RunId
    alive: Callable[[], bool]
    landing: asyncio.Future[Landing | None]


class Dispatcher:
    """Matches waiting claims with waiting tasks, oldest claim first, whenever something changed."""

    def __init__(self, fleet: Fleet, new_run: Callable[[], RunId]) -> None:
        self._fleet = fleet
        self._new_run = new_run
        self._waiting: dict[tuple[AgentName, str], _Claim] = {}
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
        loop = asyncio.get_running_loop()
        claim = _Claim(agent, key, self._new_run(), alive, loop.create_future())
        if older := self._waiting.get((agent, key)):
            if older.landing.done() and (landing := older.landing.result()):
                await asyncio.shield(landing.durable)
                return older.run
            _settle(older, None)
        else:
            self._check_number(agent)
        self._waiting[agent, key] = claim
        self._attempt(claim)
        try:
            return await self._until_landed(claim, 0 if self._closed else wait)
        finally:
            if self._waiting.get((agent, key)) is claim:
                del self._waiting[agent, key]

    def _check_number(self, agent: AgentName) -> None:
        known = self._fleet.state.agents.get(agent)
        most = CLAIMS_PER_RUN * (known.max_concurrency if known else 1)
        waiting = sum(c.agent == agent and c.alive() for c in self._waiting.values())
        if waiting >= most:
            raise Busy(f"{waiting} claims of {agent} wait already; it may have {most}.")

    async def _until_landed(self, claim: _Claim, wait: float) -> RunId | None:
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
        return len(self._waiting)

    def close(self) -> None:
        """Send all waiting claims home empty-handed."""
        self._closed = True
        for claim in self._waiting.values():
            _settle(claim, None)

    def _on_lines(self, lines: Sequence[Recorded]) -> None:
        self.wake()

    def wake(self) -> None:
        """Match once the present burst of changes is over."""
        if not self._scheduled and self._waiting:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.match)

    def match(self) -> None:
        """Give every waiting claim its task, as far as there are any."""
        self._scheduled = False
        for claim in list(self._waiting.values()):
            if not self._attempt(claim):
                return

    def _attempt(self, claim: _Claim) -> bool:
        """Give one claim its task, if there is one; False when the store is away."""
        fleet = self._fleet
        agent = fleet.state.agents.get(claim.agent)
        if agent is None or claim.landing.done() or not claim.alive():
            return True
        return not has_room(fleet.state, agent, fleet.clock()) or self._serve(claim)

    def _serve(self, claim: _Claim) -> bool:
        arrival = Arrival(
            key=claim_key(claim.agent, claim.key),
            kind="claim",
            at=self._fleet.clock(),
            answer=claim.run.encode(),
        )
        context = Context(actor=f"agent:{claim.agent}", cause="claim")
        try:
            landing = self._fleet.submit(Dispatch(claim.agent, claim.run), context, Beside(arrival))
        except StoreUnavailable:
            return False
        if landing.lines:
            _settle(claim, landing)
        return True


def _settle(claim: _Claim, landing: Landing | None) -> None:
    if not claim.landing.done():
        claim.landing.set_result(landing)


def claim_key(agent: AgentName, key: str) -> str:
    """The inbox key of a claim: agents choose their own keys, so each has its own space."""
    return f"claim:{agent}:{key}"

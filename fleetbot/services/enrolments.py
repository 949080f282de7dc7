"""Tokens with which one agent may enrol, once and within an hour: made, used up, withdrawn.

A token is known to whom it was given alone; here is its hash.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.domain.model import AGENT_NAME, AgentName, AgentStatus
from fleetbot.services.access import new_enrolment_token, token_hash
from fleetbot.services.comments import moment
from fleetbot.services.fleet import Fleet
from fleetbot.store.identities import Enrolment
from fleetbot.store.records import Change

VALID_MS = 3_600_000


class Given(NamedTuple):
    """The token in clear, for whoever asked for it and nobody else."""

    token: str
    enrolment: Enrolment


class Enrolments:
    """All of it raises `StoreUnavailable`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._turn = asyncio.Lock()  # of two at once one takes the other's place

    async def make(self, agent: AgentName, id: str, actor: str) -> Given:
        """A token for one agent, which takes the place of any before it.

        `id`: what asked for it, maybe for the second time. Raises Invalid for what is no agent's
        name, Conflict for one that is online.
        """
        if not AGENT_NAME.match(agent):
            raise Invalid(
                f"{agent!r} cannot be an agent's name: 1 to 40 of a-z 0-9 . _ -", field="agent"
            )
        await self._fleet.start()
        known = self._fleet.state.agents.get(agent)
        if known and known.status is AgentStatus.ONLINE:
            raise Conflict(
                f"{agent} is online and has a token: stop or revoke it first.", field="agent"
            )
        token, now = new_enrolment_token(), self._fleet.clock()
        hash = token_hash(token)
        enrolment = Enrolment(
            id=f"{id}/{hash.hex()}",
            agent=agent,
            hash=hash,
            actor=actor,
            made_at=now,
            expires_at=now + VALID_MS,
        )
        async with self._turn:
            withdrawn = [_ended(its, now) for its in await self._open(agent)]
            await self._keep(enrolment, *withdrawn)
        return Given(token, enrolment)

    async def telling(self, enrolment: Enrolment, room: str) -> None:
        """The token is about to be told there, by the enrolment's id as its name."""
        await self._keep(replace(enrolment, room=room))

    async def told(self, enrolment: Enrolment, room: str, event: str) -> None:
        """A message has the token; it is redacted when that is used or over."""
        await self._keep(replace(enrolment, room=room, event=event))

    async def withdraw(self, agent: AgentName) -> int:
        """No token that was made for the agent is good any more; how many were."""
        now, open_ones = self._fleet.clock(), await self._open(agent)
        await self._keep(*(_ended(its, now) for its in open_ones))
        return len(open_ones)

    async def over(self) -> list[Enrolment]:
        """Those whose token is good for nothing any more, and may still stand in a message."""
        now, told = self._fleet.clock(), await self._fleet.store.enrolments_told()
        return [its for its in told if its.used_at or its.expires_at <= now]

    async def redacted(self, enrolment: Enrolment) -> None:
        await self._keep(replace(enrolment, room="", event=""))

    async def _open(self, agent: AgentName) -> list[Enrolment]:
        now, known = self._fleet.clock(), await self._fleet.store.enrolments_of(agent)
        return [its for its in known if not its.used_at and its.expires_at > now]

    async def _keep(self, *enrolments: Enrolment) -> None:
        if enrolments:
            await self._fleet.store.append(Change(enrolments=enrolments))


def _ended(enrolment: Enrolment, now: int) -> Enrolment:
    return replace(enrolment, expires_at=now)


def why_over(enrolment: Enrolment, now: int) -> str:
    """Why nobody can enrol with it any more at `now`; empty where its agent can."""
    if not enrolment.used_at and enrolment.expires_at > now:
        return ""
    what, at = "has been used", enrolment.used_at
    if not at:
        what, at = "has expired", enrolment.expires_at
    again = f"ask for a new one with !fleet enrol {enrolment.agent}"
    return f"The enrolment token {what} at {moment(at)}: {again}."

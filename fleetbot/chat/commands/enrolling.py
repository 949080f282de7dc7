"""Commands that let an agent in, and take it out: `enrol` and `revoke`.

The token is told to who asked, in a direct message, and is kept nowhere: neither in the journal nor
in the outbox. Where it cannot be told, there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.speaking.direct import Tell
from fleetbot.chat.words import enrolling as words
from fleetbot.chat.words import pauses
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import Part, bold, italic, say
from fleetbot.chat.words.wording import named
from fleetbot.domain import commands as cmd
from fleetbot.domain.errors import Conflict
from fleetbot.domain.lookup import the_agent
from fleetbot.domain.model import AgentName
from fleetbot.services.enrolments import Enrolments
from fleetbot.services.outbox import Refused, RetryLater
from fleetbot.store.records import Change

TakeBack = Callable[[str, str, str], Awaitable[None]]  # as `Direct.take_back`


class Enrolling:
    """`tell` tells a person alone; `address`: where runners find us."""

    def __init__(self, desk: Desk, enrolments: Enrolments, tell: Tell, address: str) -> None:
        self._desk = desk
        self._fleet = desk.fleet
        self._enrolments = enrolments
        self._tell = tell
        self._address = address

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Enrol: self.enrol, spec.Revoke: self.revoke}

    async def enrol(self, command: spec.Enrol, said: Said) -> Post:
        """Send a token; said again after a kill, before it was answered, it sends another."""
        agent = command.agent
        if await self._desk.is_done(said):
            return Post(words.in_the_room(agent, waits=False))
        token, enrolment = await self._enrolments.make(agent, said.key, said.actor)
        body = words.token(token, enrolment, self._address, self._fleet.clock())
        begun = partial(self._enrolments.telling, enrolment)
        try:
            told = await self._tell(said.sender, body, enrolment.id, begun)
        except (RetryLater, Refused) as error:
            await self._enrolments.withdraw(agent)
            raise Conflict(words.not_sent(agent, str(error))) from error
        await self._enrolments.told(enrolment, told.room, told.event)
        await self._fleet.store.append(Change(arrivals=(self._desk.arrival(said),)))
        return Post(words.in_the_room(agent, told.waits))

    async def revoke(self, command: spec.Revoke, said: Said) -> Post:
        """Whoever has the agent's token, or one to enrol it with, has nothing any more."""
        agent, done = command.agent, await self._desk.is_done(said)
        withdrawn = 0 if done else await self._enrolments.withdraw(agent)
        if withdrawn and agent not in self._fleet.state.agents:
            return Post(say("🔑 The token to enrol ", bold(agent), " with is withdrawn."))
        the_agent(self._fleet.state, agent)
        at = self._at_work(agent, said)
        changed = done or await self._desk.commit(cmd.RevokeAgent(agent), said)
        return Post(pauses.revoked(agent, changed, at))

    def _at_work(self, agent: AgentName, said: Said) -> list[Part]:
        state, hears = self._fleet.state, self._desk.hears(said)
        tasks = [state.tasks[run.task] for run in state.runs_of_agent(agent) if not run.receipt]
        return [named(t) if hears(t.repo) else italic("a task of another room") for t in tasks]


class TokenMessages:
    """Takes messages with a token away, once it is used or has lapsed."""

    def __init__(self, enrolments: Enrolments, take_back: TakeBack) -> None:
        self._enrolments = enrolments
        self._take_back = take_back

    async def tick(self) -> None:
        """What the homeserver does not take now is tried again at the next tick."""
        for enrolment in await self._enrolments.over():
            try:
                await self._take_back(enrolment.room, enrolment.id, enrolment.event)
            except RetryLater:
                return
            except Refused:
                pass  # it is not there any more
            await self._enrolments.redacted(enrolment)

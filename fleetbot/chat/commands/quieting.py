"""A room that does not want to hear of a task until it is over."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.speaking.quiet import Quiet, quieted
from fleetbot.chat.words import answers
from fleetbot.chat.words.post import Post
from fleetbot.domain.model import Task
from fleetbot.services.fleet import CLOSED
from fleetbot.store.records import Arrival, Change


class Quieting:
    def __init__(self, desk: Desk, quiet: Quiet) -> None:
        self._desk = desk
        self._quiet = quiet

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Quiet: self.quiet}

    async def quiet(self, command: spec.Quiet, said: Said) -> Post:
        return await self.toggle(await self._desk.find(command.issue, said), said)

    async def toggle(self, task: Task, said: Said) -> Post:
        """Quiet for the task here, or no longer; the answer says which. The same message again
        changes nothing."""
        quiet = await self._quiet.holds(said.name, task.id)
        if task.state in CLOSED and not quiet:
            return Post(answers.moved("🔕", task, "is over: there is nothing more to hear of it."))
        if not await self._desk.is_done(said):
            quiet = not quiet
            arrival = Arrival(key=said.key, kind="command", at=self._desk.fleet.clock())
            anchor = quieted(said.name, task.id, quiet=quiet)
            await self._desk.fleet.store.append(Change(arrivals=(arrival,), anchors=(anchor,)))
        if quiet:
            says = "is quiet here until it is over. Its card goes on; say it again to hear of it."
            return Post(answers.moved("🔕", task, says))
        return Post(answers.moved("🔔", task, "is heard of again here."))

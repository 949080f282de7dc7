"""A person's word that verified work is to be merged: `land`, and 🚀 on its card."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.desk import Desk
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import answers
from fleetbot.chat.words.post import Post
from fleetbot.chat.words.rich import code, say
from fleetbot.services.fleet import Beside
from fleetbot.services.landing import Landings


class Landing:
    def __init__(self, desk: Desk, landings: Landings) -> None:
        self._desk = desk
        self._landings = landings

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Land: self.land}

    async def land(self, command: spec.Land, said: Said) -> Post:
        """What comes of it is told once Forgejo has answered."""
        task = await self._desk.find(command.issue, said)
        if await self._desk.is_done(said):
            return Post(self._desk.explained(task))
        beside = Beside(self._desk.arrival(said))
        context = self._desk.context(said)
        begun = await self._landings.wish(task, said.sender, context, beside)
        task = self._desk.fleet.state.tasks[task.id]
        says = "is being merged." if begun else "is being merged already."
        head = task.pull.head if task.pull else ""
        commit = say("Exactly commit ", code(head[:12]), ", which was verified.")
        return Post(answers.moved("🚀", task, says, commit))

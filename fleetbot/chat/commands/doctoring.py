"""`!fleet doctor`: what is not well around the fleet, and dead letters sent again."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.chat.commands import spec
from fleetbot.chat.commands.handlers import Handler
from fleetbot.chat.commands.said import Said
from fleetbot.chat.words import doctor as words
from fleetbot.chat.words.post import Post
from fleetbot.domain.errors import Invalid
from fleetbot.services.dead_letters import DeadLetters
from fleetbot.services.doctor import Doctor


class Doctoring:
    def __init__(self, doctor: Doctor, dead_letters: DeadLetters) -> None:
        self._doctor = doctor
        self._dead_letters = dead_letters

    @property
    def handlers(self) -> Mapping[type, Handler]:
        return {spec.Doctor: self.doctor}

    async def doctor(self, command: spec.Doctor, said: Said) -> Post:
        match command.word.lower():
            case "":
                return Post(words.doctor(await self._doctor.examine()))
            case "retry":
                moved = await self._dead_letters.retry(None)
                return Post(words.retried(moved.letters))
        raise Invalid("Say `!fleet doctor`, or `!fleet doctor retry`.", field="word")

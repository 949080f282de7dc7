"""Who must act, and so is mentioned: only somebody who is in the room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fleetbot.chat.speaking.link import Link
from fleetbot.chat.words.rich import Rich, mention, say
from fleetbot.domain import events as ev
from fleetbot.domain.model import Task
from fleetbot.domain.state import task_stream
from fleetbot.services.fleet import Fleet

_PERSON = "matrix:"
_WISHES = (ev.TaskCreated, ev.TaskPinned, ev.TaskRequeued)


class Persons:
    """`mxid_of` leads from an account on Forgejo to its owner's Matrix id; `operators` are those
    who look after the fleet."""

    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        mxid_of: Callable[[str], str | None],
        operators: Sequence[str],
    ) -> None:
        self._fleet = fleet
        self._link = link
        self._mxid_of = mxid_of
        self._operators = operators

    async def of_task(self, room: str, task: Task) -> Rich:
        """Whoever asked for it last in a room, else the issue's author; empty where that is nobody
        here."""
        wisher = await self._wisher(task) or self._mxid_of(task.author)
        return await self._mention(room, [wisher] if wisher else [])

    async def of_account(self, room: str, login: str) -> Rich | None:
        """Whose account on Forgejo that is; None where that is nobody here."""
        owner = self._mxid_of(login)
        is_here = owner is not None and await self._link.is_member(room, owner)
        return mention(owner) if owner and is_here else None

    async def operators(self, room: str) -> Rich:
        return await self._mention(room, self._operators)

    async def _wisher(self, task: Task) -> str | None:
        """Of those who gave a command for it in a room the last one."""
        found, after = None, 0
        while lines := await self._fleet.store.events(task_stream(task.id), after=after):
            after = lines[-1].seq
            for line in lines:
                if isinstance(line.event, _WISHES) and line.actor.startswith(_PERSON):
                    found = line.actor.removeprefix(_PERSON)
        return found

    async def _mention(self, room: str, users: Sequence[str]) -> Rich:
        here = [mention(user) for user in users if await self._link.is_member(room, user)]
        return say(*here[:1], *(say(", ", pill) for pill in here[1:]))

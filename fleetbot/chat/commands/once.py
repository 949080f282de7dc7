"""What a person is told once of a message of ours, however often they try."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from fleetbot.chat.commands.rights import Admit
from fleetbot.chat.commands.said import Said
from fleetbot.domain.errors import FleetError
from fleetbot.store.interface import Store
from fleetbot.store.records import Arrival

T = TypeVar("T")


class Once:
    """It is remembered on disk: raises `StoreUnavailable`."""

    def __init__(self, store: Store, admit: Admit) -> None:
        self._store = store
        self._admit = admit

    async def admits(self, name: str, said: Said, subject: str) -> bool:
        """Whether the speaker may give the command `name`. Raises Forbidden, with the way out, the
        first time that they may not: here to the message or thread `subject`."""

        async def admitted() -> bool:
            await self._admit(name, said)
            return True

        return await self.attempt(admitted(), said, subject) or False

    async def attempt(self, work: Awaitable[T], said: Said, subject: str) -> T | None:
        """What comes of the work; a refusal of it is raised the first time only."""
        try:
            return await work
        except FleetError:
            if await self.is_first(said, subject):
                raise
            return None

    async def is_first(self, said: Said, subject: str) -> bool:
        """Whether the speaker has not been told of this subject yet; the same message counts as
        one."""
        key = f"told:{said.sender}:{subject}"
        known = await self._store.arrival(key)
        if known is not None:
            return known.meta == said.key
        return await self._store.keep(Arrival(key=key, kind="told", at=said.at, meta=said.key))

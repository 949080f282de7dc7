"""The whole log of a run as a file in its thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from fleetbot.chat.speaking.content import content, in_thread
from fleetbot.chat.speaking.link import Content, Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.threads import pages
from fleetbot.chat.words.post import File
from fleetbot.chat.words.rich import say
from fleetbot.domain.model import Run, RunId
from fleetbot.services.outbox import Refused
from fleetbot.store.records import LogLine

log = logging.getLogger("fleetbot.chat")

_SMALL = 900_000  # bytes: proxies take no more than a megabyte if nobody told them to


class Attaching:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._sent: dict[tuple[str, RunId], int] = {}

    async def attach(self, room: str, root: str, run: Run, lines: Sequence[LogLine]) -> bool:
        """Put the lines into the thread; False where the room cannot have them.

        A file makes phones ring, whatever it is sent for; a notice and its edits do not. So a
        notice comes first, and is edited to be the file.
        """
        if self._sent.get((room, run.id)) == len(lines):
            return True
        file = await self._uploaded(room, run, lines)
        if file is None:
            return False
        named = transaction("log-file", room, run.id, len(lines))
        announced = in_thread(content(say("📎 ", str(file["body"]))), root)
        event = await self._link.send(room, announced, named, urgency=Urgency.LOG)
        named = transaction("log-file", event)
        relation = {"rel_type": "m.replace", "event_id": event}
        shown = {**file, "m.new_content": dict(file), "m.relates_to": relation}
        await self._link.send(room, shown, named, urgency=Urgency.LOG)
        self._sent[room, run.id] = len(lines)
        return True

    def forget(self, run: Run) -> None:
        for key in [key for key in self._sent if key[1] == run.id]:
            del self._sent[key]

    async def _uploaded(self, room: str, run: Run, lines: Sequence[LogLine]) -> Content | None:
        """The message that shows the file, which is shortened to what the homeserver takes."""
        for most in (await self._link.most_uploaded(), _SMALL):
            text = await asyncio.to_thread(pages.file_of, lines, most)
            try:
                return await self._link.upload(room, File(f"{run.id}.txt", text))
            except Refused as error:
                log.warning("the log of %s, %d bytes, is refused: %s", run.id, len(text), error)
                if len(text) <= _SMALL:
                    break
        return None

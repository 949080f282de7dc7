"""The whole log of a run as a file in its thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from fleetbot.chat.speaking.content import content, in_thread
from fleetbot.chat.speaking.link import Link, transaction
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.requests import Content
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.pages import Page
from fleetbot.chat.words.post import File
from fleetbot.chat.words.rich import say
from fleetbot.domain.model import Run, RunId
from fleetbot.logs import log_of
from fleetbot.services.outbox import Refused
from fleetbot.store.records import LogLine

log = log_of("fleetbot.chat")

_SMALL = 900_000  # bytes: proxies take no more than a megabyte if nobody told them to


class Attaching:
    """A file makes phones ring, whatever it is sent for; a notice and its edits do not. So a notice
    comes first, and is edited to be the file."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._uploaded: dict[tuple[str, RunId], tuple[int, Content | None]] = {}

    async def step(
        self, room: str, root: str, run: Run, page: Page, lines: Sequence[LogLine]
    ) -> Page:
        """Send one of the messages that put the lines into the thread, or find out that the room
        cannot have them; answers what the page is to remember. Raises what `Link` raises."""
        file = await self._file(room, run, lines)
        if file is None:
            return replace(page, file="", file_lines=len(lines), is_filed=True)
        if not page.file or page.file_lines != len(lines):
            named = transaction("log-file", room, run.id, len(lines))
            notice = in_thread(content(say("📎 ", str(file["body"]))), root)
            event = await self._link.send(room, notice, named, urgency=Urgency.LOG)
            return replace(page, file=event, file_lines=len(lines), is_filed=False)
        relation = {"rel_type": "m.replace", "event_id": page.file}
        shown = {**file, "m.new_content": dict(file), "m.relates_to": relation}
        named = transaction("log-file", page.file)
        await self._link.send(room, shown, named, urgency=Urgency.LOG)
        return replace(page, is_filed=True)

    def forget(self, run: Run) -> None:
        for key in [key for key in self._uploaded if key[1] == run.id]:
            del self._uploaded[key]

    async def _file(self, room: str, run: Run, lines: Sequence[LogLine]) -> Content | None:
        """The message that shows the lines, uploaded once in a life of ours."""
        count, file = self._uploaded.get((room, run.id), (-1, None))
        if count != len(lines):
            file = await self._upload(room, run, lines)
            self._uploaded[room, run.id] = (len(lines), file)
        return file

    async def _upload(self, room: str, run: Run, lines: Sequence[LogLine]) -> Content | None:
        """The file is shortened to what the homeserver takes."""
        for most in (await self._link.most_uploaded(), _SMALL):
            text = await asyncio.to_thread(pages.file_of, lines, most)
            try:
                return await self._link.upload(room, File(f"{run.id}.txt", text))
            except Refused as error:
                log.warning("the log of %s, %d bytes, is refused: %s", run.id, len(text), error)
                if len(text) <= _SMALL:
                    break
        return None

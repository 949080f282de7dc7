"""A terminal as a Matrix client: one types as alice and sees what is said in the room."""

from __future__ import annotations

import asyncio
import sys
import threading

import click

from fleetbot.devkit.matrix_user import RoomEvent
from fleetbot.devkit.world import World

_ISSUE = "/issue "


class ChatPrompt:
    """Reads lines from the terminal; `/issue <title>` opens an issue instead of being sent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()

    async def run(self) -> None:
        """Until end of input."""
        loop = asyncio.get_running_loop()
        # A daemon: a read from a terminal cannot be interrupted, and must not keep us alive.
        threading.Thread(target=self._read, args=(loop,), daemon=True).start()
        showing = asyncio.create_task(self._show())
        try:
            while (line := await self._lines.get()) is not None:
                if text := line.strip():
                    await self._say(text)
        finally:
            showing.cancel()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(self._lines.put_nowait, line)
        loop.call_soon_threadsafe(self._lines.put_nowait, None)

    async def _say(self, text: str) -> None:
        if text.startswith(_ISSUE):
            number = await self._world.open_issue(text.removeprefix(_ISSUE))
            click.echo(click.style(f"  (issue #{number} opened)", dim=True))
        else:
            await self._world.alice.send(self._world.room, text)

    async def _show(self) -> None:
        """Everything that the others say from now on."""
        world = self._world
        history = await world.alice.messages(world.room, limit=1)
        last = history[-1].event_id if history else None
        while True:
            event = await world.alice.wait_for(self._is_news, after=last, timeout=7 * 24 * 3600)
            last = event.event_id
            _print(event)

    def _is_news(self, event: RoomEvent) -> bool:
        return (
            event.room_id == self._world.room
            and event.type == "m.room.message"
            and event.sender != self._world.alice.user_id
        )


def _print(event: RoomEvent) -> None:
    name = event.sender.split(":")[0].lstrip("@").rsplit("-", 1)[0]
    mark = " (thread)" if event.thread else " (edit)" if event.replaces else ""
    head = click.style(f"{name}{mark}", fg="magenta", bold=True)
    lines = event.text.splitlines() or [""]
    click.echo(f"{head}  {lines[0]}")
    for line in lines[1:]:
        click.echo(f"    {line}")

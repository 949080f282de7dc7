"""A terminal as a Matrix client: one types as alice and sees what is said in the room."""

from __future__ import annotations

import asyncio
import sys
import threading

import click

from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.world import World

HELP = """
/issue <title>           opens an issue for the fleet
/react [number] <emoji>  reacts to a message
/reply [number] <words>  replies to a message
/thread [number] <words> says something in a message's thread
Without a number it is the newest message that it fits; anything else is said in the room."""


class Shown:
    """The messages that were shown, each by its number, and which of them wait for an answer."""

    def __init__(self) -> None:
        self._messages: list[RoomEvent] = []
        self._asking: set[str] = set()

    def note(self, event: RoomEvent) -> int:
        """The number of a message; an edit has that of what it changes."""
        if event.replaces:
            self._asking.discard(event.replaces)  # what was asked is edited once it is decided
        for number, shown in enumerate(self._messages, 1):
            if event.replaces == shown.event_id:
                return number
        self._messages.append(event)
        return len(self._messages)

    def note_button(self, message: str, emoji: str) -> None:
        """What waits for an answer has a button for a no."""
        if emoji.startswith("❌"):
            self._asking.add(message)

    def meant(self, rest: str, *, in_thread: bool) -> tuple[RoomEvent | None, str]:
        """The message that is spoken of, and what is said of it."""
        number, _, words = rest.partition(" ")
        if number.isdecimal() and words and int(number) in range(1, len(self._messages) + 1):
            return self._messages[int(number) - 1], words
        fitting = [event for event in self._messages if bool(event.thread) is in_thread]
        asking = [event for event in fitting if event.event_id in self._asking] or fitting
        return (asking[-1] if asking and rest else None), rest


class ChatPrompt:
    """Reads lines from the terminal. What is shown has a number, by which it is reacted and replied
    to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._shown = Shown()

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
        word, _, rest = text.partition(" ")
        world, alice, room = self._world, self._world.alice, self._world.room
        target, words = self._shown.meant(rest.strip(), in_thread=word == "/thread")
        match word, target:
            case "/issue", _:
                number = await world.open_issue(rest)
                click.echo(click.style(f"  (issue #{number} opened)", dim=True))
            case "/react", RoomEvent():
                await alice.react(room, target.event_id, words)
            case "/reply", RoomEvent():
                await alice.reply(room, target.event_id, words)
            case "/thread", RoomEvent():
                await alice.send(room, words, thread=target.thread or target.event_id)
            case (("/react" | "/reply" | "/thread"), None):
                click.echo(HELP)
            case _:
                await alice.send(room, text)

    async def _show(self) -> None:
        """Everything that the others say from now on."""
        world = self._world
        history = await world.alice.messages(world.room, limit=1)
        last = history[-1].event_id if history else None
        while True:
            event = await world.alice.wait_for(self._is_news, after=last, timeout=7 * 24 * 3600)
            last = event.event_id
            self._print(event)

    def _is_news(self, event: RoomEvent) -> bool:
        return (
            event.room_id == self._world.room
            and event.type in ("m.room.message", "m.reaction")
            and event.sender != self._world.alice.user_id
            and bool(event.content)  # else it was taken back
        )

    def _print(self, event: RoomEvent) -> None:
        name = event.sender.split(":")[0].lstrip("@").rsplit("-", 1)[0]
        if event.reaction:
            self._shown.note_button(*event.reaction)
            click.echo(click.style(f"      {name} {event.reaction[1]}", dim=True))
            return
        mark = " (thread)" if event.thread else " (edit)" if event.replaces else ""
        number = click.style(f"{self._shown.note(event):>4} ", dim=True)
        head = click.style(f"{name}{mark}", fg="magenta", bold=True)
        first, *others = event.text.splitlines() or [""]
        click.echo(f"{number} {head}  {first}")
        for line in others:
            click.echo(f"      {line}")

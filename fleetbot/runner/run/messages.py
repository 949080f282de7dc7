"""What people say to a run while its program works."""

from __future__ import annotations

from collections.abc import Callable

from fleetbot.client.errors import CallError
from fleetbot.domain.model import Taken
from fleetbot.runner.link import Link
from fleetbot.runner.session.contract import Session
from fleetbot.wire import MessageView

_WAIT = 20.0


class Messages:
    """Hands messages to the live session, or keeps them for the program's next start."""

    def __init__(
        self, link: Link, run: str, notes: tuple[str, ...], note: Callable[[str], None]
    ) -> None:
        self._kept = list(notes)
        self._link = link
        self._run = run
        self._note = note
        self._known: dict[str, Taken] = {}

    def hand_over(self) -> tuple[str, ...]:
        """The messages to be told at the start of the program; they are kept no longer."""
        kept, self._kept = tuple(self._kept), []
        return kept

    async def listen(self, session: Session) -> None:
        """Until cancelled, or the run is no longer ours (which others find out and act on)."""
        link, run = self._link, self._run
        try:
            while True:
                heard = await link.outlast(lambda: link.messages(run, _WAIT))
                for message in heard.messages:
                    await self._deliver(message, session)
        except CallError as problem:
            self._note(f"no longer hears what people say: {problem}")

    async def _deliver(self, message: MessageView, session: Session) -> None:
        """What became of a message is said until the orchestrator knows; the program hears once."""
        link, run = self._link, self._run
        if message.id not in self._known:
            self._known[message.id] = Taken(await session.steer(message.text))
            if self._known[message.id] is Taken.KEPT:
                self._kept.append(message.text)
                self._note("a person's message is kept for the program's next start")
            else:
                self._note("a person's message was handed to the program")
        await link.outlast(lambda: link.taken(run, message.id, self._known[message.id]))

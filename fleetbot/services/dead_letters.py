"""Effects that were given up: people see them, send them again or let go of them."""

from __future__ import annotations

from fleetbot import wire
from fleetbot.domain.effects import FleetNotice, NoticeKind
from fleetbot.domain.errors import NotFound
from fleetbot.services.fleet import Fleet
from fleetbot.services.notices import tell
from fleetbot.store.records import Anchor, DeadLetter

_TOLD = "outbox:given_up_told"
_QUIET_MS = 3_600_000  # between two notices: an outage's end may bury thousands of effects
COUNTED = 1000


class DeadLetters:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._untold = True  # as after a kill between a letter's end and the notice of it

    async def list(self, after: int, limit: int) -> wire.DeadLetterList:
        letters = await self._fleet.store.dead_letters(after, limit + 1)
        page = letters[:limit]
        more = page[-1].number if len(letters) > limit else None
        return wire.DeadLetterList(letters=tuple(map(_view, page)), next=more)

    async def retry(self, letter: int | None) -> wire.LettersMoved:
        """Have one letter, or all, sent again: in order, and with patience anew."""
        revived = await self._fleet.store.revive(letter, self._fleet.clock())
        self._fleet.call_couriers()
        return _moved(letter, revived)

    async def dismiss(self, letter: int | None) -> wire.LettersMoved:
        """Let go of one letter, or of all: they are not sent any more, and not told of."""
        return _moved(letter, await self._fleet.store.dismiss(letter))

    def note(self) -> None:
        """There is one more."""
        self._untold = True

    async def tell(self) -> None:
        """Have the rooms hear of new letters: counted, and once in an hour at most."""
        if self._untold:
            self._untold = False  # first of all: there may be one more while this one is told
            told = False
            try:
                told = await self._tell()
            finally:
                self._untold |= not told

    async def _tell(self) -> bool:
        """Whether all that there is has been told of."""
        store, now = self._fleet.store, self._fleet.clock()
        graveyard = await store.graveyard(COUNTED)
        told = int(await store.anchor(_TOLD) or 0)
        if graveyard.newest is None or graveyard.newest <= told:
            return True
        if 0 <= now - told < _QUIET_MS:
            return False
        notice = FleetNotice(notice=NoticeKind.GIVEN_UP, letters=graveyard.letters)
        await tell(self._fleet, notice, Anchor(key=_TOLD, value=str(now)))
        return True


def _view(letter: DeadLetter) -> wire.DeadLetterView:
    return wire.DeadLetterView(
        id=str(letter.number),
        destination=letter.destination,
        kind=letter.kind,
        due_at=letter.due_at,
        given_up_at=letter.given_up_at,
        error=letter.error,
    )


def _moved(letter: int | None, count: int) -> wire.LettersMoved:
    if letter is not None and not count:
        raise NotFound(f"There is no dead letter {letter} (any more).", field="letter")
    return wire.LettersMoved(letters=count)

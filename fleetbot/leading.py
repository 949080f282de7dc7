"""Leads as long as it can, and tries to lead while it does not."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fleetbot.domain.leadership import Holder
from fleetbot.logs import Log
from fleetbot.loops import Loop
from fleetbot.store.interface import Deposed, StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import NewerSchema
from fleetbot.store.seat import Seat

_LONGEST = 3600.0  # seconds; the seat says how often it is to be looked after

NOT_OURS = (DatabaseInUse, Deposed, NewerSchema)
"""What says that the database is another's to work on."""
NO_SEAT = (*NOT_OURS, StoreUnavailable)
"""Why one cannot lead now, and may later."""


class Leading:
    """Looks after the seat: renews it while it is taken, and has it tried for while it is not.

    `attempt` tries to take it and to begin; `step_down` ends what another may do by now. Neither is
    called twice at once, and neither keeps the lease from being renewed, however long it takes.
    """

    def __init__(
        self,
        seat: Seat,
        log: logging.Logger,
        attempt: Callable[[], Awaitable[None]],
        step_down: Callable[[Exception], Awaitable[None]],
    ) -> None:
        self._seat = seat
        self._log = Log(log, {})
        self._attempt = attempt
        self._step_down = step_down
        self._lost: Exception | None = None
        self._said = ""
        self._failed = ""
        self._loops = (
            Loop("leadership", self.tick, _LONGEST, log),
            Loop("lease", self.renew, _LONGEST, log),
        )

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        for loop in self._loops:
            await loop.stop()

    async def take(self, lease: float) -> None:
        """Have the seat, for `lease` seconds at a time. Raises one of `NO_SEAT`."""
        await self._seat.take(lease)
        self._wake()

    async def leave(self) -> None:
        """Let another have the seat."""
        was_taken, self._lost = self._seat.is_taken, None
        await self._seat.leave()
        if was_taken:
            self._wake()

    def lost(self, error: Exception) -> None:
        """The store has said that another leads: there is no need to ask again."""
        self._lost = error
        self._wake()

    def stands_by(self, why: Exception) -> str:
        """Say so once, and for as long as it stays the same; in words for people."""
        told = words(why)
        if told != self._said:
            self._log.warning("fleetbot stands by: %s", told)
        self._said = told
        return told

    def leads(self) -> None:
        """Say so, where it has stood by."""
        if self._said:
            self._log.info("fleetbot leads now")
        self._said = self._failed = ""

    def _wake(self) -> None:
        for loop in self._loops:
            loop.wake()

    async def tick(self) -> float:
        """Answers in how many seconds to come again."""
        try:
            if not self._seat.is_taken:
                await self._attempt()
            elif self._lost is not None:
                lost, self._lost = self._lost, None
                await self._step_down(lost)
        except Exception as error:
            self._complain(error)
        return _LONGEST if self._seat.is_taken else self._seat.look_every

    def _complain(self, error: Exception) -> None:
        """Once for each new error; it is tried again soon, whatever it is."""
        if repr(error) != self._failed:
            self._log.error("fleetbot cannot lead", exc_info=error)
        self._failed = repr(error)

    async def renew(self) -> float:
        """Answers in how many seconds to come again."""
        if not self._seat.is_taken or self._lost is not None:
            return _LONGEST
        try:
            await self._seat.renew()
        except NOT_OURS as error:
            self.lost(error)
        except Exception as error:  # health tells of it; the fleet opens the store again
            self._log.debug("the lease is not renewed: %s: %s", type(error).__name__, error)
            return self._seat.look_every
        return self._seat.renew_every


def leader_of(why: Exception) -> Holder | None:
    if isinstance(why, DatabaseInUse) and why.name:
        return Holder(why.name, why.address, why.since)
    return None


def words(why: Exception) -> str:
    """Why it stands by, for people."""
    leader = leader_of(why)
    if leader is not None:
        return f"{leader.name} leads, at {leader.address}"
    if isinstance(why, Deposed | DatabaseInUse):
        return "another fleetbot leads on this database"
    return str(why)

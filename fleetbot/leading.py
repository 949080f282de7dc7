"""Leads as long as it can, and tries to lead while it does not."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fleetbot.domain.leadership import Holder
from fleetbot.loops import Loop
from fleetbot.store.interface import Deposed, StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import NewerSchema
from fleetbot.store.seat import Seat

_LONGEST = 60.0  # seconds; a seat says how often it is to be looked after

NOT_OURS = (DatabaseInUse, Deposed, NewerSchema)
"""What says that the database is another's to work on."""
NO_SEAT = (*NOT_OURS, StoreUnavailable)
"""Why one cannot lead now, and may later."""


class Leading:
    """Looks after the seat: renews it while it is taken, and has it tried for while it is not.

    `attempt` tries to take it and to begin; `step_down` ends what another may do by now. Neither is
    called twice at once.
    """

    def __init__(
        self,
        seat: Seat,
        log: logging.Logger,
        attempt: Callable[[], Awaitable[None]],
        step_down: Callable[[Exception], Awaitable[None]],
    ) -> None:
        self._seat = seat
        self._log = log
        self._attempt = attempt
        self._step_down = step_down
        self._lost: Exception | None = None
        self._said = ""
        self._is_new = True
        self._loop = Loop("leadership", self.tick, _LONGEST, log)

    def start(self) -> None:
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()

    def lost(self, error: Exception) -> None:
        """The store has said that another leads: there is no need to ask again."""
        self._lost = error
        self._loop.wake()

    def stands_by(self, why: Exception) -> str:
        """Say so once, and for as long as it stays the same; in words for people."""
        told = words(why)
        if told != self._said:
            self._log.warning("fleetbot stands by: %s", told)
        self._said = told
        return told

    def leads(self) -> None:
        """Say so, where it has stood by."""
        self._lost = None
        if self._said:
            self._log.info("fleetbot leads now")
        self._said = ""

    async def tick(self) -> float:
        """Answers in how many seconds to come again."""
        if self._seat.is_taken:
            await self._keep()
        elif not self._is_new:  # else it was tried just now
            await self._attempt()
        self._is_new = False
        return self._seat.renew_every if self._seat.is_taken else self._seat.look_every

    async def _keep(self) -> None:
        try:
            if self._lost is None:
                await self._seat.renew()
        except NOT_OURS as error:
            self._lost = error
        except StoreUnavailable as error:  # health tells of it; the fleet opens it again
            self._log.debug("the lease is not renewed: %s", error)
        if self._lost is not None:
            lost, self._lost = self._lost, None
            await self._step_down(lost)


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

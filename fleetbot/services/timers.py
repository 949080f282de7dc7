"""Time taking effect: leases, deadlines, back-offs, and what may be forgotten."""

from __future__ import annotations

from fleetbot.domain.commands import Expire, NoteWaits
from fleetbot.services.dispatcher import Dispatcher
from fleetbot.services.fleet import Context, Fleet

_CLOSED_STAY_MS = 10 * 60_000
_ASLEEP_MS = 15_000  # between two ticks: the machine was suspended, or its clock was set
_PROVED_EACH_MS = 15_000
_KEEP_MS = 14 * 24 * 3_600_000
_KEEP_LOGS_MS = 90 * 24 * 3_600_000


class Timers:
    """`keep_logs_ms`: for how long the logs of runs that have ended are kept."""

    def __init__(
        self, fleet: Fleet, dispatcher: Dispatcher, keep_logs_ms: int = _KEEP_LOGS_MS
    ) -> None:
        self._fleet = fleet
        self._keep_logs_ms = keep_logs_ms
        self._dispatcher = dispatcher
        self._last = fleet.clock()
        self._proved_at = 0

    async def tick(self) -> None:
        """Let what has run out run out, and what has waited long enough be dispatched."""
        await self._wake_up()
        await self._prove()
        await self._fleet.commit(Expire(), Context(actor="timer"))
        now = self._fleet.clock()
        self._fleet.state.queue.ripen(self._fleet.state.tasks, now)
        self._dispatcher.wake()
        self._fleet.forget_closed(now - _CLOSED_STAY_MS)

    async def note_waits(self) -> None:
        """Have people told of tasks that have waited for long, and of those that go on."""
        await self._fleet.commit(NoteWaits(), Context(actor="timer"))

    async def _wake_up(self) -> None:
        """Nobody could be heard while we slept, so nobody was silent."""
        last, self._last = self._last, self._fleet.clock()
        if not 0 <= self._last - last <= _ASLEEP_MS:
            await self._fleet.start()
            self._fleet.renew(self._last - last)

    async def _prove(self) -> None:
        now = self._fleet.clock()
        if not 0 <= now - self._proved_at < _PROVED_EACH_MS:
            self._proved_at = now
            await self._fleet.prove()

    async def prune(self) -> None:
        """Delivered effects and handled deliveries are of no use after two weeks."""
        now = self._fleet.clock()
        await self._fleet.store.prune(now - _KEEP_MS)
        await self._fleet.store.prune_logs(now - self._keep_logs_ms)

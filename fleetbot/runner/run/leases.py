"""Whether a run is still the agent's own: only an answer of the orchestrator tells."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from fleetbot.client.errors import Superseded
from fleetbot.wire import HeartbeatAnswer, Problem

_LONG_SECONDS = 2.0


class Leases:
    """The leases of one agent's runs, which its heartbeats extend."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    async def confirm(self, run: str, say: Callable[[str], None] = lambda text: None) -> None:
        """Wait for the answer to a heartbeat that begins after this call, however long it takes.

        Whatever cannot be taken back is done only after it: a runner that was cut off does not
        know that its run was given to another. `say` hears if it takes long. Raises Superseded.
        """
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((run, told))
        self._wanted.set()
        await asyncio.wait({told}, timeout=_LONG_SECONDS)
        if not told.done():
            say("waits for the orchestrator to say that the run is still this agent's")
        await told

    async def beat(self, send: Callable[[], Awaitable[HeartbeatAnswer]]) -> HeartbeatAnswer:
        """Send a heartbeat that names all runs, and tell those who wait for its answer."""
        self._wanted.clear()
        waiting, self._waiting = self._waiting, []
        try:
            answer = await send()
        except BaseException:
            self._waiting = waiting + self._waiting
            raise
        reasons = {order.run: order.reason for order in answer.cancel}
        for run, told in waiting:
            if told.done():  # its run ended meanwhile
                continue
            if run in reasons:
                told.set_exception(_taken_away(reasons[run]))
            else:
                told.set_result(None)
        return answer

    async def rest(self, seconds: float) -> None:
        """Until the next heartbeat is due: sooner, where somebody waits for its answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()


def _taken_away(reason: str) -> Superseded:
    """As its next call would be told."""
    detail = f"the run was taken away: {reason}"
    return Superseded(
        Problem(type="about:blank", title="", status=409, detail=detail, code="superseded")
    )

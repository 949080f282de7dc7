"""Waiting for a forge that is away: its absence costs time, never the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fleetbot.domain.patience import Patience
from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.link import delays

_T = TypeVar("_T")
_PATIENCE = Patience(500, 30_000)


class Outages:
    """One run's. It says once that it waits, and once that the forge is back.

    `heard` is told of each failure, so that the agent takes nothing more meanwhile.
    """

    def __init__(self, say: Callable[[str], None], heard: Callable[[RunFailed], None]) -> None:
        self._say = say
        self._heard = heard
        self._waiting = 0

    async def outlast(
        self,
        step: Callable[[], Awaitable[_T]],
        until: float,
        reasons: frozenset[ReasonCode] = frozenset({ReasonCode.FORGE_UNAVAILABLE}),
    ) -> _T:
        """Repeat the step while it fails for these reasons, up to `until` of the loop's clock.

        Raises RunFailed: the step's last failure.
        """
        now, waits = asyncio.get_running_loop().time, False
        try:
            for delay in delays(_PATIENCE):
                try:
                    return await step()
                except RunFailed as failure:
                    if failure.reason not in reasons or now() >= until:
                        raise
                    waits = waits or self._begin_waiting(failure)
                await asyncio.sleep(min(delay, max(0.0, until - now())))
        finally:
            self._waiting -= waits
            if waits and not self._waiting:
                self._say("waits for the forge no longer")
        raise AssertionError("the waiting times have no end")

    def _begin_waiting(self, failure: RunFailed) -> bool:
        self._heard(failure)
        if not self._waiting:
            self._say(f"waits for the forge: {failure.detail}")
        self._waiting += 1
        return True

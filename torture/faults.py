"""Faults as they are carried out. Each has a proof that it landed, or it is *not run*."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from torture.story import Blow, Fault, Line, Spell, Strike
from torture.system import Refused, System

_PATIENCE = 20.0  # seconds that a strike waits for its target, and then for its moment
_REST = 2.0  # … that a target has to come to itself: what is always down does nothing wrong


@dataclass(frozen=True)
class Landed:
    """`hits`: what it harmed, 0 where it was not run; `proof` says what shows it, or why not."""

    fault: Fault
    hits: int
    proof: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.proof}"


class Faults:
    """Carries out the faults of one round; `until` waits for a moment of it."""

    def __init__(
        self, system: System, until: Callable[[float], Awaitable[None]], rest: float = _REST
    ) -> None:
        self._system = system
        self._until = until
        self._rest = rest
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def land(self, fault: Fault) -> Landed:
        await self._until(fault.at)
        if isinstance(fault, Spell):
            return await self._cast(fault)
        due = time.monotonic()
        async with self._one_at_a_time[fault.target]:
            if time.monotonic() - due > _PATIENCE:
                return Landed(fault, 0, "not run: others had its target")
            if fault.after and not await self._moment(*fault.after):
                return Landed(fault, 0, "not run: its moment never came")
            landed = await self._strike(fault)
            await asyncio.sleep(self._rest if landed.hits else 0)
        return landed

    async def _moment(self, line: Line, only: str) -> bool:
        proxy = self._system.lines.get(line)
        if proxy is None:
            return False
        try:
            async with asyncio.timeout(_PATIENCE):
                await proxy.answered(only)
        except TimeoutError:
            return False
        return True

    async def _cast(self, spell: Spell) -> Landed:
        proxy = self._system.lines.get(spell.line)
        if proxy is None:
            return Landed(spell, 0, "not run: the system has no such line")
        cast = proxy.cast(spell)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(spell.seconds):
                    await cast.used_up.wait()
        finally:
            proxy.lift(cast)
        if not cast.hits:
            return Landed(spell, 0, "not run: no request came")
        return Landed(spell, cast.hits, f"{cast.hits} requests, as {cast.examples[0]}")

    async def _strike(self, strike: Strike) -> Landed:
        system, target = self._system, strike.target
        blow, back = {
            Blow.KILL: (system.kill, system.start),
            Blow.FREEZE: (system.freeze, system.thaw),
        }[strike.blow]
        try:
            proof = await blow(target)
            if proof and strike.seconds is not None:
                await asyncio.sleep(strike.seconds)
        except Refused as refusal:
            return Landed(strike, 0, f"not run: {refusal}")
        except asyncio.CancelledError:
            await system.thaw(target)  # what is frozen cannot be ended
            raise
        if strike.seconds is not None:
            await back(target)
        return Landed(strike, 1, proof) if proof else Landed(strike, 0, "not run: nothing to hit")

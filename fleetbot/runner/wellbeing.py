"""When an agent takes no runs, and how it goes on by itself: circuit breakers by a reason's owner.

What the task owns concerns nobody else, what the account owns parks it on the orchestrator's side.
Anything else would befall the next run as well, so nothing is taken until a pause is over, which
grows with each such failure in a row, and until what failed passes its check.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from fleetbot.domain.patience import Patience
from fleetbot.domain.reasons import REASONS, SPARES_AGENTS, Owner, ReasonCode
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.link import delays
from fleetbot.runner.registration import Registration
from fleetbot.runner.session.contract import HealthLine

_PAUSES = {
    Owner.AGENT: (5.0, 600.0),
    Owner.PROVIDER: (15.0, 600.0),
    Owner.FORGE: (1.0, 60.0),
    Owner.RUNNER: (15.0, 600.0),
}
"""Seconds: the first, and the longest."""
_MOST_DOUBLINGS = 16
_LOOK_SECONDS = 1.0
_TELL_SECONDS = 2.0
_WITH_CHECKS = Patience(5_000, 60_000)
_WITH_FORGE = Patience(1_000, 60_000)
Stamp = Callable[[], object]


class Pauses:
    """How long nothing is taken after a failure, in seconds: longer with each one in a row."""

    def __init__(self) -> None:
        self._in_a_row: Counter[Owner] = Counter()

    def after(self, owner: Owner) -> float:
        base, cap = _PAUSES[owner]
        pause = min(cap, base * 2.0 ** min(self._in_a_row[owner], _MOST_DOUBLINGS))
        self._in_a_row[owner] += 1
        return pause

    def end_row(self) -> None:
        """A run came to something that is its task's."""
        self._in_a_row.clear()


class ForgeWatch:
    """Whether the forge answers the runner; what one agent finds out counts for all.

    `ask` is a cheap question, which raises RunFailed where it is not answered.
    """

    def __init__(self, ask: Callable[[], Awaitable[object]], say: Callable[[str], None]) -> None:
        self._ask = ask
        self._say = say
        self._failure: RunFailed | None = None
        self._asking = asyncio.Lock()

    @property
    def is_away(self) -> bool:
        return self._failure is not None

    def doubt(self, failure: RunFailed) -> None:
        """A run met this failure."""
        if self._failure is None:
            self._failure = failure
            self._say(f"{failure.detail}; nothing is taken until the forge answers")

    async def answers(self) -> bool:
        """Whether it does by now; asked only where that was in doubt."""
        async with self._asking:
            return await self._answers()

    async def until_it_answers(self) -> None:
        async with self._asking:
            for delay in delays(_WITH_FORGE):
                if await self._answers():
                    return
                await asyncio.sleep(delay)

    async def _answers(self) -> bool:
        if self._failure is not None:
            try:
                await self._ask()
            except RunFailed:
                return False
            self._failure = None
            self._say("the forge answers again")
        return True


class Wellbeing:
    """Whether one agent may take a run.

    `make_room` frees what can be freed of the disk and tells whether there is enough. `stamp`
    changes when somebody mends the agent: its program, its login, a token.
    """

    def __init__(
        self,
        registration: Registration,
        forge: ForgeWatch,
        make_room: Callable[[], Awaitable[bool]],
        stamp: Stamp,
        say: Callable[[str], None],
    ) -> None:
        self._registration = registration
        self._forge = forge
        self._make_room = make_room
        self._stamp = stamp
        self._say = say
        self._pauses = Pauses()
        self._trouble: RunFailed | None = None
        self._until = float("-inf")
        self._is_doubted = False
        self._needs_telling = asyncio.Event()
        self._telling = asyncio.Lock()

    def doubt(self) -> None:
        """The orchestrator holds the agent to be unwell: it is looked at before the next run."""
        self._is_doubted = True

    def heard(self, failure: RunFailed | None) -> None:
        """How a run fared: what it failed with, or None when it was verified."""
        owner = Owner.TASK if failure is None else REASONS[failure.reason].owner
        if failure is None or owner is Owner.TASK:
            self._pauses.end_row()
        elif owner in _PAUSES and failure.reason not in SPARES_AGENTS:
            self._open_breaker(failure, owner)

    def _open_breaker(self, failure: RunFailed, owner: Owner) -> None:
        if owner is Owner.FORGE or failure.reason is ReasonCode.FORGE_LOGIN_FAILED:
            self._forge.doubt(failure)
        now = asyncio.get_running_loop().time()
        if now < self._until:  # runs that were on their way when it opened meet the same trouble
            return
        pause = self._pauses.after(owner)
        self._until = now + pause
        self._trouble = failure
        text = REASONS[failure.reason].text
        self._say(f"takes nothing for {pause:g} s or more: {failure.reason}: {text}")
        if failure.reason is ReasonCode.FORGE_LOGIN_FAILED:
            self._needs_telling.set()

    async def until_well(self) -> None:
        """Return when a run may be taken. Raises CallError."""
        if self._is_doubted:
            self._is_doubted = False
            await self._registration.enter()
        waits, has_waited = delays(_WITH_CHECKS), False
        while not await self._is_well():
            has_waited = True
            if self._trouble is not None:
                await self._sit_out(self._trouble)
            elif self._forge.is_away:
                await self._registration.enter()
            else:
                await self._rest(next(waits))
            await self._forge.until_it_answers()
            await self._registration.enter()
        if has_waited:
            self._say("takes runs again")

    async def tell_troubles(self) -> None:
        """For ever: have the orchestrator know of a token that runs wait for. Raises CallError.

        Nothing else says so while such a run holds the last slot; a run that fails says it itself.
        """
        while True:
            await self._needs_telling.wait()
            await asyncio.sleep(_TELL_SECONDS)
            self._needs_telling.clear()
            if self._trouble is not None:
                await self._tell(self._trouble)

    async def _tell(self, trouble: RunFailed) -> None:
        reason = REASONS[trouble.reason]
        line = HealthLine(trouble.reason, False, reason.text, reason.advice)
        async with self._telling:
            if self._registration.trouble != line:
                self._registration.trouble = line
                await self._registration.enter()

    async def _is_well(self) -> bool:
        has_room = await self._make_room()
        is_open = self._trouble is None and not self._forge.is_away
        return has_room and is_open and self._registration.well

    async def _sit_out(self, trouble: RunFailed) -> None:
        """The pause, with the orchestrator told why; sooner over where somebody mends the agent."""
        if not await self._is_past(trouble):
            await self._tell(trouble)
        await self._rest(self._until - asyncio.get_running_loop().time())
        self._registration.trouble = None
        if self._trouble is trouble:
            self._trouble = None
            self._until = float("-inf")

    async def _is_past(self, trouble: RunFailed) -> bool:
        """A run waits for the forge in its slot: when that is free again, all may be over, and
        nobody needs to hear of it any more."""
        return REASONS[trouble.reason].owner is Owner.FORGE and await self._forge.answers()

    async def _rest(self, seconds: float) -> None:
        """So long, or until the agent was mended."""
        now, before = asyncio.get_running_loop().time, self._stamp()
        until = now() + seconds
        while (left := until - now()) > 0 and self._stamp() == before:  # noqa: ASYNC110 - of files
            await asyncio.sleep(min(left, _LOOK_SECONDS))

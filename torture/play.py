"""One round: a story is played on a system, watched, and judged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from torture import judge
from torture.faults import Faults, Landed
from torture.judge import Finding
from torture.outcome import Outcome, Reader, Unreadable
from torture.people import People
from torture.story import ORCHESTRATOR, Story, Strike
from torture.system import System

log = logging.getLogger("torture")

_LOOK = 1.0  # seconds between looks at labels
_LOOK_CLOSELY = 0.7  # … at everything, once only recovery is awaited


@dataclass
class Round:
    """What came of a story. `recovered`: seconds from the last fault until nothing was owed, None
    where that never was; `idle`: seconds it was watched then, with what it did meanwhile."""

    story: Story
    system: str
    findings: list[Finding] = field(default_factory=list)
    landed: list[Landed] = field(default_factory=list)
    recovered: float | None = None
    idle: float = 0.0
    idle_launches: int = 0
    idle_requests: int = 0
    seconds: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)

    @property
    def not_run(self) -> list[Landed]:
        return [one for one in self.landed if not one.hits]


async def play(system: System, story: Story) -> Round:
    """Raises Unreadable where forge or room cannot be read: that is no outcome."""
    async with Reader(system.forge, system.room) as reader:
        return await _Play(system, story, reader).run()


class _Play:
    def __init__(self, system: System, story: Story, reader: Reader) -> None:
        self._system = system
        self._story = story
        self._reader = reader
        self._started = time.monotonic()
        self._numbers: dict[str, int] = {}
        self._shown: set[int] = set()
        self._round = Round(story, system.name)
        self._calm = self._started  # when the last fault was over

    async def run(self) -> Round:
        before = await self._reader.outcome()
        self._started = time.monotonic()
        people = People(self._system, self._reader, self._numbers, self._until, self._story.needs)
        faults = Faults(self._system, self._until)
        watching = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                deeds = [group.create_task(people.open(its)) for its in self._story.issues]
                deeds += [group.create_task(people.do(its)) for its in self._story.deeds]
                blows = [group.create_task(faults.land(its)) for its in self._story.faults]
                for blow in blows:
                    blow.add_done_callback(self._note_calm)
            self._round.landed = [blow.result() for blow in blows]
            await self._all_up()
            await self._recover(before)
            await self._idle()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        await self._judge(before)
        return self._round

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._started + at - time.monotonic()))

    async def _all_up(self) -> None:
        """Whoever was hit last runs again, but for those that the story leaves dead."""
        dead = {
            fault.target
            for fault in self._story.faults
            if isinstance(fault, Strike) and fault.seconds is None
        }
        for target in (ORCHESTRATOR, *self._system.workers):
            if target not in dead:
                await self._system.thaw(target)
                await self._system.start(target)

    def _note_calm(self, _: object) -> None:
        self._calm = time.monotonic()

    # -- watching

    async def _watch(self) -> None:
        """What is shown as done is looked at then and there, lest a lie be taken back unseen."""
        while True:
            await asyncio.sleep(_LOOK)
            with suppress(Unreadable):
                done = {
                    number
                    for number, issue in (await self._reader.issues()).items()
                    if self._system.marks.done_label in issue.labels
                }
                if done - self._shown:
                    self._note(self._wrong(await self._reader.outcome()))
                    self._shown |= done

    def _wrong(self, seen: Outcome) -> list[Finding]:
        return judge.wrong(self._story, dict(self._numbers), seen, self._system.marks)

    def _note(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            if finding not in self._round.findings:
                log.info("%s", finding)
                self._round.findings.append(finding)

    async def _recover(self, before: Outcome) -> None:
        """Until nothing is owed, or the bound."""
        begun = time.monotonic()
        calm = self._calm if self._story.faults else begun
        while (gone := time.monotonic() - begun) < self._story.bounds.recover:
            if gone > self._story.bounds.silence or await self._labels_show_an_end():
                seen = await self._reader.outcome()
                owed = judge.owed(self._story, self._numbers, before, seen, self._system.marks)
                if not owed:
                    self._round.recovered = round(time.monotonic() - calm, 1)
                    return
                if gone > self._story.bounds.silence:
                    self._note([its for its in owed if its.kind is judge.Kind.UNEXPLAINED])
            await asyncio.sleep(_LOOK_CLOSELY)

    async def _labels_show_an_end(self) -> bool:
        """Cheap to ask, and without it there is no need for a closer look."""
        ends = {self._system.marks.done_label, self._system.marks.failed_label}
        issues = await self._reader.issues()
        return all(issues[number].labels & ends for number in self._numbers.values())

    async def _idle(self) -> None:
        """What it does where nothing is to be done: only if all is well."""
        bound = self._story.bounds.idle
        if self._round.recovered is None or not bound:
            return
        launches, requests = self._system.launches(), self._requests()
        await asyncio.sleep(bound)
        self._round.idle = bound
        self._round.idle_launches = self._system.launches() - launches
        self._round.idle_requests = self._requests() - requests

    def _requests(self) -> int:
        return sum(proxy.requests.total() for proxy in self._system.lines.values())

    async def _judge(self, before: Outcome) -> None:
        seen = await self._reader.outcome()
        marks = self._system.marks
        self._note(judge.judge(self._story, self._numbers, before, seen, marks))
        self._note(judge.endless(self._story, self._system.launches()))
        labels = [seen.issues[number].labels for number in self._numbers.values()]
        self._round.ended = {
            "issues": len(labels),
            "done": sum(marks.done_label in its for its in labels),
            "failed": sum(marks.failed_label in its for its in labels),
        }
        self._round.seconds = round(time.monotonic() - self._started, 1)

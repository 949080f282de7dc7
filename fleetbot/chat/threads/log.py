"""One thread per agent and room, or per task, with the logs of runs: when they are written.

What has been written is kept on disk, so that a restart neither repeats nor loses a line.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from operator import itemgetter

from msgspec.structs import replace

from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.followed import Followed
from fleetbot.chat.threads.writing import Place, Writing
from fleetbot.domain import events as ev
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import Run, RunId, RunState, TaskId
from fleetbot.domain.patience import Patience
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Refused, RetryLater, TooSoon

log = logging.getLogger("fleetbot.chat")

PACE_MS = 5_000
LAST_LINES_MS = 2_000  # a runner hands in the end of the log after the receipt
_CLOSED_MS = 60_000  # for so long a room that does not let us speak is left alone
_LONGEST_QUIET_MS = 600_000  # that a homeserver asks for, and is believed
_AWAY = Patience(5_000, 60_000)


class ThreadLog:
    """Writes the logs of runs to `rooms(repo)`; `wake` is called when there is something to do.

    A thread changes at most once per `pace_ms`, less often where the homeserver limits us: then
    threads take turns, the one that has waited longest first. The end of a run does not wait for
    its pace, but a moment for the run's last lines. A room that does not let us speak waits by
    itself.
    """

    def __init__(
        self,
        fleet: Fleet,
        link: Link,
        rooms: Callable[[str], Awaitable[Sequence[str]]],
        wake: Callable[[], None],
        *,
        per_task: bool = False,
        pace_ms: int = PACE_MS,
    ) -> None:
        self._fleet = fleet
        self._pace = link.pace
        self._rooms = rooms
        self._wake = wake
        self._pace_ms = pace_ms
        self._ending = False
        self._followed = Followed(fleet)
        self._writing = Writing(fleet, link, per_task=per_task)
        self._behind: dict[RunId, int] = {}  # since when, epoch ms
        self._changeable_at: dict[str, int] = {}
        self._quiet_until = self._failures = 0
        self._closed_until: dict[str, int] = {}
        self._served: set[RunId] = set()

    async def expect(self, run: RunId) -> None:
        """The run's log has grown. Returns when it is certain that it will be written."""
        await self._restore()
        await self._fleet.recall_run(run)
        if its := self._fleet.state.runs.get(run):
            await self._followed.add(its)
        self._note(run)

    def resume(self) -> None:
        """A room can be used again, or all of them can: try them."""
        self._closed_until.clear()
        self._quiet_until = self._failures = 0
        self._wake()

    def hear(self, lines: Sequence[Recorded]) -> None:
        """Listener of the fleet: runs that begin and end."""
        self._followed.hear(lines)
        for line in lines:
            match line.event:
                case (
                    ev.TaskStarted(run=run)
                    | ev.TaskCompleted(run=run)
                    | ev.TaskFailed(run=run)
                    | ev.TaskAgentLost(run=run)
                ):
                    self._note(run)
                case ev.TaskCancelled():
                    task = self._fleet.state.tasks.get(TaskId(line.stream.partition(":")[2]))
                    if task and task.run:
                        self._note(task.run)

    def _note(self, run: RunId) -> None:
        self._behind.setdefault(run, self._fleet.clock())
        self._wake()

    async def _restore(self) -> None:
        now = self._fleet.clock()
        self._behind = dict.fromkeys(await self._followed.restore(), now) | self._behind

    async def tick(self) -> float | None:
        """Write what is new. Answers in how many seconds to come again, None if nothing waits."""
        await self._restore()
        await self._followed.keep_up()
        self._ending = False
        self._served.clear()
        self._forget_changes()
        for run, _ in sorted(self._behind.items(), key=itemgetter(1, 0)):
            if self._is_quiet():
                break
            await self._catch_up(run)
        now = self._fleet.clock()
        self._pace.hold(Urgency.LOG, len(self._behind), min(self._behind.values(), default=now))
        if not self._behind:
            return None
        pause = min(self._pace_ms, LAST_LINES_MS) if self._ending else self._pace_ms
        return max(pause, self._quiet_until - now) / 1000

    def _forget_changes(self) -> None:
        """Of threads that may be changed again; tasks and agents come and go. What lies further
        ahead than ever is of a clock that was set back."""
        now = self._fleet.clock()
        self._quiet_until = min(self._quiet_until, now + _LONGEST_QUIET_MS)
        soon = range(now + 1, now + _CLOSED_MS + 1)
        self._changeable_at = {t: at for t, at in self._changeable_at.items() if at in soon}

    def _is_quiet(self) -> bool:
        """Whether nothing may be written now, to any room."""
        now = self._fleet.clock()
        self._quiet_until = max(self._quiet_until, now + self._pace.wait_ms(Urgency.LOG))
        return now < self._quiet_until

    async def _catch_up(self, run_id: RunId) -> None:
        since = self._behind.pop(run_id)
        done = False
        try:
            await self._fleet.recall_run(run_id)
            run = self._fleet.state.runs.get(run_id)
            done = run is None or run not in self._followed or await self._write(run)
        finally:
            if not done:
                self._behind.pop(run_id, None)
                self._behind[run_id] = self._fleet.clock() if run_id in self._served else since

    async def _write(self, run: Run) -> bool:
        """Whether every room has all there is. A run that has ended just now is written as one that
        goes on: its last lines are on their way, and they come before its end."""
        ending = pages.is_over(run) and self._fleet.clock() < run.ended_at + LAST_LINES_MS
        if ending:
            self._ending, run = True, replace(run, state=RunState.RUNNING)
        task = self._fleet.state.tasks[run.task]
        done = True
        for room in await self._rooms(task.repo):
            done = await self._write_in(self._writing.place(room, run, task)) and done
        if done and pages.is_over(run) and run.id not in self._behind:
            await self._followed.remove(run)
            self._writing.forget(run)
        return done and not ending

    async def _write_in(self, place: Place) -> bool:
        over = pages.is_over(place.run)
        while True:
            now = self._fleet.clock()
            if self._is_quiet() or now < self._closed_until.get(place.room, 0):
                return False
            if not over and now < self._changeable_at.get(place.thread, 0):
                return False
            if await self._writing.awaits_card(place):
                return False
            try:
                changed, more = await self._writing.step(place)
            except RetryLater as limit:
                self._rest(place.room, limit)
                return False
            except Refused as error:
                log.warning("the log of %s cannot be written: %s", place.run.id, error)
                self._changeable_at[place.thread] = self._fleet.clock() + _CLOSED_MS
                return True
            self._failures = 0
            if changed:
                self._served.add(place.run.id)
                self._changeable_at[place.thread] = self._fleet.clock() + self._pace_ms
            if not more:
                return True

    def _rest(self, room: str, limit: RetryLater) -> None:
        now = self._fleet.clock()
        if isinstance(limit, TooSoon):
            return  # others were quicker: the pace says when
        if isinstance(limit, NotAdmitted):
            self._closed_until[room] = now + _CLOSED_MS
            return
        pause = _AWAY.wait(self._failures, "") if limit.seconds is None else limit.seconds * 1000
        self._failures += 1
        self._quiet_until = max(self._quiet_until, now + round(pause))

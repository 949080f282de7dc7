"""One thread per agent and room, or per task, with the logs of runs: when they are written.

What has been written is kept on disk, so that a restart neither repeats nor loses a line.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

from msgspec.structs import replace

from fleetbot.chat.speaking.link import Link
from fleetbot.chat.speaking.pace import Urgency
from fleetbot.chat.speaking.requests import NotAdmitted
from fleetbot.chat.speaking.runs import run_in_thread
from fleetbot.chat.threads import pages
from fleetbot.chat.threads.followed import Followed
from fleetbot.chat.threads.turns import FILE_MS, Turn, Turns
from fleetbot.chat.threads.writing import Left, Place, Writing
from fleetbot.domain import events as ev
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import AgentName, Run, RunId, RunState, TaskId
from fleetbot.domain.patience import Patience
from fleetbot.logs import log_of
from fleetbot.services.fleet import Fleet
from fleetbot.services.outbox import Refused, RetryLater, TooSoon
from fleetbot.store.records import PostKind

log = log_of("fleetbot.chat")

PACE_MS = 5_000
LAST_LINES_MS = 2_000  # a runner hands in the end of the log after the receipt
_LATE_MS = 15_000  # a thread whose lines have waited for longer shows the newest of them
_CLOSED_MS = 60_000  # for so long a room that does not let us speak is left alone
_LONGEST_QUIET_MS = 600_000  # that a homeserver asks for, and is believed
_AWAY = Patience(5_000, 60_000)


class ThreadLog:
    """Writes the logs of runs to `rooms(repo)`; `wake` is called when there is something to do.

    A thread changes at most once per `pace_ms`, less often where the homeserver limits us: then
    threads take turns, and each shows what is newest when it has its own. Files come after that, or
    are left for who asks. The end of a run does not wait for its pace, but a moment for the run's
    last lines. A room that does not let us speak waits by itself.
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
        self._turns = Turns(self._agent_of)
        self._changeable_at: dict[str, int] = {}
        self._quiet_until = self._failures = 0
        self._closed_until: dict[str, int] = {}
        self._served: set[RunId] = set()

    def _agent_of(self, run: RunId) -> AgentName | None:
        its = self._fleet.state.runs.get(run)
        return its.agent if its else None

    async def expect(self, run: RunId) -> None:
        """The run's log has grown. Returns when it is certain that it will be written."""
        await self._restore()
        await self._fleet.recall_run(run)
        if its := self._fleet.state.runs.get(run):
            await self._followed.add(its)
        self._note(run)

    async def look_at(self, room: str, event: str) -> None:
        """Somebody wrote in the thread that the event began, or reacted to what is told of a run
        there: for a while its thread comes round more often."""
        store = self._fleet.store
        run = await run_in_thread(store, room, event)
        if run is None and (posted := await store.posted(room, event)):
            run = RunId(posted.subject) if posted.kind is PostKind.RUN else None
        if run and (agent := self._agent_of(run)):
            self._turns.look_at(agent, self._fleet.clock())

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
        self._turns.add(Turn(run), self._fleet.clock())
        self._wake()

    async def _restore(self) -> None:
        for run in await self._followed.restore():
            self._turns.add(Turn(run), self._fleet.clock())

    async def tick(self) -> float | None:
        """Write what is new. Answers in how many seconds to come again, None if nothing waits."""
        await self._restore()
        self._ending = False
        self._served.clear()
        self._forget_changes()
        tried: set[Turn] = set()
        while turn := await self._next(tried):
            tried.add(turn)
            await self._catch_up(turn)
        now, behind = self._fleet.clock(), self._turns.behind
        self._pace.hold(Urgency.LOG, len(behind), min(behind, default=now))
        if not self._turns:
            return None
        pause = min(self._pace_ms, LAST_LINES_MS) if self._ending else self._pace_ms
        return max(pause, self._quiet_until - now) / 1000

    async def _next(self, tried: Collection[Turn]) -> Turn | None:
        """Runs that have begun meanwhile are known by then."""
        await self._followed.keep_up()
        return None if self._is_quiet() else self._turns.next(self._fleet.clock(), tried)

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

    async def _catch_up(self, turn: Turn) -> None:
        since = self._turns.take(turn)
        left = Left.FILE if turn.is_file else Left.LINES
        try:
            await self._fleet.recall_run(turn.run)
            run = self._fleet.state.runs.get(turn.run)
            if run is None or run not in self._followed:
                left = Left.NOTHING
            else:
                left = await self._write(run, turn, since)
        finally:
            self._put_back(turn, left, since)

    def _put_back(self, turn: Turn, left: Left, since: int) -> None:
        now = self._fleet.clock()
        if left is Left.LINES:
            self._turns.put(Turn(turn.run), now if turn.run in self._served else since)
        elif left is Left.FILE:
            self._turns.add(Turn(turn.run, is_file=True), since if turn.is_file else now)

    async def _write(self, run: Run, turn: Turn, since: int) -> Left:
        """What is left, of all rooms. A run that has ended just now is written as one that goes on:
        its last lines are on their way, and they come before its end."""
        now = self._fleet.clock()
        ending = pages.is_over(run) and now < run.ended_at + LAST_LINES_MS
        if ending:
            self._ending, run = True, replace(run, state=RunState.RUNNING)
        task = self._fleet.state.tasks[run.task]
        left = Left.NOTHING
        for room in await self._rooms(task.repo):
            place = self._writing.place(room, run, task, late=now > since + _LATE_MS)
            left = max(left, await self._write_in(place, turn, since))
        if left is Left.NOTHING and pages.is_over(run) and not self._waits(run):
            await self._followed.remove(run)
            self._writing.forget(run)
        return Left.LINES if ending else left

    def _waits(self, run: Run) -> bool:
        """Something has come meanwhile, or is still to be sent."""
        return Turn(run.id) in self._turns or Turn(run.id, is_file=True) in self._turns

    async def _write_in(self, place: Place, turn: Turn, since: int) -> Left:
        wanted = Left.FILE if turn.is_file else Left.LINES
        while True:
            if await self._must_wait(place):
                return wanted
            try:
                changed, left = await self._step(place, turn, since)
            except RetryLater as limit:
                self._rest(place.room, limit)
                return wanted
            except Refused as error:
                log.warning("the log of %s cannot be written: %s", place.run.id, error)
                self._changeable_at[place.thread] = self._fleet.clock() + _CLOSED_MS
                return Left.NOTHING
            self._failures = 0
            if changed:
                self._served.add(place.run.id)
                self._changeable_at[place.thread] = self._fleet.clock() + self._pace_ms
            if left is not wanted:
                return left

    async def _must_wait(self, place: Place) -> bool:
        now, over = self._fleet.clock(), pages.is_over(place.run)
        if self._is_quiet() or now < self._closed_until.get(place.room, 0):
            return True
        if not over and now < self._changeable_at.get(place.thread, 0):
            return True
        return await self._writing.awaits_card(place)

    async def _step(self, place: Place, turn: Turn, since: int) -> tuple[bool, Left]:
        if not turn.is_file:
            return await self._writing.step(place)
        is_too_late = self._fleet.clock() > since + FILE_MS
        return await self._writing.file(place, on_demand=is_too_late)

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

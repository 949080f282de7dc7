"""The board: everything that is shown of it, and to each viewer only of their repositories."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import StrEnum
from functools import cache, partial

from fleetbot import wire
from fleetbot.domain import events as ev
from fleetbot.domain.available import Looks
from fleetbot.domain.errors import Invalid, NotFound
from fleetbot.domain.model import Repo, Run, Task, TaskId, TaskState
from fleetbot.domain.usage import DAY_MS
from fleetbot.domain.wording import person
from fleetbot.services.board import stories, words
from fleetbot.services.board.survey import Survey, Surveys
from fleetbot.services.board.views import Forge, Sees, Views
from fleetbot.services.fleet import Fleet
from fleetbot.services.passes import Passes, Viewer
from fleetbot.services.stories import TellSteps
from fleetbot.store.figures import Outcomes

Hears = Callable[[str, str], bool]  # whether a room (as the settings call it) hears of a repository
CheckHealth = Callable[[], Awaitable[wire.Health]]

_TODAY_MS = 15_000
_HEALTH_MS = 5_000
_DIGITS = 9  # of a place in a list: no fleet has more tasks


class Shelf(StrEnum):
    """Which tasks a list is of."""

    WORKING = "working"
    QUEUED = "queued"
    STOPPED = "stopped"
    DONE = "done"
    ALL = "all"


_STATES: dict[Shelf, Collection[TaskState]] = {
    Shelf.DONE: (TaskState.COMPLETED, TaskState.CANCELLED),
    Shelf.ALL: (),
}


class Board:
    """`frames`: origins of pages that may show the board inside them. `tell` has the words of
    stories; `forge_url` is what all addresses begin with that are shown."""

    def __init__(
        self,
        fleet: Fleet,
        passes: Passes,
        hears: Hears,
        tell: TellSteps,
        health: CheckHealth,
        forge_url: str,
        version: str,
        frames: Sequence[str] = (),
    ) -> None:
        self.fleet = fleet
        self.passes = passes
        self.frames = frames
        self._hears = hears
        self._tell = tell
        self._health = health
        self._version = version
        self._forge = Forge(forge_url)
        self._views = Views(fleet, self._forge)
        self._surveys = Surveys(fleet)
        self._turn = asyncio.Lock()
        self._checked: tuple[int, wire.Health | None] = (0, None)
        self._days: dict[str, tuple[int, wire.BoardToday]] = {}

    # who sees what

    def sees(self, viewer: Viewer) -> Sees:
        if not viewer.room:
            return lambda repo: True
        return cache(partial(self._hears, viewer.room))

    def view_of(self, viewer: Viewer) -> wire.BoardViewer:
        known = [repo.name for repo in self.fleet.state.places.repos.values()]
        seen = sorted(filter(self.sees(viewer), known), key=str.lower)
        return wire.BoardViewer(
            name=viewer.name,
            sees_all=len(seen) == len(known),
            repos=tuple(seen),
            until=viewer.until,
        )

    # the fleet

    async def at_a_glance(self, viewer: Viewer) -> wire.BoardFleet:
        await self.fleet.start()
        sees = self.sees(viewer)
        survey = await self._surveys.of(viewer.room, sees)
        agents, more = self._views.agents(sees)
        return wire.BoardFleet(
            viewer=self.view_of(viewer),
            seq=survey.seq,
            version=self._version,
            forge=self._forge.url,
            counts=wire.BoardCounts(
                working=survey.working.number,
                queued=survey.queued.number,
                stopped=survey.stopped.number,
            ),
            today=await self._today(viewer),
            agents=agents,
            more_agents=more,
            needs=await self._needs(survey),
            needing=survey.attention.tasks,
            halts=tuple(self._halts(sees)),
            troubles=tuple(await self._troubles(viewer)),
        )

    async def _needs(self, survey: Survey) -> tuple[wire.BoardNeed, ...]:
        return tuple(
            [
                wire.BoardNeed(number=need.number, task=await self._views.task(need.first))
                for need in survey.attention.needs
            ]
        )

    def _halts(self, sees: Sees) -> list[str]:
        state, now = self.fleet.state, self.fleet.clock()
        told = []
        if state.frozen:
            told.append(f"The fleet is paused, by {person(state.frozen.by)}.")
        if state.paused_until > now:
            told.append("The fleet rests: the day's budget is spent.")
        for place, pause in state.places.frozen.items():
            repo = state.places.repos.get(place) if isinstance(place, int) else None
            name = repo.name if repo else str(place)
            if sees(name):
                told.append(f"{name} is paused, by {person(pause.by)}.")
        return told

    async def _troubles(self, viewer: Viewer) -> list[wire.BoardTrouble]:
        """Names of rooms and repositories are in the words: not for those who see a part only."""
        health = await self._present_health()
        if health.status == "ok":
            return []
        hidden = "not well; `!fleet doctor` tells more."
        return [
            wire.BoardTrouble(name=name.replace("_", " "), says=hidden if viewer.room else says)
            for name, says in health.checks.items()
            if says != "ok"
        ]

    async def _present_health(self) -> wire.Health:
        """As of some seconds ago at most: it is asked of the disk."""
        async with self._turn:
            at, known = self._checked
            if known is None or not 0 <= self.fleet.clock() - at < _HEALTH_MS:
                known = await self._health()
                self._checked = self.fleet.clock(), known
            return known

    async def _today(self, viewer: Viewer) -> wire.BoardToday:
        """It is counted on the disk, and so not for each who asks."""
        async with self._turn:
            now = self.fleet.clock()
            at, known = self._days.get(viewer.room, (0, wire.BoardToday()))
            if not 0 <= now - at < _TODAY_MS:
                known = await self._counted(self._repos(viewer), now - now % DAY_MS)
                self._days[viewer.room] = (now, known)
            return known

    async def _counted(self, repos: list[Repo] | None, since: int) -> wire.BoardToday:
        store, state = self.fleet.store, self.fleet.state
        if repos == []:  # of none: the store would count those of all
            return wire.BoardToday()
        found = await store.outcomes(since, since + DAY_MS, DAY_MS, repos)
        none = Outcomes(start=since, runs=0, verified=0, first_try=0, failed=0)
        total = found[0] if found else none
        merged = 0
        for repo in state.places.repos.values() if repos is None else repos:
            ended = [its.task for its in await store.ended(repo, since)]
            merged += sum(task.pull is not None and task.pull.merged_at >= since for task in ended)
        return wire.BoardToday(verified=total.verified, failed=total.failed, merged=merged)

    def _repos(self, viewer: Viewer) -> list[Repo] | None:
        """None: all there are."""
        if not viewer.room:
            return None
        sees = self.sees(viewer)
        return [repo for repo in self.fleet.state.places.repos.values() if sees(repo.name)]

    # tasks

    async def tasks(
        self, viewer: Viewer, shelf: Shelf, repo: str, after: str, limit: int
    ) -> wire.BoardTasks:
        """A page of a list. Raises Invalid for a repository that the viewer does not see, and for
        a place that is none."""
        await self.fleet.start()
        sees = self.sees(viewer)
        if repo and not sees(repo):
            raise Invalid(f"{repo} is not among the repositories you see.", field="repo")
        if shelf in _STATES:
            return await self._of_disk(viewer, _STATES[shelf], repo, after, limit)
        if after and not (after.isdecimal() and len(after) <= _DIGITS):
            raise Invalid("after must be as the page before gave it as `next`.", field="after")
        return await self._of_memory(viewer, shelf, repo, int(after or 0), limit)

    async def _of_memory(
        self, viewer: Viewer, shelf: Shelf, repo: str, start: int, limit: int
    ) -> wire.BoardTasks:
        seen, same = self.sees(viewer), self.fleet.state.places.same

        def sees(name: str) -> bool:
            return seen(name) and (not repo or same(repo, name))

        survey = await self._surveys.of(viewer.room, cache(sees), repo.lower())
        its = {
            Shelf.WORKING: survey.working,
            Shelf.QUEUED: survey.queued,
            Shelf.STOPPED: survey.stopped,
        }[shelf]
        here = [self.fleet.state.tasks.get(task) for task in its.page(start, limit)]
        looks, end = Looks(), start + limit
        tasks = [await self._views.task(task, looks) for task in here if task]
        more = str(end) if end < its.number else None
        return wire.BoardTasks(tasks=tuple(tasks), total=its.number, next=more)

    async def _of_disk(
        self, viewer: Viewer, states: Collection[TaskState], repo: str, after: str, limit: int
    ) -> wire.BoardTasks:
        repos = self._repos(viewer)
        names = [repo] if repo else [None] if repos is None else [its.name for its in repos]
        before = TaskId(after) if after else None
        found: dict[TaskId, Task] = {}
        for name in names:
            some = await self.fleet.tasks(states, name, None, limit + 1, before)
            found |= {task.id: task for task in some}
        newest = sorted(found.values(), key=lambda task: (task.created_at, task.id), reverse=True)
        page, looks = newest[:limit], Looks()
        tasks = tuple([await self._views.task(task, looks) for task in page])
        return wire.BoardTasks(tasks=tasks, next=page[-1].id if len(newest) > limit else None)

    async def of_issue(self, viewer: Viewer, repo: str, issue: int) -> wire.BoardTasks:
        """The tasks of that number, in all repositories that the viewer sees, or in that one."""
        await self.fleet.start()
        known = self.view_of(viewer).repos
        names = [name for name in known if not repo or self.fleet.state.places.same(repo, name)]
        found = [await self.fleet.task_of_issue(name, issue) for name in names]
        tasks = tuple([await self._views.task(task) for task in found if task])
        return wire.BoardTasks(tasks=tasks, total=len(tasks))

    async def story(self, viewer: Viewer, id: TaskId) -> wire.BoardStory:
        """Raises NotFound, also for a task of a repository that the viewer does not see."""
        task = await self.fleet.task(id)
        if task is None or not self.sees(viewer)(task.repo):
            raise NotFound(f"There is no task {id}.", field="task")
        return await stories.story(self.fleet, self._views, self._forge, self._tell, task)

    # events

    async def event(self, viewer: Viewer, line: ev.Recorded) -> wire.BoardEvent | None:
        """The event as it is told; None of what is not the viewer's to see."""
        name, event = line.stream.partition(":")[2], line.event
        told = partial(wire.BoardEvent, seq=line.seq, at=line.at, type=ev.event_type(event))
        if isinstance(event, ev.TaskEvent):
            return await self._of_task(viewer, line, TaskId(name))
        if isinstance(event, ev.AgentEvent):
            return told(says=words.of_agent(event), agent=name)
        if isinstance(event, ev.FleetEvent):
            return told(says=words.of_fleet(event))
        repo = self.fleet.state.places.repos.get(int(name)) if name.isdecimal() else None
        if repo is None or not self.sees(viewer)(repo.name):
            return None
        return told(says=f"{repo.name} {words.of_repo(event)}")

    async def _of_task(
        self, viewer: Viewer, line: ev.Recorded, id: TaskId
    ) -> wire.BoardEvent | None:
        task = await self.fleet.task(id)
        if task is None or not self.sees(viewer)(task.repo):
            return None
        run = await self._run(line.event)
        agents = {run.id: run.agent} if run else {}
        (step,) = self._tell(task, [line], agents, self.fleet.clock())
        return wire.BoardEvent(
            seq=line.seq,
            at=line.at,
            type=ev.event_type(line.event),
            says=step.says,
            by=step.by,
            task=task.id,
            ref=task.ref,
            title=task.traits.title,
            agent=run.agent if run else None,
        )

    async def _run(self, event: ev.AnyEvent) -> Run | None:
        """The run that the event is of, if it is of one."""
        id = getattr(event, "run", None)
        if id is None:
            return None
        return self.fleet.state.runs.get(id) or await self.fleet.store.run(id)

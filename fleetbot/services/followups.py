"""Pull requests of verified tasks, watched until they are merged or closed.

Webhooks wake, what is pending is asked for again, and each is looked at now and then in any case:
Forgejo tells of no status, no dismissal and no reply by webhook.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from fleetbot.domain import events as ev
from fleetbot.domain.commands import FollowPull
from fleetbot.domain.events import Recorded
from fleetbot.domain.model import UNSTEADY_MS, Repo, Task, TaskId, issue_of_branch
from fleetbot.domain.patience import Patience
from fleetbot.domain.pulls import PullState, PullView, Watch
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.receipts import Rules
from fleetbot.domain.reruns import WAIT_MS
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeError
from fleetbot.forge.models import PullRequest
from fleetbot.logs import about, log_of
from fleetbot.services.abreast import Piece, abreast
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.pull_views import read_view
from fleetbot.services.subjects import of_task
from fleetbot.services.watching import watched
from fleetbot.store.interface import StoreUnavailable

log = log_of("fleetbot.followups")

_NEVER = 2**62
_NET_MS = 3_600_000  # each is looked at so often, whatever nobody told of it
_CLOSED_MS = 6 * _NET_MS  # and one that is closed
# After a push Forgejo tries all that are open onto the branch, one by one: until it comes to one
# (8 s were seen where there were twenty), that is mergeable or not as it was before.
_TRIED_MS = 60_000
_SETTLES_MS = 8_000  # and then, for 2 s at most as was seen, it is not, whatever comes of it
_SOON = Patience(3_000, 60_000)
_TRYING = Patience(5_000, 60_000)
_PENDING = Patience(15_000, 300_000)
_AWAY = Patience(15_000, 900_000)


# What may owe more at once, or asks one thing of several.
_LOOK_AFTER = (
    ev.TaskCompleted,
    ev.TaskFailed,
    ev.TaskAgentLost,
    ev.TaskCancelled,
    ev.PullMerged,
    ev.PullReopened,
    ev.PullAsked,
    ev.PullRerun,
)


class _Watched(NamedTuple):
    """A pull request: where it is, when it is looked at next, where it goes to, whether it is open,
    how often a look was in vain, and how often something has happened to it."""

    repo_id: int
    number: int
    due: int
    base: str
    is_open: bool = True
    tries: int = 0
    pokes: int = 0


class _Sight(NamedTuple):
    """Since when it is seen at these commits (0: since the first look), and since when it is not
    mergeable there (0: it is)."""

    head: str
    base_head: str
    since: int
    blocked: int = 0


class Followups:
    """`mask` takes our own secrets out of foreign logs; `on_poke` wakes who ticks."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        rules: Rules,
        mask: Callable[[str], str],
        *,
        on_poke: Callable[[], None] = lambda: None,
        concurrency: int = 4,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._rules = rules
        self._mask = mask
        self._on_poke = on_poke
        self._concurrency = concurrency
        self._watched: dict[TaskId, _Watched] = {}
        self._looking: set[TaskId] = set()
        self._sights: dict[TaskId, _Sight] = {}
        self._causes: dict[TaskId, str] = {}
        self._failing: dict[TaskId, str] = {}
        self._is_read = False
        self._last = fleet.clock()
        self._news = asyncio.Event()
        self._after: Callable[[TaskId], Awaitable[None]] = _nothing
        fleet.listen(self._heard)

    def after_look(self, act: Callable[[TaskId], Awaitable[None]]) -> None:
        """Have `act` called with each task whose pull request was looked at as it was due."""
        self._after = act

    # -- what wakes it

    def poke(self, repo_id: int, number: int, cause: str = "") -> bool:
        """Something happened to a pull request; False where it is not watched."""
        here = [
            x for x, its in self._watched.items() if (its.repo_id, its.number) == (repo_id, number)
        ]
        for task in here:
            self._hurry(task, cause)
        return bool(here)

    async def take_up(self, repo: Repo, pull: PullRequest, cause: str) -> None:
        """Watch one again that is open, and was closed for so long that nobody watches it. Raises
        the client's errors."""
        issue = issue_of_branch(pull.head_branch) if pull.state == "open" else 0
        task = await self._fleet.task_in(repo, issue) if issue else None
        if task and task.pull and task.pull.left and task.pull.number == pull.number:
            view = await self._view(task)
            await self._fleet.commit(FollowPull(task.id, view), Context("followup", cause))

    def go_to(self, repo_id: int, base: str) -> bool:
        """Whether any that are open go to this branch."""
        open_ = (its for its in self._watched.values() if its.is_open)
        return any((its.repo_id, its.base) == (repo_id, base) for its in open_)

    def poke_all(self, repo_id: int, cause: str = "", *, base: str = "") -> None:
        """Something happened in the repository that may be about any, or any that go to `base`."""
        for task, its in list(self._watched.items()):
            if its.repo_id == repo_id and its.is_open and base in ("", its.base):
                self._hurry(task, cause)

    def _hurry(self, task: TaskId, cause: str) -> None:
        its = self._watched[task]
        self._watched[task] = its._replace(due=0, tries=0, pokes=its.pokes + 1)
        self._causes[task] = cause
        self._news.set()
        self._on_poke()

    def _heard(self, lines: Sequence[Recorded]) -> None:
        for line in lines:
            if isinstance(line.event, ev.RepoReleased):
                self.poke_all(int(line.stream.removeprefix("repo:")))
            if isinstance(line.event, _LOOK_AFTER):
                task = self._fleet.state.tasks.get(TaskId(line.stream.removeprefix("task:")))
                if task is not None and task.pull is not None:
                    self._watch(task, 0)
                    self._on_poke()

    def _watch(self, task: Task, due: int) -> None:
        if task.pull is None or not task.is_watched:
            self._forget(task.id)
            return
        is_open = task.pull.state is not PullState.CLOSED
        known = self._watched.get(task.id)
        pokes = known.pokes + 1 if known else 0
        where = (task.repo_id, task.pull.number, due, task.pull.standing.base or task.base)
        self._watched[task.id] = _Watched(*where, is_open, pokes=pokes)

    def _forget(self, task: TaskId) -> None:
        for known in (self._watched, self._sights, self._causes, self._failing):
            known.pop(task, None)

    # -- the loop

    def next_due(self) -> int | None:
        """When the next look is due (epoch ms, may be past); None where nothing is watched."""
        due = min((one.due for one in self._watched.values()), default=_NEVER)
        return None if due == _NEVER else due

    async def tick(self) -> None:
        """Look at what is due. Raises `StoreUnavailable` only."""
        await self._fleet.start()
        await self._read()
        self._follow_clock()
        await abreast(self._take, self._news)

    async def _read(self) -> None:
        """At the first tick: all that are watched, spread so that a start is no storm."""
        if self._is_read:
            return
        now = self._fleet.clock()
        async for task in watched(self._fleet.store):
            if task.id not in self._watched:
                self._watch(task, now + 100 * len(self._watched))
        self._is_read = True

    def _follow_clock(self) -> None:
        """Where it was set back, nothing waits for as long again."""
        last, self._last = self._last, self._fleet.clock()
        if self._last >= last - UNSTEADY_MS:
            return
        for task, its in self._watched.items():
            if its.due != _NEVER:
                self._watched[task] = its._replace(due=its.due + self._last - last)

    async def _take(self) -> list[Piece]:
        now, pieces = self._fleet.clock(), []
        due = (task for task, its in self._watched.items() if its.due <= now)
        for task in sorted(due, key=lambda task: self._watched[task].due):
            if task not in self._looking and len(self._looking) < self._concurrency:
                self._looking.add(task)
                let_go = partial(self._looking.discard, task)
                pieces.append(Piece(self._look(task), let_go))
        return pieces

    async def look(self, task: TaskId) -> PullView | None:
        """Look at once, for somebody who is about to act on it; None where there is nothing to see.
        Raises the client's errors."""
        return await self._follow(task, "")

    async def _look(self, task: TaskId) -> None:
        known = self._watched.get(task)
        if known is None:
            return  # merged since it was taken
        if self._fleet.state.places.held.get(known.repo_id) is ReasonCode.REPO_GONE:
            self._failing.pop(task, None)  # the repository is what people hear of
            self._put(task, known, self._fleet.clock() + _NET_MS, 0)
            return
        with about(**of_task(self._fleet.state, task)):
            await self._look_at(task, known)

    async def _look_at(self, task: TaskId, known: _Watched) -> None:
        try:
            view = await self._follow(task, self._causes.pop(task, ""))
            await self._after(task)
        except StoreUnavailable:
            raise
        except ForgeError as error:
            self._later(task, known, _AWAY, str(error))
        except Exception as error:
            log.exception("the pull request of %s could not be dealt with", task)
            self._later(task, known, _AWAY, type(error).__name__)
        else:
            self._settle(task, known, view)

    async def _follow(self, task_id: TaskId, cause: str) -> PullView | None:
        while True:
            task = await self._fleet.task(task_id)
            if task is None or task.pull is None or not task.is_watched:
                self._forget(task_id)
                return None
            view = await self._view(task)
            now = await self._fleet.task(task_id)
            if now and now.pull and now.pull.head == task.pull.head:
                break  # else a round has ended while it was read, and this is what was before
        context = Context(actor="followup", cause=cause or f"pull:{view.number}")
        await self._fleet.commit(FollowPull(task.id, view), context)
        return view

    async def shown(self, task: Task) -> PullView | None:
        """What its pull request shows now; None where there is none, or it cannot be read."""
        if task.pull is None or not task.is_watched:
            return None
        try:
            return await self._view(task)
        except ForgeError:
            return None

    async def _view(self, task: Task) -> PullView:
        """By what its repository is called now."""
        repo = self._fleet.state.places.of(task)
        seen = replace(task, repo=repo.name)
        return self._settled(task, await read_view(self._client, seen, self._rules, self._mask))

    def _settled(self, task: Task, view: PullView) -> PullView:
        """While Forgejo tries to merge it, it shows as one that cannot be: only what stays so is a
        conflict."""
        now, sight = self._fleet.clock(), self._sights.get(task.id)
        if sight is None or (sight.head, sight.base_head) != (view.head, view.base_head):
            sight = _Sight(view.head, view.base_head, now if sight else 0)
        blocked = (sight.blocked or now) if view.mergeable is False else 0
        self._sights[task.id] = sight._replace(blocked=blocked)
        is_doubtful = blocked and now - blocked < _SETTLES_MS
        return replace(view, mergeable=None) if is_doubtful else view

    def _is_fresh(self, task: TaskId) -> bool:
        """Whether its commits are so new to us that Forgejo may not have come to try them."""
        sight = self._sights.get(task)
        return sight is not None and self._fleet.clock() - sight.since < _TRIED_MS

    # -- when it is looked at next

    def _settle(self, task: TaskId, known: _Watched, view: PullView | None) -> None:
        self._failing.pop(task, None)
        its = self._fleet.state.tasks.get(task)
        if view is None or its is None or its.pull is None or not its.is_watched:
            self._forget(task)
            return
        if view.unread:
            self._later(task, known, _AWAY, view.unread[0])
        elif view.state is not PullState.OPEN and view.state is not its.pull.state:
            self._later(task, known, _PENDING, "")  # what its run has filed is decided first
        elif view.state is PullState.CLOSED:
            self._put(task, known, self._fleet.clock() + _CLOSED_MS, 0)
        elif view.mergeable is None and not view.draft:
            self._later(task, known, _SOON, "")
        elif self._is_fresh(task) and not view.draft:
            self._later(task, known, _TRYING, "")
        elif view.ci in ("pending", "unread") or self._awaits_rerun(its.pull):
            self._later(task, known, _PENDING, "")
        else:
            self._put(task, known, self._fleet.clock() + _NET_MS, 0)

    def _awaits_rerun(self, pull: Watch) -> bool:
        """A job that is run again says so within minutes; that it was not is found out as well."""
        its = pull.reruns
        is_young = its is not None and self._fleet.clock() - its.since < 2 * WAIT_MS
        return is_young and pull.standing.ci == "red"

    def _later(self, task: TaskId, known: _Watched, patience: Patience, problem: str) -> None:
        if problem and task in self._watched and self._failing.get(task) != problem:
            message = "the pull request of %s could not be looked at; it is tried again: %s"
            log.warning(message, task, problem)
            self._failing[task] = problem
        wait = patience.wait(known.tries, task)
        self._put(task, known, self._fleet.clock() + wait, known.tries + 1)

    def _put(self, task: TaskId, known: _Watched, due: int, tries: int) -> None:
        """Unless it was poked while it was looked at."""
        if self._watched.get(task) == known:
            its = self._fleet.state.tasks.get(task)
            base = its.pull.standing.base if its and its.pull else ""
            base = base or known.base  # people may have it go to another branch
            is_open = bool(its and its.pull and its.pull.state is PullState.OPEN)
            now = known._replace(due=due, tries=tries, base=base, is_open=is_open)
            self._watched[task] = now

    def problem(self) -> str:
        """ "" while all can be looked at."""
        if not self._failing:
            return ""
        task, why = next(iter(self._failing.items()))
        known = self._fleet.state.tasks.get(task)
        name = known.ref if known else str(task)
        more = f" and {len(self._failing) - 1} more" if len(self._failing) > 1 else ""
        return f"the pull request of {name}{more} cannot be looked at: {why}"


async def _nothing(task: TaskId) -> None:
    """Nobody acts on it."""

"""The repositories the fleet works on: the settings name them, Forgejo's ids tell them apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable, Sequence

from fleetbot.domain.commands import HoldRepo, MoveTasks, NoteRepo, ReleaseRepo
from fleetbot.domain.errors import Conflict, Invalid
from fleetbot.domain.events import event_type
from fleetbot.domain.model import OPEN_STATES, Repo, Task, TaskId, same_name
from fleetbot.domain.reasons import REASONS, ReasonCode
from fleetbot.domain.repositories import is_astray, worth_keeping
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Repository
from fleetbot.logs import log_of
from fleetbot.loops import progress
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.protection import Guard
from fleetbot.store.interface import Unreadable

log = log_of("fleetbot.repositories")

_SLICE = 10_000  # tasks that are looked at before others get their turn
_AT_ONCE = 100  # tasks that follow their repository in one commit
_CONTEXT = Context(actor="timer", cause="repositories")


class Repositories:
    """Follows renames, and holds what is not listed, archived, not to be seen, or refused by the
    `guard` of its branches.

    `names` are those of the settings; a repository may bear another by now.
    """

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        names: Sequence[str],
        guard: Guard | None = None,
    ) -> None:
        self._guard = guard
        self._fleet = fleet
        self._client = client
        self._names = names
        self._problems: dict[str, str] = {}
        self._gathered: set[str] = set()  # names whose tasks all have their repository's id
        self._has_news = False  # that tasks do not follow yet
        self._at_work: set[int | str] = set()  # that had open tasks when all were last looked at

    # -- which there are

    def lists(self, repo: Repo) -> bool:
        """Whether the settings name it, by whatever name it is known by."""
        state = self._fleet.state
        if not repo.id:
            return any(same_name(name, repo.name) for name in self._names)
        return any(
            state.places.named(name) is state.places.repos.get(repo.id) for name in self._names
        )

    def names(self) -> list[str]:
        """As Forgejo spells them now; as the settings do where it was not asked yet."""
        named = (self._fleet.state.places.called(name).name for name in self._names)
        return list(dict.fromkeys(named))

    def listed(self, name: str) -> Repo:
        """What is known of the repository that a person names; its id is 0 where Forgejo was not
        asked yet. Raises `Invalid` where the fleet does not work on it."""
        repo = self._fleet.state.places.called(name)
        if not self.lists(repo):
            known = ", ".join(self.names()) or "none yet"
            raise Invalid(f"The fleet does not work on {name}; it does on: {known}.", field="repo")
        return repo

    async def named(self, name: str) -> Repo:
        """The repository that a person names. Raises `Invalid` where the fleet does not work on
        it, `Conflict` where it is held, and the forge client's errors."""
        await self._fleet.start()
        repo = await self.refresh(self.listed(name))
        if repo.held:
            because = REASONS[repo.held]
            raise Conflict(f"{repo.name}: {because.text}. {because.advice}", field="repo")
        return repo

    async def heard(self, shown: Sequence[Repository], *, changed: bool = False) -> Repo | None:
        """The repository that deliveries are about; None if it is nothing to the fleet.

        They may be late and in any order: where one disagrees with what is known, or says that the
        repository has `changed`, Forgejo is asked.
        """
        await self._fleet.start()
        repo = self._fleet.state.places.repos.get(shown[0].id)
        if repo is None:
            called = self._fleet.state.places.called(shown[0].full_name)
            return await self.look(shown[0].full_name) if self.lists(called) else None
        known = (repo.name, repo.default_branch)
        agrees = all((one.full_name, one.default_branch) == known for one in shown)
        may_be_back = repo.held in (ReasonCode.REPO_GONE, ReasonCode.REPO_ARCHIVED)
        is_as_known = agrees and not may_be_back and not changed
        return repo if is_as_known else await self.refresh(repo)

    # -- what Forgejo shows of them

    async def look(self, name: str) -> Repo:
        """Ask what bears the name now, and have tasks follow. Raises the errors of the client."""
        repo = await self._find(name)
        await self._gather_if_any()
        return repo

    async def refresh(self, repo: Repo) -> Repo:
        """The same for the repository itself, whatever it is called now; by its name where that
        is all we know.

        Raises the client's errors; `ForgeNotFound` after its tasks are held.
        """
        if not repo.id:
            return await self.look(repo.name)
        repo = await self._find_again(repo)
        await self._gather_if_any()
        return repo

    async def _find(self, name: str) -> Repo:
        try:
            return await self._note(await self._client.repo(name), asked=name)
        except forge.ForgeNotFound:
            known = self._fleet.state.places.named(name)
            if known is None:
                raise
        return await self._find_again(known)  # renamed, and the old name leads nowhere any more

    async def _find_again(self, repo: Repo) -> Repo:
        try:
            return await self._note(await self._client.repo_by_id(repo.id), asked=repo.name)
        except forge.ForgeNotFound:
            await self._hold(repo.id, ReasonCode.REPO_GONE)
            raise

    async def _note(self, shown: Repository, asked: str) -> Repo:
        command = NoteRepo(shown.id, shown.full_name, shown.default_branch, asked)
        news = await self._fleet.commit(command, _CONTEXT)
        if news:
            what = ", ".join(event_type(line.event) for line in news)
            log.info("%s (%d): %s", shown.full_name, shown.id, what)
            self._has_news = True
            await self._part(self._fleet.state.places.repos[shown.id])
        await self._judge(shown)
        return self._fleet.state.places.repos[shown.id]

    async def _judge(self, shown: Repository) -> None:
        """Whether its tasks are given out."""
        if not self.lists(self._fleet.state.places.repos[shown.id]):
            await self._hold(shown.id, ReasonCode.REPO_UNLISTED)
        elif shown.archived:
            await self._hold(shown.id, ReasonCode.REPO_ARCHIVED)
        elif not shown.keeps_issues:
            said = "Its issues are switched off, or kept in another tracker."
            await self._hold(shown.id, ReasonCode.REPO_GONE, said)
        elif self._guard and (refusal := await self._guard.refusal(shown)):
            await self._hold(shown.id, ReasonCode.REPO_UNPROTECTED, refusal)
        else:
            await self._fleet.commit(ReleaseRepo(shown.id), _CONTEXT)

    async def _part(self, repo: Repo) -> None:
        """Whoever bore its name until now is called something else, or is gone."""
        for other in list(self._fleet.state.places.repos.values()):
            if other.id != repo.id and not other.held and same_name(other.name, repo.name):
                with contextlib.suppress(forge.ForgeError):  # it is held, or looked at again later
                    await self._find_again(other)

    async def _hold(self, repo: int, reason: ReasonCode, detail: str = "") -> None:
        await self._fleet.commit(HoldRepo(repo, reason, detail), _CONTEXT)

    # -- all of them, now and then

    async def tick(self) -> list[Repo]:
        """Look at all of them; answers those whose issues can be read, each once. Raises
        `StoreUnavailable` only."""
        await self._fleet.start()
        shown: dict[int, Repo] = {}
        for name in self._names:
            try:
                repo = await self._find(name)
            except (forge.ForgeError, Unreadable) as error:
                self._complain(name, error)
            else:
                self._problems.pop(name, None)
                shown[repo.id] = repo
        if all(self._is_clear(name) for name in self._names):
            await self._hold_unlisted()
        await self._look_at_work()
        await self._follow_others(shown)
        await self._gather_tasks()
        await self._gather_closed()
        readable = (repo for repo in shown.values() if repo.held is not ReasonCode.REPO_GONE)
        return [repo for repo in readable if self.lists(repo)]

    def _complain(self, name: str, error: Exception) -> None:
        """Once for each new error, not at every tick."""
        if self._problems.get(name) != str(error):
            log.warning("%s cannot be seen: %s", name, error)
        self._problems[name] = str(error)

    def _is_clear(self, name: str) -> bool:
        """Whether it is known what the name means: else it may be one of those we know."""
        return name not in self._problems or self._fleet.state.places.named(name) is not None

    async def _hold_unlisted(self) -> None:
        for repo in list(self._fleet.state.places.repos.values()):
            if repo.held is not ReasonCode.REPO_GONE and not self.lists(repo):
                await self._hold(repo.id, ReasonCode.REPO_UNLISTED)

    async def _follow_others(self, shown: Collection[int]) -> None:
        """Those whose name is another's by now, or that nobody lists any more."""
        for repo in list(self._fleet.state.places.repos.values()):
            if repo.id in self._at_work and repo.id not in shown:
                try:
                    await self._find_again(repo)
                except forge.ForgeError as error:
                    log.debug("%s cannot be seen: %s", repo.name, error)

    async def _look_at_work(self) -> None:
        """Which have open tasks; and hold those of an old journal whose repository nobody lists:
        there is no id to hold it by."""
        at_work: set[int | str] = set()
        async for tasks in self._slices():
            at_work |= {task.place for task in tasks if task.state in OPEN_STATES}
        self._at_work = at_work
        listed = {name.lower() for name in self._names}
        strangers = {place for place in at_work if isinstance(place, str) and place not in listed}
        self._fleet.state.places.hold_unknown(strangers, ReasonCode.REPO_UNLISTED)

    async def _slices(self) -> AsyncIterator[Sequence[Task]]:
        """All tasks in memory, so many at once that nobody has to wait for it."""
        tasks = list(self._fleet.state.tasks.values())
        for start in range(0, len(tasks), _SLICE):
            yield tasks[start : start + _SLICE]
            await asyncio.sleep(0)

    # -- tasks follow

    async def _gather_if_any(self) -> None:
        if self._has_news:
            await self._gather_tasks()

    async def _gather_tasks(self) -> None:
        """Have every task in memory bear its repository's name and id, in portions, so that
        nobody waits for a repository with many."""
        self._has_news = False
        astray: dict[int, list[Task]] = {}
        async for tasks in self._slices():
            for task in tasks:
                repo = self._fleet.state.places.of(task)
                if repo.id and is_astray(task, repo):
                    astray.setdefault(repo.id, []).append(task)
        for repo_id, found in astray.items():
            found.sort(key=worth_keeping, reverse=True)
            for start in range(0, len(found), _AT_ONCE):
                await self._move(repo_id, [task.id for task in found[start : start + _AT_ONCE]])

    async def _gather_closed(self) -> None:
        """The same for tasks on disk whose old journal has names only, before another repository
        can take the name."""
        for repo in list(self._fleet.state.places.repos.values()):
            names, after = set(repo.names) - self._gathered, TaskId("")
            while names and (ids := await self._without_id(names, after)):
                await self._move(repo.id, ids)
                after = ids[-1]
            self._gathered |= names

    async def _without_id(self, names: Collection[str], after: TaskId) -> list[TaskId]:
        """So many as go into one commit; they are in memory then."""
        page = await self._fleet.store.without_repo_id(names, after, _AT_ONCE)
        for task in page:
            await self._fleet.task(task.id)
        progress()
        return [task.id for task in page]

    async def _move(self, repo_id: int, tasks: Sequence[TaskId]) -> None:
        await self._recall_twins(repo_id, tasks)
        await self._fleet.commit(MoveTasks(repo_id, tuple(tasks)), _CONTEXT)

    async def _recall_twins(self, repo_id: int, tasks: Iterable[TaskId]) -> None:
        """Two spellings of a name may have made two tasks of one issue, one of them closed."""
        known = self._fleet.state.tasks
        for task in [known[one] for one in tasks if one in known]:
            if not task.repo_id:
                twin = await self._fleet.store.task_by_issue(repo_id, (), task.issue)
                if twin is not None:
                    await self._fleet.task(twin.id)

    # -- for health

    def problem(self) -> str:
        """What keeps the fleet from working on some of them; "" if nothing does.

        One that was taken off the list and has no open task is no trouble.
        """
        held = [
            f"{repo.name}: {REASONS[repo.held].text}"
            for repo in self._fleet.state.places.repos.values()
            if repo.held and (self.lists(repo) or repo.id in self._at_work)
        ]
        unseen = [
            f"{name}: {problem}"
            for name, problem in self._problems.items()
            if self._fleet.state.places.named(name) is None
        ]
        return "; ".join(held + unseen)

    def warnings(self) -> str:
        """What people are warned of; "" if there is nothing. The fleet works all the same."""
        return self._guard.problem() if self._guard else ""

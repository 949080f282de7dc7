"""Issues become tasks, and tasks follow their issues: whatever brings an issue up comes here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from fleetbot.domain.commands import (
    CancelTask,
    CloseTask,
    Command,
    CreateTask,
    EditTask,
    MoveTasks,
    RetryTask,
    SetBase,
)
from fleetbot.domain.errors import Conflict
from fleetbot.domain.model import OPEN_STATES, AgentName, Repo, Task, TaskId, TaskState
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.repositories import is_astray
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Issue, TimelineEntry
from fleetbot.logs import log_of
from fleetbot.services.bases import base_of
from fleetbot.services.blockers import Blockers, Subject
from fleetbot.services.fleet import ALONE, Beside, Context, Fleet
from fleetbot.services.labels import LabelMaps, still_wants_fleet, traits_of, wants_fleet
from fleetbot.services.repositories import Repositories

log = log_of("fleetbot.issues")

DELETED = "deleted"  # a state that Forgejo has no word for
# What may be taken back; a 404 may have come from a proxy while Forgejo was being restarted.
_PASSING = (ReasonCode.ISSUE_CLOSED, ReasonCode.TRIGGER_REMOVED, ReasonCode.ISSUE_DELETED)
_CLOCKS_DIFFER = timedelta(minutes=2)  # Forgejo's and ours
_JUDGED = Context(actor="verifier", cause="receipt")
_REMEMBERED = 10_000
_SETTLED = 60  # seconds after which nothing more happens at the moment of an issue's last change


def next_command(
    task: Task, issue: Issue, maps: LabelMaps, bot: str, reopened_at: int = 0
) -> Command | None:
    """What the issue, as Forgejo shows it, asks of its task; None where they agree. Pure.

    `reopened_at`: when it was last reopened, or given its label back, since the task ended (epoch
    ms), 0 if it was not.
    """
    wanted = still_wants_fleet(issue, task, maps, bot)
    is_open = issue.state == "open"
    if task.state in OPEN_STATES:
        if not is_open:
            if issue.state == DELETED:
                return CancelTask(task.id, ReasonCode.ISSUE_DELETED)
            waits = task.closing is ReasonCode.ISSUE_CLOSED
            return None if waits else CancelTask(task.id, ReasonCode.ISSUE_CLOSED)
        if not wanted:
            return CancelTask(task.id, ReasonCode.TRIGGER_REMOVED)
        if task.closing:
            return CloseTask(task.id, None)
        traits = traits_of(issue, maps)
        return EditTask(task.id, traits) if traits != task.traits else None
    if is_open and wanted and (reopened_at or _is_passing(task)):
        return RetryTask(task.id, ReasonCode.ISSUE_REOPENED, reopened_at)
    return None


def _is_for_want_of_us(task: Task, command: Command | None) -> bool:
    """It is our account that the issue lacks, by the name that we know it by."""
    unwanted = CancelTask(task.id, ReasonCode.TRIGGER_REMOVED)
    return command == unwanted and not task.traits.labelled


def _is_passing(task: Task) -> bool:
    return task.state is TaskState.CANCELLED and task.reason in _PASSING


def reopened_since(task: Task, timeline: Iterable[TimelineEntry], trigger: str) -> int:
    """When the issue was last reopened since its task ended (epoch ms); 0 if it was not. To take
    the trigger label off and put it back asks for one that was cancelled, too.

    What made the task begin anew once does not do so again. Forgejo tells whole seconds.
    """
    times: list[int] = []
    since, was_off = max(_ended_at(task), task.reopened_at + 1), False
    for entry in timeline:
        at = int(entry.created_at.timestamp()) * 1000 if entry.created_at else 0
        if at < since:
            continue
        put = entry.puts(trigger)
        was_off |= put is False
        given_back = put is True and was_off and task.state is TaskState.CANCELLED
        if entry.type == "reopen" or given_back:
            times.append(at)
    return max(times, default=0)


def _ended_at(task: Task) -> int:
    """By the second. What its pull request comes to later is no end of the task."""
    return (task.entered_at or task.updated_at) // 1000 * 1000


def _is_of(issue: Issue, repo: Repo) -> bool:
    return issue.repository is None or issue.repository.id in (0, repo.id)


async def _unwatched(task: TaskId) -> None:
    return None


class Issues:
    """`new_task` makes ids. `follow_pull` has a task follow its pull request, the merge of which
    may be what closed the issue."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        labels: LabelMaps,
        repositories: Repositories,
        new_task: Callable[[], TaskId],
        follow_pull: Callable[[TaskId], Awaitable[object]] = _unwatched,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._labels = labels
        self._repositories = repositories
        self._new_task = new_task
        self.blockers = Blockers(fleet, client)
        self._follow_pull = follow_pull
        self._locks: WeakValueDictionary[Subject, asyncio.Lock] = WeakValueDictionary()
        self._not_reopened: dict[Subject, datetime] = {}  # when it had last changed

    async def agrees(self, repo: Repo, issue: Issue) -> bool:
        """Whether the issue and its task, or having none, fit each other."""
        if issue.pull_request is not None:
            return True
        task = await self._fleet.task_in(repo, issue.number)
        if task is None:
            return not await self._is_wanted(repo, issue)
        return await self._next(repo, task, issue) is None

    async def _is_wanted(self, repo: Repo, issue: Issue) -> bool:
        if issue.state != "open" or not self._repositories.lists(repo):
            return False
        return wants_fleet(issue, self._labels, await self._client.login())

    async def look(
        self,
        repo_id: int,
        number: int,
        context: Context,
        beside: Beside = ALONE,
        *,
        starting: bool = False,
    ) -> Task | None:
        """Read the issue and have its task follow it; answers the task, if it is or was one.

        One look at an issue at a time, each on what Forgejo shows then, so that a late one never
        acts on old news. `beside` is recorded with the first change there is. `starting`: somebody
        is about to start from its base, or has to be judged by it. Raises the errors of the client.
        """
        async with self.alone(repo_id, number):
            repo, issue = await self._read(self._fleet.state.places.repos[repo_id], number)
            return await self.consider(repo, issue, context, beside, starting=starting)

    async def look_behind(self, repo: Repo, number: int, context: Context) -> None:
        """Have the tasks looked at whose issues depend on this one: it was closed, or opened again.

        Raises `ForgeUnavailable` and `StoreUnavailable`; one that is not to be seen does not keep
        the others waiting.
        """
        for subject in await self.blockers.behind(repo, number):
            try:
                await self.look(subject.repo, subject.number, context)
            except forge.ForgeUnavailable:
                raise
            except forge.ForgeError as error:
                its = self._fleet.state.places.repos.get(subject.repo)
                theirs = f"{its.name if its else subject.repo}#{subject.number}"
                message = "%s, which depends on %s#%d, cannot be looked at: %s"
                log.warning(message, theirs, repo.name, number, error)

    async def follow(self, task: Task) -> Task | None:
        """Have a task that is about to be judged follow its issue, and its base."""
        repo = self._fleet.state.places.of(task)
        if not repo.id:
            repo = await self._repositories.refresh(repo)
        return await self.look(repo.id, task.issue, _JUDGED, starting=True)

    def alone(self, repo_id: int, number: int) -> asyncio.Lock:
        """Held by whoever acts on the issue."""
        return self._locks.setdefault(Subject(repo_id, number), asyncio.Lock())

    async def _read(self, repo: Repo, number: int) -> tuple[Repo, Issue]:
        """The issue of that very repository, whose name may be another's by now."""
        for _ in range(2):
            try:
                issue = await self._client.issue(repo.name, number)
            except forge.ForgeNotFound:
                issue = Issue(number=number, state=DELETED)
            if issue.state != DELETED and _is_of(issue, repo):
                return repo, issue
            shown = await self._repositories.refresh(repo)  # raises where that is not to be seen
            if shown.held is ReasonCode.REPO_GONE:
                break  # it is there, but its issues are not
            if shown.name == repo.name and issue.state == DELETED:
                return repo, issue
            repo = shown
        raise forge.UnexpectedAnswer(200, "GET", repo.name, f"#{number} is not to be seen there")

    async def consider(
        self,
        repo: Repo,
        issue: Issue,
        context: Context,
        beside: Beside = ALONE,
        *,
        starting: bool = False,
        agent: AgentName | None = None,
    ) -> Task | None:
        """Have the task follow the issue as it was just read; safe to call again, and at once by
        many: an issue never becomes two tasks. `agent` is for whom a new task is."""
        if issue.pull_request is not None:
            return None
        task = await self._fleet.task_in(repo, issue.number)
        if task is None:
            if not await self._is_wanted(repo, issue):
                return None
            return await self._create(repo, issue, context, beside, agent)
        if is_astray(task, repo):
            await self._fleet.commit(MoveTasks(repo.id, (task.id,)), context)
            task = self._fleet.state.tasks[task.id]
        if task.is_watched and task.round and issue.state == "closed":
            await self._follow_pull(task.id)
            task = self._fleet.state.tasks[task.id]
        while command := await self._next(repo, task, issue):
            if isinstance(command, RetryTask):
                await self.blockers.follow(repo, task, context)
            if isinstance(command, CancelTask) and await self._is_by_its_merge(task, command):
                command = CloseTask(task.id, command.reason)
            if not await self._fleet.commit(command, context, beside):
                break
            beside = ALONE
            task = self._fleet.state.tasks[task.id]
        if starting or task.base_problem:
            await self._follow_base(repo, task, issue, context)
            task = self._fleet.state.tasks[task.id]
        is_judged = starting and task.state is TaskState.RUNNING
        if task.state in OPEN_STATES and not is_judged:
            await self.blockers.follow(repo, task, context, starting=starting)
        return self._fleet.state.tasks[task.id]

    async def _next(self, repo: Repo, task: Task, issue: Issue) -> Command | None:
        bot = await self._client.login()
        if task.state in OPEN_STATES or issue.state != "open":
            command = next_command(task, issue, self._labels, bot)
            if _is_for_want_of_us(task, command):
                bot = await self._client.login(anew=True)
                command = next_command(task, issue, self._labels, bot)
            return command
        if not still_wants_fleet(issue, task, self._labels, bot):
            return None
        reopened_at = await self._reopened_at(repo, task, issue)
        return next_command(task, issue, self._labels, bot, reopened_at)

    async def _reopened_at(self, repo: Repo, task: Task, issue: Issue) -> int:
        """Whoever delivers it, and however late: what counts is what Forgejo has recorded."""
        subject, changed = Subject(repo.id, issue.number), issue.updated_at
        if changed and self._not_reopened.get(subject) == changed:
            return 0
        since = datetime.fromtimestamp(_ended_at(task) / 1000, UTC)
        timeline = await self._client.timeline(repo.name, issue.number, since=since)
        at = reopened_since(task, timeline, self._labels.trigger)
        if not at and changed and self._fleet.clock() / 1000 - changed.timestamp() > _SETTLED:
            if len(self._not_reopened) >= _REMEMBERED:
                self._not_reopened.clear()
            self._not_reopened[subject] = changed
        return at

    async def _follow_base(self, repo: Repo, task: Task, issue: Issue, context: Context) -> None:
        """A run at work keeps the base it was given, unless that is no more: it was renamed."""
        if task.state is TaskState.RUNNING:
            if await self._client.branch(repo.name, task.base):
                return
            repo = await self._repositories.refresh(repo)
        if task.state in OPEN_STATES:
            branch, problem = await base_of(self._client, repo, issue)
            await self._fleet.commit(SetBase(task.id, branch, problem), context)

    async def _is_by_its_merge(self, task: Task, command: CancelTask) -> bool:
        """Whether the issue was closed by the merge of what the task's run has made.

        Then its receipt is heard first; whatever else closes an issue is a person's decision. Work
        of a run before this one, and work that was refuted, is not waited for.
        """
        run = self._fleet.state.live_run(task)
        if run is None or command.reason is not ReasonCode.ISSUE_CLOSED:
            return False
        if run.refutations and not run.receipt:
            return False
        since = datetime.fromtimestamp(run.assigned_at / 1000, UTC) - _CLOCKS_DIFFER
        try:
            merged = await self._client.merged_pull(task.repo, task.base, run.branch, since)
        except (forge.ForgeForbidden, forge.ForgeNotFound):
            return False  # what can never be seen must not keep a person from closing it
        return merged is not None

    async def _create(
        self,
        repo: Repo,
        issue: Issue,
        context: Context,
        beside: Beside,
        agent: AgentName | None,
    ) -> Task | None:
        base = await base_of(self._client, repo, issue)
        its = await self.blockers.read(repo, issue.number, base.branch)
        command = CreateTask(
            task=self._new_task(),
            repo=repo.name,
            repo_id=repo.id,
            issue=issue.number,
            url=issue.html_url,
            author=issue.author,
            traits=traits_of(issue, self._labels),
            base=base.branch,
            base_problem=base.problem,
            blockers=its.blockers,
            unseen_blockers=its.unseen,
            agent=agent,
        )
        try:
            await self._fleet.commit(command, context, beside)
        except Conflict:
            if await self._fleet.task_in(repo, issue.number) is None:
                raise
            log.debug("%s#%d has become a task meanwhile", repo.name, issue.number)
        return await self._fleet.task_in(repo, issue.number)

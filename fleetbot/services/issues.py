"""Issues become tasks, and tasks follow their issues: whatever brings an issue up comes here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from weakref import WeakValueDictionary

from fleetbot.domain.commands import (
    CancelTask,
    CloseTask,
    Command,
    CreateTask,
    EditTask,
    RetryTask,
)
from fleetbot.domain.errors import Conflict, Invalid, NotFound
from fleetbot.domain.lookup import able_agent, the_agent
from fleetbot.domain.model import (
    OPEN_STATES,
    AgentName,
    Task,
    TaskId,
    TaskState,
)
from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Issue
from fleetbot.services.fleet import ALONE, Beside, Context, Fleet
from fleetbot.services.labels import (
    LabelMaps,
    still_wants_fleet,
    traits_of,
    trigger_label,
    wants_fleet,
)

log = logging.getLogger("fleetbot.issues")

_PASSING = (ReasonCode.ISSUE_CLOSED, ReasonCode.TRIGGER_REMOVED)
_CLOCKS_DIFFER = timedelta(minutes=2)  # Forgejo's and ours


def next_command(
    task: Task, issue: Issue, maps: LabelMaps, bot: str, reopened: bool
) -> Command | None:
    """What the issue, as Forgejo shows it, asks of its task; None where they agree. Pure."""
    wanted = still_wants_fleet(issue, task, maps, bot)
    is_open = issue.state == "open"
    if task.state in OPEN_STATES:
        if not is_open:
            waits = task.closing is ReasonCode.ISSUE_CLOSED
            return None if waits else CancelTask(task.id, ReasonCode.ISSUE_CLOSED)
        if not wanted:
            return CancelTask(task.id, ReasonCode.TRIGGER_REMOVED)
        if task.closing:
            return CloseTask(task.id, None)
        traits = traits_of(issue, maps)
        return EditTask(task.id, traits) if traits != task.traits else None
    was_passing = task.state is TaskState.CANCELLED and task.reason in _PASSING
    if is_open and wanted and (reopened or was_passing):
        return RetryTask(task.id, ReasonCode.ISSUE_REOPENED)
    return None


class Subject(NamedTuple):
    repo: str
    number: int


class Issues:
    """`repositories` are those the fleet works on; `new_task` makes ids."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        labels: LabelMaps,
        repositories: Collection[str],
        new_task: Callable[[], TaskId],
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._labels = labels
        self._repositories = repositories
        self._new_task = new_task
        self._locks: WeakValueDictionary[Subject, asyncio.Lock] = WeakValueDictionary()

    def listed(self, repo: str) -> str | None:
        """The repository as the configuration spells it; None if the fleet does not work on it."""
        return next((name for name in self._repositories if name.lower() == repo.lower()), None)

    async def agrees(self, repo: str, issue: Issue) -> bool:
        """Whether the issue and its task, or having none, fit each other."""
        if issue.pull_request is not None:
            return True
        bot = await self._client.login()
        task = await self._fleet.task_of_issue(repo, issue.number)
        if task is None:
            return issue.state != "open" or not wants_fleet(issue, self._labels, bot)
        return next_command(task, issue, self._labels, bot, reopened=False) is None

    async def look(
        self,
        repo: str,
        number: int,
        context: Context,
        beside: Beside = ALONE,
        *,
        reopened: bool = False,
    ) -> Task | None:
        """Read the issue and have its task follow it; answers the task, if it is or was one.

        One look at an issue at a time, each on what Forgejo shows then, so that a late one never
        acts on old news. `beside` is recorded with the first change there is. Raises the errors of
        the forge client.
        """
        async with self._locks.setdefault(Subject(repo, number), asyncio.Lock()):
            try:
                issue = await self._client.issue(repo, number)
            except forge.ForgeNotFound:
                await self._client.repo(repo)  # raises where it is the repository we cannot see
                issue = Issue(number=number, state="closed")
            return await self.consider(repo, issue, context, beside, reopened=reopened)

    async def consider(
        self,
        repo: str,
        issue: Issue,
        context: Context,
        beside: Beside = ALONE,
        *,
        reopened: bool = False,
        agent: AgentName | None = None,
    ) -> Task | None:
        """Have the task follow the issue as it was just read; safe to call again, and at once by
        many: an issue never becomes two tasks. `agent` is for whom a new task is."""
        if issue.pull_request is not None:
            return None
        bot = await self._client.login()
        task = await self._fleet.task_of_issue(repo, issue.number)
        if task is None:
            if issue.state != "open" or not wants_fleet(issue, self._labels, bot):
                return None
            return await self._create(repo, issue, context, beside, agent)
        while command := next_command(task, issue, self._labels, bot, reopened):
            if isinstance(command, CancelTask) and await self._is_by_its_merge(task, command):
                command = CloseTask(task.id, command.reason)
            if not await self._fleet.commit(command, context, beside):
                break
            reopened, beside = False, ALONE
            task = self._fleet.state.tasks[task.id]
        return task

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
        repo: str,
        issue: Issue,
        context: Context,
        beside: Beside,
        agent: AgentName | None,
    ) -> Task | None:
        base = await self._base_of(repo, issue)
        command = CreateTask(
            task=self._new_task(),
            repo=repo,
            issue=issue.number,
            url=issue.html_url,
            author=issue.user.login if issue.user else "",
            traits=traits_of(issue, self._labels),
            base=base,
            agent=agent,
        )
        try:
            await self._fleet.commit(command, context, beside)
        except Conflict:
            if await self._fleet.task_of_issue(repo, issue.number) is None:
                raise
            log.debug("%s#%d has become a task meanwhile", repo, issue.number)
        return await self._fleet.task_of_issue(repo, issue.number)

    async def _base_of(self, repo: str, issue: Issue) -> str:
        """The branch that the issue names, or the repository's default."""
        if issue.ref and not issue.ref.startswith("refs/tags/"):
            return issue.ref.removeprefix("refs/heads/")
        return (await self._client.repo(repo)).default_branch

    # -- a person asks for it

    async def take(
        self, repo: str, number: int, actor: str, agent: AgentName | None = None
    ) -> Task:
        """Make an issue a task, by putting the trigger label on it; for `agent`, if one is named.

        Raises `Invalid`, `NotFound` or `Conflict`, and the forge client's errors.
        """
        name = self._must_be_listed(repo)
        if agent is not None:
            the_agent(self._fleet.state, agent)
        try:
            issue = await self._client.issue(name, number)
        except forge.ForgeNotFound:
            raise NotFound(f"There is no issue {name}#{number}.", field="issue") from None
        if issue.pull_request is not None:
            raise Invalid(f"{name}#{number} is a pull request.", field="issue")
        if issue.state != "open":
            raise Conflict(f"{name}#{number} is closed: reopen it first.", field="issue")
        if agent is not None:
            able_agent(self._fleet.state, agent, traits_of(issue, self._labels).needs)
        return await self._take(name, issue, actor, agent)

    async def open(self, repo: str, title: str, body: str, actor: str) -> Task:
        """Open an issue and make it a task. Raises what `take` does."""
        name = self._must_be_listed(repo)
        if not title.strip():
            raise Invalid("An issue needs a title.", field="title")
        return await self._take(name, await self._client.create_issue(name, title, body), actor)

    async def _take(
        self, repo: str, issue: Issue, actor: str, agent: AgentName | None = None
    ) -> Task:
        """The webhook that tells of the label waits: it knows nothing of the agent."""
        async with self._locks.setdefault(Subject(repo, issue.number), asyncio.Lock()):
            if not wants_fleet(issue, self._labels, await self._client.login()):
                label = trigger_label(self._labels)
                await self._client.ensure_labels(repo, [label])
                await self._client.add_issue_labels(repo, issue.number, [label.name])
            issue = await self._client.issue(repo, issue.number)
            task = await self.consider(repo, issue, Context(actor=actor), agent=agent)
        if task is None:
            raise Conflict(
                f"{repo}#{issue.number} was not taken: does the bot have write access there?",
                field="issue",
            )
        return task

    def _must_be_listed(self, repo: str) -> str:
        name = self.listed(repo)
        if name is None:
            known = ", ".join(self._repositories) or "none yet"
            raise Invalid(f"The fleet does not work on {repo}; it does on: {known}.", field="repo")
        return name

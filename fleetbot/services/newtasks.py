"""An issue becomes a task because a person or a program asks for it, once however often it asks."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from weakref import WeakValueDictionary

import msgspec

from fleetbot import wire
from fleetbot.domain.errors import Conflict, Invalid, NotFound
from fleetbot.domain.lookup import able_agent, the_agent
from fleetbot.domain.model import AgentName, Repo, Task, TaskId
from fleetbot.domain.wording import STATE_WORDS
from fleetbot.forge import errors as forge
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.issue_calls import hidden_marker, with_marker
from fleetbot.forge.models import Issue
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.issues import Issues
from fleetbot.services.labels import LabelMaps, traits_of, trigger_label, wants_fleet
from fleetbot.services.repositories import Repositories
from fleetbot.store.records import Arrival, Change, Handled

_KIND = "new_task"
_CLOCKS_DIFFER = timedelta(minutes=5)  # Forgejo's and ours


class NewTasks:
    """All of it raises `Invalid`, `NotFound`, `Conflict`, and the forge client's errors."""

    def __init__(
        self,
        fleet: Fleet,
        client: ForgeClient,
        issues: Issues,
        labels: LabelMaps,
        repositories: Repositories,
    ) -> None:
        self._fleet = fleet
        self._client = client
        self._issues = issues
        self._labels = labels
        self._repositories = repositories
        self.blockers = issues.blockers
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def must_be_open(self, task: Task) -> None:
        """Whether its issue may be worked on again; raises Conflict with the way out."""
        try:
            issue = await self._client.issue(task.repo, task.issue)
        except forge.ForgeNotFound:
            raise Conflict(f"The issue {task.ref} is not there any more.", field="issue") from None
        if issue.state != "open":
            done = f"{task.ref} is {STATE_WORDS[task.state]}, and its issue is closed."
            raise Conflict(f"{done} Reopen the issue: that has it tried again.", field="issue")

    async def make(
        self,
        request: wire.NewTaskRequest,
        actor: str,
        agent: AgentName | None = None,
        key: str = "",
    ) -> Task:
        """Take the issue, for `agent` if one is named, or open one. Same `key`, same task."""
        if not key:
            return await self._make(request, actor, agent, secrets.token_hex(16))
        name = f"{_KIND}:{sha256(key.encode()).hexdigest()}"
        async with self._turns.setdefault(name, asyncio.Lock()):
            said = sha256(msgspec.json.encode(request)).hexdigest()
            earlier = await self._fleet.store.arrival(name)
            if earlier is None:
                await self._fleet.start()
                arrival = Arrival(key=name, kind=_KIND, at=self._fleet.clock(), meta=said)
                await self._fleet.store.keep(arrival)
            elif earlier.meta != said:
                raise Conflict(
                    "This Idempotency-Key came with another request.", field="Idempotency-Key"
                )
            elif earlier.answer:
                return await self._made(TaskId(earlier.answer.decode()))
            since = earlier.at if earlier else None
            task = await self._make(request, actor, agent, name.partition(":")[2][:32], since)
            done = Handled(key=name, answer=task.id.encode())
            await self._fleet.store.append(Change(handled=(done,)))
            return task

    async def _made(self, task_id: TaskId) -> Task:
        task = await self._fleet.task(task_id)
        assert task is not None  # the answer was kept because there is one
        return task

    async def _make(
        self,
        request: wire.NewTaskRequest,
        actor: str,
        agent: AgentName | None,
        marker: str,
        since: int | None = None,
    ) -> Task:
        """`since`: when it was asked for before (epoch ms), and not answered."""
        if agent is not None:
            the_agent(self._fleet.state, agent)
        if request.issue is not None:
            return await self._take(request.repo, request.issue, actor, agent)
        if not (request.title or "").strip():
            raise Invalid("An issue needs a title.", field="title")
        repo = await self._repositories.named(request.repo)
        issue = await self._find(repo, marker, since) if since is not None else None
        if issue is None:
            issue = await self._open(repo, request, marker)
        if not wants_fleet(issue, self._labels, await self._client.login()):
            raise Conflict(
                f"{repo.name}#{issue.number} was opened, but the bot may not label it: give the bot"
                f" write access there, and put the label {self._labels.trigger} on the issue.",
                field="issue",
            )
        return await self._as_task(repo, issue, actor, agent)

    # -- an issue that is there

    async def _take(self, name: str, number: int, actor: str, agent: AgentName | None) -> Task:
        repo = await self._repositories.named(name)
        try:
            issue = await self._client.issue(repo.name, number)
        except forge.ForgeNotFound:
            raise NotFound(f"There is no issue {repo.name}#{number}.", field="issue") from None
        if issue.pull_request is not None:
            raise Invalid(f"{repo.name}#{number} is a pull request.", field="issue")
        if issue.state != "open":
            raise Conflict(f"{repo.name}#{number} is closed: reopen it first.", field="issue")
        if agent is not None:
            able_agent(self._fleet.state, agent, traits_of(issue, self._labels).needs)
        return await self._as_task(repo, issue, actor, agent)

    async def _as_task(self, repo: Repo, issue: Issue, actor: str, agent: AgentName | None) -> Task:
        """The webhook that tells of the label waits: it knows nothing of the agent."""
        async with self._issues.alone(repo.id, issue.number):
            if not wants_fleet(issue, self._labels, await self._client.login()):
                label = trigger_label(self._labels)
                await self._client.ensure_labels(repo.name, [label])
                await self._client.add_issue_labels(repo.name, issue.number, [label.name])
                issue = await self._client.issue(repo.name, issue.number)
            task = await self._issues.consider(repo, issue, Context(actor=actor), agent=agent)
        if task is None:
            raise Conflict(
                f"{repo.name}#{issue.number} was not taken: has the bot write access there?",
                field="issue",
            )
        return task

    # -- an issue that is made for it

    async def _open(self, repo: Repo, request: wire.NewTaskRequest, marker: str) -> Issue:
        """With its label, so that it is a task whatever happens next. Where Forgejo does not say
        whether it has made the issue, it is looked for."""
        label = trigger_label(self._labels)
        ids = [one.id for one in (await self._client.ensure_labels(repo.name, [label])).values()]
        body = with_marker(request.body, _key(marker))
        before = self._fleet.clock()
        try:
            return await self._client.create_issue(
                repo.name, request.title or "", body, label_ids=ids
            )
        except forge.ForgeUnavailable:
            found = await self._find(repo, marker, before)
            if found is None:
                raise
            return found

    async def _find(self, repo: Repo, marker: str, since: int) -> Issue | None:
        """The issue that was made for an earlier try; the bot's own, as anybody can write one."""
        bot, sought = await self._client.login(), hidden_marker(_key(marker))
        from_then = datetime.fromtimestamp(since / 1000, UTC) - _CLOCKS_DIFFER
        mine = self._client.iter_issues(
            repo.name, state="all", created_by=bot, since=from_then, sort="oldest"
        )
        async for issue in mine:
            if sought in issue.body:
                return issue
        return None


def _key(marker: str) -> str:
    return f"new:{marker}"

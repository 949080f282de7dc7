"""Tasks as people and programs ask for them: find, list, take, cancel, retry, assign."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial

import msgspec

from fleetbot import wire
from fleetbot.domain.attention import may_need
from fleetbot.domain.available import Looks
from fleetbot.domain.commands import (
    AskAgain,
    AssignTask,
    CancelTask,
    Command,
    QueueBehind,
    RetryTask,
)
from fleetbot.domain.errors import Forbidden, Invalid, NotFound
from fleetbot.domain.events import Recorded, event_type
from fleetbot.domain.model import (
    OPEN_STATES,
    REPO,
    AgentName,
    Policy,
    Priority,
    Task,
    TaskId,
    TaskState,
)
from fleetbot.domain.pulls import PullView, Watch, Words
from fleetbot.domain.reasons import ReasonCode
from fleetbot.domain.state import FleetState, task_stream
from fleetbot.domain.waiting import Waiting, flags, waiting, waiting_in_turn
from fleetbot.domain.wording import person
from fleetbot.services.fleet import Context, Fleet
from fleetbot.services.newtasks import NewTasks
from fleetbot.services.priorities import Priorities
from fleetbot.services.stories import shelved_before

Waits = Callable[[FleetState, Task, int, Policy], Waiting | None]


async def _not_shown(task: Task) -> None:
    """Nobody can look."""


class Tasks:
    """`land` has a pull request merged as the wish of an account on Forgejo; `shown` is what it
    shows now, where that can be read."""

    def __init__(
        self,
        fleet: Fleet,
        new_tasks: NewTasks,
        priorities: Priorities,
        land: Callable[[Task, str, Context], Awaitable[bool]],
        shown: Callable[[Task], Awaitable[PullView | None]] = _not_shown,
    ) -> None:
        self._fleet = fleet
        self._new_tasks = new_tasks
        self._priorities = priorities
        self._land = land
        self._shown = shown

    # reading

    async def list(
        self,
        states: Collection[TaskState] = (),
        repo: str | None = None,
        agent: AgentName | None = None,
        limit: int = 100,
        before: TaskId | None = None,
    ) -> wire.TaskList:
        """Newest first. `agent`: that of the current run."""
        tasks = await self._fleet.tasks(states, repo, agent, limit + 1, before)
        page = tasks[:limit]
        more = page[-1].id if len(tasks) > limit else None
        waits = partial(waiting, looks=Looks())
        views = [await self._view(task, waits) for task in page]
        return wire.TaskList(tasks=tuple(views), next=more)

    async def view(self, task: TaskId) -> wire.TaskView:
        return await self._view(await self._get(task))

    async def events(self, task: TaskId, after: int = 0, limit: int = 100) -> wire.EventList:
        """The task's lines of the journal; `after`: the `seq` already known."""
        await self._get(task)
        store = self._fleet.store
        lines = await store.events(task_stream(task), after=after, limit=limit + 1)
        shelved = await shelved_before(store, task, lines)
        page = lines[:limit]
        return wire.EventList(
            events=tuple(event_view(line) for line in page),
            next=page[-1].seq if len(lines) > limit else None,
            archived=shelved.lines if shelved else 0,
            archive=shelved.file if shelved else "",
        )

    # changing

    async def create(
        self,
        request: wire.NewTaskRequest,
        actor: str,
        agent: AgentName | None = None,
        key: str = "",
    ) -> wire.TaskView:
        """Take an issue, for `agent` if one is named, or open one. Same `key`, same task.

        Raises Invalid unless exactly one of them is asked for.
        """
        if not REPO.match(request.repo):
            raise Invalid("repo must be owner/name.", field="repo")
        if (request.issue is None) == (request.title is None):
            raise Invalid("Give either `issue` or `title`.", field="issue")
        return await self._view(await self._new_tasks.make(request, actor, agent, key))

    async def cancel(self, task: TaskId, actor: str) -> wire.TaskView:
        return await self._change(task, CancelTask(task, ReasonCode.CANCELLED_BY_USER), actor)

    async def retry(self, task: TaskId, actor: str) -> wire.TaskView:
        await self.must_be_open(await self._get(task))
        return await self._change(task, RetryTask(task), actor)

    async def again(self, task: TaskId, text: str, actor: str) -> wire.TaskView:
        """Another round on its open pull request; without `text` for what people were asked."""
        command = await self.more_of(await self._get(task), text, actor, "room:api")
        return await self._change(task, command, actor)

    async def more_of(self, task: Task, text: str, actor: str, key: str) -> AskAgain:
        """The wish for more work on its pull request, as `actor` of the journal says it; `key`
        names the words. Without any, what people were asked about is to be tried again."""
        asking = task.pull.asking if task.pull else ()
        text = text.strip() or " ".join(["Try it once more.", *(one.text for one in asking)])
        words = Words(key=key, author=person(actor), text=text)
        return AskAgain(task.id, (words,), await self._shown(task))

    async def land(self, task: TaskId, login: str, actor: str) -> wire.TaskView:
        """Have its pull request merged, for the person with that account. Raises `Invalid` where
        that may not have it, `Conflict` with the way out, and the client's errors."""
        try:
            await self._land(await self._get(task), login, Context(actor=actor))
        except Forbidden as refused:  # it is not the caller who may not
            raise Invalid(str(refused), field="by") from refused
        return await self.view(task)

    async def queue(self, task: TaskId, behind: TaskId | None, actor: str) -> wire.TaskView:
        """Behind another task of its repository; None: behind none any more."""
        if behind is not None and await self._fleet.task(behind) is None:
            raise NotFound(f"There is no task {behind}.", field="behind")
        return await self._change(task, QueueBehind(task, behind), actor)

    async def assign(self, task: TaskId, agent: AgentName, actor: str) -> wire.TaskView:
        await self.must_be_open(await self._get(task))
        return await self._change(task, AssignTask(task, agent), actor)

    async def prioritise(self, task: TaskId, priority: Priority, actor: str) -> wire.TaskView:
        await self._priorities.set(await self._get(task), priority, Context(actor=actor))
        return await self.view(task)

    async def must_be_open(self, task: Task) -> None:
        """Raises Conflict where the issue of a task that is over is closed: a run would be started
        by a slip, and be stopped at the next look at the issue. What it depends on is read, so that
        it waits for that; of a queued one that is known, and read once more when it is given out.
        """
        closed = task.state is TaskState.CANCELLED and task.reason is ReasonCode.ISSUE_CLOSED
        if closed or task.state is TaskState.COMPLETED:
            await self._new_tasks.must_be_open(task)
        if not task.is_queued:
            await self._new_tasks.blockers.before_again(task)

    async def _change(self, task: TaskId, command: Command, actor: str) -> wire.TaskView:
        await self._get(task)
        await self._fleet.commit(command, Context(actor=actor))
        return await self.view(task)

    async def _get(self, task_id: TaskId) -> Task:
        task = await self._fleet.task(task_id)
        if task is None:
            raise NotFound(f"There is no task {task_id}.", field="task")
        return task

    async def _view(self, task: Task, waits: Waits = waiting_in_turn) -> wire.TaskView:
        run = self._fleet.state.run_of(task)
        if run is None and task.run:
            run = await self._fleet.store.run(task.run)
        return task_view(task, run.agent if run else None, *self._waits(task, waits))

    def _waits(self, task: Task, waits: Waits) -> tuple[Waiting | None, tuple[str, ...]]:
        """Why it does not move, and its flags; nothing of a task that is over."""
        fleet = self._fleet
        known = fleet.state.tasks.get(task.id)
        if known is None or not may_need(known):
            return None, ()
        about = (fleet.state, known, fleet.clock(), fleet.policy)
        its = waits(*about)
        return its, flags(fleet.state, known, its, fleet.clock(), fleet.policy)


def task_view(
    task: Task, agent: AgentName | None, waits: Waiting | None, flags: tuple[str, ...]
) -> wire.TaskView:
    return wire.TaskView(
        id=task.id,
        repo=task.repo,
        issue=task.issue,
        url=task.url,
        title=task.traits.title,
        kind=task.traits.kind,
        priority=wire.priority_name(task.traits.priority),
        state=task.state,
        attempt=task.attempt,
        agent=agent,
        run=task.run,
        last_run=task.last_run,
        reason=task.reason,
        detail=task.detail,
        not_before=task.not_before,
        created_at=task.created_at,
        updated_at=task.updated_at,
        needs=task.traits.needs,
        wanted_agent=task.wanted_agent,
        receipt=task.receipt,
        spent=wire.UsageView.of(task.spent),
        waiting=waiting_view(waits) if waits else None,
        flags=flags,
        pull=_pull_view(task, task.pull) if task.pull else None,
    )


def _pull_view(task: Task, pull: Watch) -> wire.PullRequestView:
    its = task.round if task.state in OPEN_STATES else None
    shown = pull.standing
    return wire.PullRequestView(
        number=pull.number,
        state=pull.state,
        head=shown.head or pull.head,
        base=shown.base,
        draft=shown.draft,
        changes_asked=shown.changes_asked,
        approved_by=shown.approved_by,
        reports=shown.reports,
        ci=shown.ci,
        failing=shown.failing,
        red_on_base=shown.red_on_base,
        conflict=shown.conflict,
        rounds=pull.rounds,
        round=wire.RoundView(number=its.number, kinds=its.kinds) if its else None,
        asking=tuple(one.text for one in pull.asking) if task.is_asking else (),
        merged_as=pull.merged_as,
        merged_by=pull.merged_by,
        merged_at=pull.merged_at,
    )


def waiting_view(its: Waiting) -> wire.WaitingView:
    return wire.WaitingView(
        reason=its.reason,
        text=its.text,
        since=its.since,
        until=its.until,
        remedy=its.remedy,
        details=its.details,
    )


def event_view(line: Recorded) -> wire.EventView:
    data = msgspec.to_builtins(line.event)
    data.pop("type")
    return wire.EventView(
        seq=line.seq,
        stream=line.stream,
        version=line.version,
        type=event_type(line.event),
        at=line.at,
        actor=line.actor,
        cause=line.cause,
        data=data,
    )

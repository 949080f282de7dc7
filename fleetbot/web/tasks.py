"""Tasks over HTTP: list, look, create, cancel, retry, assign, land, queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from msgspec import Meta

from fleetbot import wire
from fleetbot.domain.model import AgentName, Priority, TaskId, TaskState
from fleetbot.services.tasks import Tasks
from fleetbot.web.endpoint import (
    IDEMPOTENCY_KEY,
    OPERATOR,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    Query,
    operator_posts,
    reader_gets,
)
from fleetbot.web.problems import FORGE_FAILS, Code

TASKS = f"/{wire.API}/tasks"
TASK = f"{TASKS}/{{task}}"
OPTIONAL_KEY = replace(IDEMPOTENCY_KEY, required=False)

Limit = Annotated[int, Meta(ge=1, le=500, description="how many to give")]
Seq = Annotated[int, Meta(ge=0, le=2**53, description="the `seq` of the last event known")]
RepoText = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_.-]+$(?!\n)", description="owner/name"),
]


class TasksQuery(Query, frozen=True):
    state: tuple[TaskState, ...] = ()
    repo: RepoText | None = None
    agent: wire.AgentNameText | None = None
    limit: Limit = 100
    before: wire.IdText | None = None


class PageQuery(Query, frozen=True):
    after: Seq = 0
    limit: Limit = 100


class TaskCalls:
    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def endpoints(self) -> tuple[Endpoint, ...]:
        return (*self._reading(), *self._changing())

    def _reading(self) -> tuple[Endpoint, ...]:
        return (
            reader_gets(TASKS, self.list, "List tasks, newest first."),
            reader_gets(TASK, self.view, "Look at a task."),
            reader_gets(
                f"{TASK}/events", self.events, "Read what happened to a task, oldest first."
            ),
        )

    def _changing(self) -> tuple[Endpoint, ...]:
        return (
            operator_posts(
                TASKS,
                self.create,
                "Take an issue as a task, or open one; an issue is one task, ever.",
                headers=(OPTIONAL_KEY,),
                refusals=(Code.NOT_FOUND, Code.CONFLICT, *FORGE_FAILS),
            ),
            operator_posts(
                f"{TASK}/cancel",
                self.cancel,
                "Cancel a task; its run is told to stop.",
                refusals=(Code.CONFLICT,),
            ),
            operator_posts(
                f"{TASK}/retry",
                self.retry,
                "Queue a task anew, with its attempts forgotten.",
                refusals=(Code.CONFLICT, *FORGE_FAILS),
            ),
            operator_posts(
                f"{TASK}/again",
                self.again,
                "Have more done on a task's open pull request.",
                refusals=(Code.CONFLICT,),
            ),
            operator_posts(
                f"{TASK}/land",
                self.land,
                "Have a task's verified pull request merged.",
                refusals=(Code.CONFLICT, *FORGE_FAILS),
            ),
            operator_posts(
                f"{TASK}/queue",
                self.queue,
                "Have a task wait until the work of another has landed, or no longer.",
                refusals=(Code.CONFLICT,),
            ),
            operator_posts(
                f"{TASK}/priority",
                self.prioritise,
                "Say how urgent a task is; the labels of its issue follow.",
                refusals=(Code.CONFLICT, *FORGE_FAILS),
            ),
            operator_posts(
                f"{TASK}/assign",
                self.assign,
                "Choose the agent for a task.",
                refusals=(Code.CONFLICT, *FORGE_FAILS),
            ),
        )

    async def list(self, call: Call[NoBody, TasksQuery]) -> wire.TaskList:
        query = call.query
        return await self._tasks.list(
            states=query.state,
            repo=query.repo,
            agent=AgentName(query.agent) if query.agent else None,
            limit=query.limit,
            before=TaskId(query.before) if query.before else None,
        )

    async def view(self, call: Call[NoBody, NoQuery]) -> wire.TaskView:
        return await self._tasks.view(_task(call))

    async def events(self, call: Call[NoBody, PageQuery]) -> wire.EventList:
        return await self._tasks.events(_task(call), call.query.after, call.query.limit)

    async def create(self, call: Call[wire.NewTaskRequest, NoQuery]) -> wire.TaskView:
        key = call.headers.get(OPTIONAL_KEY.name, "")
        return await self._tasks.create(call.body, OPERATOR, key=key)

    async def cancel(self, call: Call[NoBody, NoQuery]) -> wire.TaskView:
        return await self._tasks.cancel(_task(call), OPERATOR)

    async def retry(self, call: Call[NoBody, NoQuery]) -> wire.TaskView:
        return await self._tasks.retry(_task(call), OPERATOR)

    async def again(self, call: Call[wire.AgainRequest, NoQuery]) -> wire.TaskView:
        return await self._tasks.again(_task(call), call.body.text, OPERATOR)

    async def land(self, call: Call[wire.LandRequest, NoQuery]) -> wire.TaskView:
        return await self._tasks.land(_task(call), call.body.by, OPERATOR)

    async def queue(self, call: Call[wire.QueueRequest, NoQuery]) -> wire.TaskView:
        behind = TaskId(call.body.behind) if call.body.behind else None
        return await self._tasks.queue(_task(call), behind, OPERATOR)

    async def prioritise(self, call: Call[wire.PriorityRequest, NoQuery]) -> wire.TaskView:
        priority = Priority[call.body.priority.upper()]
        return await self._tasks.prioritise(_task(call), priority, OPERATOR)

    async def assign(self, call: Call[wire.AssignRequest, NoQuery]) -> wire.TaskView:
        return await self._tasks.assign(_task(call), AgentName(call.body.agent), OPERATOR)


def _task(call: Call[Any, Any]) -> TaskId:
    return TaskId(call.part("task"))

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
    AnyEndpoint,
    Call,
    Endpoint,
    NoBody,
    NoQuery,
    Query,
    Who,
)
from fleetbot.web.problems import Code

TASKS = f"/{wire.API}/tasks"
TASK = f"{TASKS}/{{task}}"
OPTIONAL_KEY = replace(IDEMPOTENCY_KEY, required=False)

Limit = Annotated[int, Meta(ge=1, le=500, description="how many to give")]
Seq = Annotated[int, Meta(ge=0, le=2**53, description="the `seq` of the last event known")]
RepoText = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9_.-]+$(?!\n)", description="owner/name"),
]
IdText = Annotated[str, Meta(pattern=r"^[!-~]{1,200}$(?!\n)", description="an id, as it was given")]


class TasksQuery(Query, frozen=True):
    state: tuple[TaskState, ...] = ()
    repo: RepoText | None = None
    agent: wire.AgentNameText | None = None
    limit: Limit = 100
    before: IdText | None = None


class PageQuery(Query, frozen=True):
    after: Seq = 0
    limit: Limit = 100


class TaskCalls:
    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def endpoints(self) -> tuple[AnyEndpoint, ...]:
        return (*self._reading(), *self._changing())

    def _reading(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="GET",
                path=TASKS,
                who=Who.READER,
                summary="List tasks, newest first.",
                body=NoBody,
                query=TasksQuery,
                answer=wire.TaskList,
                handler=self.list,
            ),
            Endpoint(
                method="GET",
                path=TASK,
                who=Who.READER,
                summary="Look at a task.",
                body=NoBody,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.view,
                refusals=(Code.NOT_FOUND,),
            ),
            Endpoint(
                method="GET",
                path=f"{TASK}/events",
                who=Who.READER,
                summary="Read what happened to a task, oldest first.",
                body=NoBody,
                query=PageQuery,
                answer=wire.EventList,
                handler=self.events,
                refusals=(Code.NOT_FOUND,),
            ),
        )

    def _changing(self) -> tuple[AnyEndpoint, ...]:
        return (
            Endpoint(
                method="POST",
                path=TASKS,
                who=Who.OPERATOR,
                summary="Take an issue as a task, or open one; an issue is one task, ever.",
                body=wire.NewTaskRequest,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.create,
                headers=(OPTIONAL_KEY,),
                refusals=(
                    Code.NOT_FOUND,
                    Code.CONFLICT,
                    Code.FORGE_REFUSED,
                    Code.FORGE_UNAVAILABLE,
                ),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/cancel",
                who=Who.OPERATOR,
                summary="Cancel a task; its run is told to stop.",
                body=NoBody,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.cancel,
                refusals=(Code.NOT_FOUND, Code.CONFLICT),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/retry",
                who=Who.OPERATOR,
                summary="Queue a task anew, with its attempts forgotten.",
                body=NoBody,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.retry,
                refusals=(
                    Code.NOT_FOUND,
                    Code.CONFLICT,
                    Code.FORGE_REFUSED,
                    Code.FORGE_UNAVAILABLE,
                ),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/again",
                who=Who.OPERATOR,
                summary="Have more done on a task's open pull request.",
                body=wire.AgainRequest,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.again,
                refusals=(Code.NOT_FOUND, Code.CONFLICT),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/land",
                who=Who.OPERATOR,
                summary="Have a task's verified pull request merged.",
                body=wire.LandRequest,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.land,
                refusals=(
                    Code.NOT_FOUND,
                    Code.CONFLICT,
                    Code.FORGE_REFUSED,
                    Code.FORGE_UNAVAILABLE,
                ),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/queue",
                who=Who.OPERATOR,
                summary="Have a task wait until the work of another has landed, or no longer.",
                body=wire.QueueRequest,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.queue,
                refusals=(Code.NOT_FOUND, Code.CONFLICT),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/priority",
                who=Who.OPERATOR,
                summary="Say how urgent a task is; the labels of its issue follow.",
                body=wire.PriorityRequest,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.prioritise,
                refusals=(
                    Code.NOT_FOUND,
                    Code.CONFLICT,
                    Code.FORGE_REFUSED,
                    Code.FORGE_UNAVAILABLE,
                ),
            ),
            Endpoint(
                method="POST",
                path=f"{TASK}/assign",
                who=Who.OPERATOR,
                summary="Choose the agent for a task.",
                body=wire.AssignRequest,
                query=NoQuery,
                answer=wire.TaskView,
                handler=self.assign,
                refusals=(
                    Code.NOT_FOUND,
                    Code.CONFLICT,
                    Code.FORGE_REFUSED,
                    Code.FORGE_UNAVAILABLE,
                ),
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

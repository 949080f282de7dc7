"""What people's programs ask and say: of tasks, of the fleet, and of fleetbot itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from fleetbot import wire
from fleetbot.client.transport import Calls, Request, decode, under
from fleetbot.domain.model import TaskState


class TaskCalls(Calls):
    async def list(
        self,
        *,
        state: Collection[TaskState] = (),
        repo: str | None = None,
        agent: str | None = None,
        limit: int | None = None,
        before: str | None = None,
    ) -> wire.TaskList:
        """Newest first; `before`: the last one seen, to go on from."""
        return await self._get(
            wire.TaskList,
            under("tasks"),
            state=list(state),
            repo=repo,
            agent=agent,
            limit=limit,
            before=before,
        )

    async def create(self, request: wire.NewTaskRequest, key: str = "") -> wire.TaskView:
        """The same key gets the same task."""
        return await self._post(wire.TaskView, under("tasks"), request, key=key)

    async def view(self, task: str) -> wire.TaskView:
        return await self._get(wire.TaskView, under("tasks", task))

    async def events(
        self, task: str, *, after: int | None = None, limit: int | None = None
    ) -> wire.EventList:
        return await self._get(
            wire.EventList, under("tasks", task, "events"), after=after, limit=limit
        )

    async def cancel(self, task: str) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "cancel"))

    async def retry(self, task: str) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "retry"))

    async def again(self, task: str, request: wire.AgainRequest) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "again"), request)

    async def land(self, task: str, request: wire.LandRequest) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "land"), request)

    async def queue(self, task: str, request: wire.QueueRequest) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "queue"), request)

    async def prioritise(self, task: str, request: wire.PriorityRequest) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "priority"), request)

    async def assign(self, task: str, request: wire.AssignRequest) -> wire.TaskView:
        return await self._post(wire.TaskView, under("tasks", task, "assign"), request)


class FleetCalls(Calls):
    async def list(self) -> wire.PauseList:
        """What people have paused."""
        return await self._get(wire.PauseList, under("fleet", "pauses"))

    async def pause(self, request: wire.PauseRequest) -> wire.PauseList:
        return await self._post(wire.PauseList, under("fleet", "pause"), request)

    async def resume(self, request: wire.PauseRequest) -> wire.PauseList:
        return await self._post(wire.PauseList, under("fleet", "resume"), request)


class WebhookCalls(Calls):
    async def receive(self, body: bytes, headers: Mapping[str, str]) -> wire.DeliveryAnswer:
        """As Forgejo; the headers have its signature."""
        path = under("webhooks", "forgejo")
        request = Request(method="POST", path=path, body=body, headers=headers, token="")
        return decode(await self._ask(request), wire.DeliveryAnswer)

    async def known(self) -> wire.WebhookList:
        """What is known of each repository's webhook."""
        return await self._get(wire.WebhookList, under("webhooks"))


class UsageCalls(Calls):
    async def usage(
        self,
        *,
        by: Literal["agent", "repo", "task", "day"] | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
    ) -> wire.UsageAnswer:
        """Of runs that ended from `since` on and before `until` (epoch milliseconds)."""
        return await self._get(
            wire.UsageAnswer, under("usage"), by=by, since=since, until=until, limit=limit
        )


class OutboxCalls(Calls):
    async def list(
        self, *, after: int | None = None, limit: int | None = None
    ) -> wire.DeadLetterList:
        """What was given up."""
        return await self._get(
            wire.DeadLetterList, under("outbox", "dead"), after=after, limit=limit
        )

    async def retry(self, letter: str) -> wire.LettersMoved:
        return await self._post(wire.LettersMoved, under("outbox", "dead", letter, "retry"))

    async def dismiss(self, letter: str) -> wire.LettersMoved:
        return await self._post(wire.LettersMoved, under("outbox", "dead", letter, "dismiss"))

    async def retry_all(self) -> wire.LettersMoved:
        return await self._post(wire.LettersMoved, under("outbox", "dead", "retry"))

    async def dismiss_all(self) -> wire.LettersMoved:
        return await self._post(wire.LettersMoved, under("outbox", "dead", "dismiss"))


class DoctorCalls(Calls):
    async def examine(self) -> wire.DoctorAnswer:
        return await self._get(wire.DoctorAnswer, under("doctor"))


class ServiceCalls(Calls):
    """Of fleetbot itself, for who watches over it."""

    async def healthz(self) -> wire.Health:
        return await self._get(wire.Health, "healthz")

    async def readyz(self) -> wire.Health:
        """Raises `Unable` where something is not well."""
        return await self._get(wire.Health, "readyz")

    async def leads(self) -> wire.LeadAnswer:
        """Raises `Unable` where another one does."""
        return await self._get(wire.LeadAnswer, "leads")

    async def metrics(self) -> str:
        """In the text format of Prometheus."""
        return (await self._ask(Request(method="GET", path="metrics"))).decode()

    async def openapi(self) -> dict[str, Any]:
        """The description of all calls."""
        return await self._get(dict[str, Any], "openapi.json")

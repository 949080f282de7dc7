"""The main story, watched from outside: what the forge, the journal and the room show."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, NamedTuple

from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.rest import CallFailed
from fleetbot_devkit.world import REPO, World

_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.3


class Step(NamedTuple):
    """One thing that was seen: `name` is a word of the story, `text` says what it was."""

    name: str
    text: str


EXPECTED = (
    "webhook",
    "task",
    "assigned",
    "started",
    "log",
    "pull request",
    "receipt",
    "verified",
    "completed",
    "comment",
    "labels",
    "status",
    "card",
    "room",
    "card moved",
)

_JOURNAL = {
    "task.created": "task",
    "task.assigned": "assigned",
    "task.started": "started",
    "receipt.filed": "receipt",
    "receipt.verified": "verified",
    "receipt.refuted": "refuted",
    "receipt.unknown": "unverified",
    "task.completed": "completed",
    "task.failed": "failed",
    "task.requeued": "requeued",
    "task.agent_lost": "agent lost",
    "task.cancelled": "cancelled",
}
# What the room shows anyway, or is told by a step of its own.
_SEEN_ELSEWHERE = {
    "run.asked",
    "run.answered",
    "run.messaged",
    "run.message_taken",
    "pull.seen",
}


class StoryFailed(Exception):
    """The story did not end as it should; the text says where it stopped."""


class Story:
    """Watches one issue's way through the fleet, and tells each step once. `more` is expected
    besides what always happens."""

    def __init__(
        self,
        world: World,
        issue: int,
        tell: Callable[[Step], None],
        more: Collection[str] = (),
    ) -> None:
        self._world = world
        self._expected = (*EXPECTED, *more)
        self._issue = issue
        self._tell = tell
        self.seen: set[str] = set()
        self._told: dict[str, str] = {}
        self._deliveries = 0
        self._requests = 0
        self._last_seq = 0
        self._task: str | None = None
        self._matrix = asyncio.Queue[Step]()

    async def watch(self, timeout: float) -> None:
        """Until every step was seen.

        Raises StoryFailed after `timeout` seconds, or once the task has failed for good.
        """
        deadline = time.monotonic() + timeout
        listener = asyncio.create_task(self._listen())
        try:
            while missing := [name for name in self._expected if name not in self.seen]:
                if time.monotonic() > deadline:
                    raise StoryFailed(f"Not seen within {timeout:.0f} s: {', '.join(missing)}.")
                await self._look()
                await self._stop_if_failed()
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            listener.cancel()

    async def _look(self) -> None:
        for step in self._new_deliveries():
            self.note(step)
        for source in (self._new_lines, self._new_matrix):
            for step in await source():
                self.note(step)
        for step in self._new_requests():
            self.note(await self._spelt_out(step))

    async def _stop_if_failed(self) -> None:
        if "failed" in self.seen:
            task = await self._world.get(f"/tasks/{self._task}")
            if task["state"] == "failed":
                raise StoryFailed(f"The task failed: {task['reason']}: {task.get('detail', '')}")

    async def _spelt_out(self, step: Step) -> Step:
        if step.name != "labels":
            return step
        labels = (await self._world.issue(self._issue))["labels"]
        return Step("labels", ", ".join(sorted(label["name"] for label in labels)))

    def note(self, step: Step) -> None:
        """Tell a step, unless that is what was told last of it."""
        self.seen.add(step.name)
        if self._told.get(step.name) != step.text:  # labels come and go one by one
            self._told[step.name] = step.text
            self._tell(step)

    def _new_deliveries(self) -> Iterator[Step]:
        deliveries = self._world.forge.deliveries
        while self._deliveries < len(deliveries):
            delivery = deliveries[self._deliveries]
            if delivery.status is None:
                return
            self._deliveries += 1
            if step := _of_delivery(delivery.event_type, delivery.payload, delivery.status):
                yield step

    async def _new_lines(self) -> list[Step]:
        if self._task is None:
            tasks = (await self._world.get(f"/tasks?repo={REPO}"))["tasks"]
            self._task = next((t["id"] for t in tasks if t["issue"] == self._issue), None)
        if self._task is None:
            return []
        answer = await self._world.get(f"/tasks/{self._task}/events?after={self._last_seq}")
        steps = []
        for line in answer["events"]:
            self._last_seq = line["seq"]
            if line["type"] in _SEEN_ELSEWHERE:
                continue
            steps.append(Step(_JOURNAL.get(line["type"], line["type"]), _line_text(line)))
        return steps

    def _new_requests(self) -> Iterator[Step]:
        requests = self._world.forge.requests
        while self._requests < len(requests):
            request = requests[self._requests]
            self._requests += 1
            by_us = request.login == "fleetbot" and 200 <= request.status < 300
            if by_us and (step := _of_request(request.method, request.path, request.json)):
                yield step

    async def _new_matrix(self) -> list[Step]:
        steps = []
        while not self._matrix.empty():
            steps.append(self._matrix.get_nowait())
        return steps

    async def _listen(self) -> None:
        """What the bot says in the room, and in the thread of its agent."""
        world, last = self._world, None
        while True:
            event = await world.alice.wait_for(
                lambda e: e.sender == world.bot.user_id and e.type == "m.room.message",
                after=last,
                timeout=3600,
            )
            last = event.event_id
            self._matrix.put_nowait(_of_message(event))


def _of_message(event: RoomEvent) -> Step:
    """`card` is the task as the room sees it, `card moved` an edit of it, `room` the news that it
    is done, `log` a line of the agent's thread; a `question` is asked in a message of its own,
    which says once it is `answered`."""
    lines = [line for line in event.text.splitlines() if line.strip()] or [""]
    if f" · {REPO}#" in lines[0] and not event.thread:
        return Step("card moved" if event.replaces else "card", " · ".join(lines[:2]))
    if lines[0].startswith("🔐"):
        return Step("question", " · ".join(lines[:3]))
    if event.replaces and lines[0].startswith("✅ Allowed"):
        return Step("answered", lines[0])
    if event.thread or event.replaces:
        return Step("log" if len(lines) > 1 else "thread", lines[-1])
    shown = " · ".join(lines[:2])
    return Step("room" if shown.startswith("✅") else "matrix", shown)


def _of_delivery(event_type: str, payload: dict[str, Any], status: int) -> Step | None:
    if event_type == "issues" and payload.get("action") == "opened":
        return Step("webhook", f"Forgejo → fleetbot: issue opened, signed; answered {status}")
    if event_type == "pull_request" and payload.get("action") == "opened":
        pull = payload["pull_request"]
        return Step("pull request", f"{pull['html_url']} by {pull['user']['login']}")
    return None


def _of_request(method: str, path: str, body: Any) -> Step | None:
    if method == "POST" and path.endswith("/comments"):
        lines = [line for line in body["body"].splitlines() if line and "<!--" not in line]
        return Step("comment", lines[0] if lines else "")
    if "/labels" in path and "/issues/" in path and method in ("POST", "PUT", "DELETE"):
        return Step("labels", f"{method} {path.partition('/issues/')[2]}")
    if method == "POST" and "/statuses/" in path:
        return Step("status", f"{body['context']}: {body['state']} ({body['description']})")
    return None


def _line_text(line: dict[str, Any]) -> str:
    data, parts = line["data"], [f"by {line['actor']}"]
    for name in ("agent", "branch", "reason", "detail", "reasons", "unread"):
        value = data.get(name)
        if value and line["actor"] != f"{name}:{value}":
            parts.append(f"{name} {value}")
    receipt = data.get("receipt")
    if isinstance(receipt, dict):
        parts.append(f"pull request #{receipt['pull_request']} at {receipt['head'][:10]}")
    return ", ".join(parts)


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout: float = 30.0) -> None:
    """Wait until something outside is so. Raises StoryFailed with `what` when it takes too long."""
    deadline, pause = time.monotonic() + timeout, _POLL_SECONDS
    while True:
        try:
            if await condition():
                return
        except CallFailed:
            pass
        if time.monotonic() > deadline:
            raise StoryFailed(f"Waited {timeout:.0f} s in vain for {what}.")
        await asyncio.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_POLL_SECONDS)  # whoever is asked computes as well

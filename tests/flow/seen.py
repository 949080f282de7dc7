"""What one sees from outside: in the room, on the issue, in the journal."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fleetbot.domain.events import PullSeen
from fleetbot.store.audit import examine
from fleetbot.store.sqlite import SqliteStore
from fleetbot_devkit.matrix_user import RoomEvent
from fleetbot_devkit.story import until
from fleetbot_devkit.world import World

TOLD_ONCE = [
    "task.created",
    "task.assigned",
    "task.started",
    "receipt.filed",
    "receipt.verified",
    "task.completed",
]
"""The journal of a task that nothing came in the way of."""


async def task_of(world: World, issue: int) -> dict[str, Any] | None:
    tasks = (await world.get(f"/tasks?repo={world.repo}"))["tasks"]
    return next((dict(task) for task in tasks if task["issue"] == issue), None)


async def lines_of(world: World, issue: int) -> list[dict[str, Any]]:
    """The lines of the task's journal, in order."""
    task = await task_of(world, issue)
    assert task is not None
    return list((await world.get(f"/tasks/{task['id']}/events?limit=500"))["events"])


async def journal_of(world: World, issue: int) -> list[str]:
    """The types of the task's events, in order; a look at its pull request comes when it comes."""
    types = [line["type"] for line in await lines_of(world, issue)]
    return [its for its in types if its != "pull.seen"]


async def until_state(world: World, issue: int, state: str, timeout: float = 30.0) -> None:
    """Wait until the issue's task is in `state`."""

    async def reached() -> bool:
        task = await task_of(world, issue)
        return task is not None and task["state"] == state

    await until(reached, f"#{issue} to be {state}", timeout)


async def until_labelled(world: World, issue: int, label: str) -> None:
    async def labelled() -> bool:
        names = {row["name"] for row in (await world.issue(issue))["labels"]}
        return label in names

    await until(labelled, f"the label {label} on #{issue}")


def says(world: World, *words: str) -> Callable[[RoomEvent], bool]:
    """A message of the bot in the room, outside of threads, with all of these words."""

    def matches(event: RoomEvent) -> bool:
        return (
            event.sender == world.bot.user_id
            and event.room_id == world.room
            and not event.thread
            and not event.replaces
            and all(word in event.text for word in words)
        )

    return matches


def shows(world: World, *words: str) -> Callable[[RoomEvent], bool]:
    """A message of the bot in the room, or an edit of one, with all of these words."""

    def matches(event: RoomEvent) -> bool:
        of_the_room = event.sender == world.bot.user_id and event.room_id == world.room
        return of_the_room and not event.thread and all(word in event.text for word in words)

    return matches


async def ask(world: World, text: str, *, who: str = "alice") -> str:
    """Say something in the room; the text of the bot's answer to it."""
    person = world.alice if who == "alice" else world.bob
    said = await person.send(world.room, text)

    return (await person.wait_for(answer_to(said))).text


def answer_to(said: str) -> Callable[[RoomEvent], bool]:
    """The answer to the message with this event id."""

    def matches(event: RoomEvent) -> bool:
        relation = event.content.get("m.relates_to", {})
        return bool(relation.get("m.in_reply_to", {}).get("event_id") == said)

    return matches


async def said_in_room(world: World) -> list[str]:
    """First lines of what the bot has said in the room, outside of threads."""
    events = await world.alice.messages(world.room, limit=200)
    mine = says(world)
    return [e.text.splitlines()[0] for e in events if e.type == "m.room.message" and mine(e)]


@asynccontextmanager
async def journal_copy(world: World) -> AsyncIterator[SqliteStore]:
    """The journal as it is on disk at this moment; fleetbot goes on meanwhile."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "fleet.db"
        await asyncio.to_thread(_copy, next((world.root / "maubot").rglob("fleet.db")), copy)
        store = SqliteStore(copy)
        try:
            await store.load()
            yield store
        finally:
            await store.close()


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


async def journal_problems(world: World) -> list[str]:
    """What is wrong with the journal, or with the tables that follow from it."""
    async with journal_copy(world) as store:
        return [str(problem) for problem in await examine(store)]


async def journal_length(world: World) -> int:
    """Without what the plugin finds out by itself: of repositories soon after its start, and of
    pull requests that earlier tasks have left open."""
    async with journal_copy(world) as store:
        lines = await store.events(limit=100_000)
    told = (line for line in lines if not line.stream.startswith("repo:"))
    return sum(not isinstance(line.event, PullSeen) for line in told)


@asynccontextmanager
async def nothing_changes(world: World) -> AsyncIterator[None]:
    before = await journal_length(world)
    yield
    assert await journal_length(world) == before

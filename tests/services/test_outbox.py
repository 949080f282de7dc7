"""The outbox's way out: in order per destination, nobody waits for another, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fleetbot.services.outbox import (
    Courier,
    Refused,
    RetryLater,
    Sender,
    backoff,
)
from fleetbot.store.interface import Store
from fleetbot.store.records import Change, Due, OutboxEntry
from tests.services.stage import Clock
from tests.store.backend import SqliteBackend


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with SqliteBackend(tmp_path).open() as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


Put = Callable[..., Awaitable[None]]


@pytest.fixture
def put(store: Store, clock: Clock) -> Put:
    async def put(*names: str, to: str = "room:a") -> None:
        entries = tuple(
            OutboxEntry(id=name, destination=to, kind="note", payload=b"", due_at=clock())
            for name in names
        )
        await store.append(Change(outbox=entries))

    return put


class Post:
    """A sender that notes what it was given; `says` decides what comes of it."""

    def __init__(self, says: Callable[[Due], Awaitable[str]] | None = None) -> None:
        self.sent: list[str] = []
        self._says = says

    async def __call__(self, due: Due) -> str:
        self.sent.append(due.entry.id)
        return await self._says(due) if self._says else "ok"


def deliverer(store: Store, clock: Clock, sender: Sender, **others: Sender) -> Courier:
    return Courier(store, {"room": sender, **others}, clock, jitter=lambda: 0.0)


async def test_everything_due_is_delivered_in_order(store: Store, clock: Clock, put: Put) -> None:
    await put("a1", "a2", "a3")
    post = Post()
    await deliverer(store, clock, post).tick()
    assert post.sent == ["a1", "a2", "a3"]
    assert await store.next_due() is None
    delivered = await store.delivered("a3")
    assert delivered is not None
    assert delivered.result == "ok"


async def test_a_destination_that_fails_waits_and_keeps_its_order(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2")
    fails = True

    async def says(due: Due) -> str:
        if fails and due.entry.id == "a1":
            raise RetryLater(None, "no answer")
        return "ok"

    post = Post(says)
    out = deliverer(store, clock, post)
    await out.tick()
    assert post.sent == ["a1"]
    [backlog] = await store.outbox_stats()
    assert (backlog.pending, backlog.error) == (2, "no answer")
    fails = False
    clock.advance(2)
    await out.tick()
    assert post.sent == ["a1", "a1", "a2"]


async def test_a_destination_waits_exactly_as_long_as_it_says(
    store: Store, clock: Clock, put: Put
) -> None:
    async def says(due: Due) -> str:
        raise RetryLater(12.5, "slow down")

    await put("a1")
    await deliverer(store, clock, Post(says)).tick()
    assert await store.next_due() == clock() + 12_500


def test_the_back_off_doubles_up_to_its_cap() -> None:
    assert [backoff(n, 2, 300, 0.0) for n in (0, 1, 2, 20)] == [2, 4, 8, 300]
    assert backoff(3, 2, 300, 1.0) == 12


async def test_what_can_never_be_delivered_makes_room(
    store: Store, clock: Clock, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    async def says(due: Due) -> str:
        if due.entry.id == "a1":
            raise Refused("the room is gone")
        return "ok"

    await put("a1", "a2")
    await deliverer(store, clock, Post(says)).tick()
    gone = await store.delivered("a1")
    assert gone is not None
    assert gone.result == "undeliverable: the room is gone"
    assert await store.delivered("a2") is not None
    assert "the room is gone" in caplog.text


async def test_a_dead_destination_never_blocks_another(
    store: Store, clock: Clock, put: Put
) -> None:
    for room in range(6):
        await put(f"dead{room}", to=f"dead:{room}")
    await put("a1", to="room:a")
    hanging, arrived = asyncio.Event(), asyncio.Event()

    async def hangs(due: Due) -> str:
        await hanging.wait()
        return "late"

    async def arrives(due: Due) -> str:
        arrived.set()
        return "ok"

    dead = Post(hangs)
    out = deliverer(store, clock, Post(arrives), dead=dead)
    tick = asyncio.create_task(out.tick())
    await arrived.wait()
    assert dead.sent == ["dead0", "dead1", "dead2", "dead3"]  # four at a time
    arrived.clear()
    await put("a2", to="room:a")  # while the dead ones still hang
    out.wake()
    await arrived.wait()
    hanging.set()
    await tick
    assert await store.next_due() is None


async def test_a_destination_in_flight_is_left_alone_by_another_tick(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2")
    started, finish = asyncio.Event(), asyncio.Event()

    async def says(due: Due) -> str:
        started.set()
        await finish.wait()
        return "ok"

    post = Post(says)
    out = deliverer(store, clock, post)
    first = asyncio.create_task(out.tick())
    await started.wait()
    await out.tick()
    assert post.sent == ["a1"]
    finish.set()
    await first
    assert post.sent == ["a1", "a2"]


async def test_a_cancelled_tick_leaves_what_it_had_in_hand_for_the_next(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1")
    started, hangs = asyncio.Event(), True

    async def says(due: Due) -> str:
        started.set()
        if hangs:
            await asyncio.Event().wait()
        return "ok"

    post = Post(says)
    out = deliverer(store, clock, post)
    tick = asyncio.create_task(out.tick())
    await started.wait()
    tick.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tick
    hangs = False
    await out.tick()
    assert post.sent == ["a1", "a1"]
    assert await store.delivered("a1") is not None


async def test_a_sender_that_breaks_is_tried_again_and_given_up_at_last(
    store: Store, clock: Clock, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    async def says(due: Due) -> str:
        raise ZeroDivisionError

    await put("a1")
    out = deliverer(store, clock, Post(says))
    for _ in range(12):
        assert await store.delivered("a1") is None
        await out.tick()
        clock.advance(300)
    given_up = await store.delivered("a1")
    assert given_up is not None
    assert given_up.result == "undeliverable: ZeroDivisionError"


async def test_an_effect_that_nobody_delivers_waits(store: Store, clock: Clock, put: Put) -> None:
    await put("x1", to="matrix:!room")
    await deliverer(store, clock, Post()).tick()
    [backlog] = await store.outbox_stats()
    assert backlog.error == "nobody delivers to matrix"

"""The outbox's way out: in order per destination, nobody waits for another, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from fleetbot.domain.patience import Patience, with_outbox
from fleetbot.services.outbox import Courier, Gone, Refused, RetryLater, Sender, TooSoon
from fleetbot.store.interface import Store, StoreUnavailable
from fleetbot.store.records import Change, Due, OutboxEntry, QueueTrouble
from tests.services.stage import Clock
from tests.store.backend import SqliteBackend

DAY, DAYS = 86_400, 1
PATIENCE = with_outbox(DAYS)


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


class Moody:
    """A sender that fails with `error` at those of `names`, for as long as there is one."""

    def __init__(self, error: Exception, *names: str) -> None:
        self.error: Exception | None = error
        self._names = names
        self.sent: list[str] = []

    async def __call__(self, due: Due) -> str:
        self.sent.append(due.entry.id)
        if self.error and due.entry.id in self._names:
            raise self.error
        return "ok"


def courier(
    store: Store, clock: Clock, sender: Sender, patience: Patience = PATIENCE, **others: Sender
) -> Courier:
    return Courier(store, {"room": sender, **others}, clock, patience)


async def trouble(store: Store, sender: str = "room") -> QueueTrouble:
    [found] = await store.troubles(sender, 10)
    return found


async def days_pass(out: Courier, clock: Clock, days: float) -> None:
    """As the plugin's loop does it: a tick whenever there is something to do."""
    end = clock() + int(days * DAY * 1000)
    while (due := await out.next_due()) is not None and due <= end:
        clock.now = max(clock.now, due)
        await out.tick()
    clock.now = end


# order


async def test_everything_due_is_delivered_in_order(store: Store, clock: Clock, put: Put) -> None:
    await put("a1", "a2", "a3")
    post = Post()
    out = courier(store, clock, post)
    await out.tick()
    assert post.sent == ["a1", "a2", "a3"]
    assert await out.next_due() is None
    done = await store.acknowledged("a3")
    assert done is not None
    assert done.result == "ok"


async def test_an_outcome_that_cannot_be_kept_holds_up_nothing_else(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1")
    await put("b1", "b2", to="room:b")

    async def says(due: Due) -> str:
        return "\ud800" if due.entry.id == "a1" else "ok"

    await courier(store, clock, Post(says)).tick()

    assert (await trouble(store)).error == "this cannot be kept: UnicodeEncodeError"
    assert await store.acknowledged("b2")


async def test_a_destination_that_fails_waits_and_keeps_its_order(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2")
    post = Moody(RetryLater(None, "no answer"), "a1")
    out = courier(store, clock, post)
    await out.tick()
    assert post.sent == ["a1"]
    assert (await trouble(store)).error == "no answer"
    post.error = None
    clock.advance(2)
    await out.tick()
    assert post.sent == ["a1", "a1", "a2"]


async def test_a_destination_waits_exactly_as_long_as_it_says(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1")
    out = courier(store, clock, Moody(RetryLater(12.5, "slow down"), "a1"))
    await out.tick()
    assert await out.next_due() == clock() + 12_500


async def test_what_is_to_keep_its_distance_waits_without_having_failed(
    store: Store, clock: Clock, put: Put
) -> None:
    resting = Moody(TooSoon(clock() + 4_000), "card")
    out = courier(store, clock, resting)
    await put("card", to="room:a/t1")
    await put("news", to="room:a")

    await out.tick()
    assert sorted(resting.sent) == ["card", "news"], "it is in nobody's way"
    assert await store.troubles("room", 9) == []
    assert await out.next_due() == clock() + 4_000

    resting.error = None
    clock.advance(3.9)
    await out.tick()
    clock.advance(0.1)
    await out.tick()
    assert resting.sent.count("card") == 2


async def test_what_replaces_it_keeps_the_same_distance(store: Store, clock: Clock) -> None:
    resting = Moody(TooSoon(clock() + 4_000), "old")
    out = courier(store, clock, resting)
    for name in ("old", "new"):
        entry = OutboxEntry(
            id=name,
            destination="room:a/t1",
            kind="card",
            payload=b"",
            due_at=clock(),
            collapse="state",
        )
        await store.append(Change(outbox=(entry,)))
        await out.tick()
    assert resting.sent == ["old"]
    clock.advance(4)
    await out.tick()
    assert resting.sent == ["old", "new"]


async def test_a_room_that_moves_lets_go_of_what_waits_for_its_parts(
    store: Store, clock: Clock, put: Put
) -> None:
    resting = Moody(RetryLater(600.0, "not there"), "card")
    out = courier(store, clock, resting)
    await put("card", to="room:a/t1")
    await out.tick()
    resting.error = None
    await store.append(Change(released=("room:a",)))
    await out.tick()
    assert resting.sent == ["card", "card"]


async def test_nobody_makes_us_wait_for_years_by_saying_so(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1")
    out = courier(store, clock, Moody(RetryLater(1e9, "Retry-After: 1000000000"), "a1"))
    await out.tick()
    assert await out.next_due() == clock() + 3_600_000


@pytest.mark.parametrize("host", [False, True])
async def test_nobody_has_us_ask_again_without_a_pause_by_saying_so(
    store: Store, clock: Clock, put: Put, *, host: bool
) -> None:
    await put("a1")
    post = Moody(RetryLater(0, "Retry-After: 0", host=host), "a1")
    out = courier(store, clock, post)
    await out.tick()
    assert post.sent == ["a1"]
    assert await out.next_due() == clock() + 1_000


# given up, or not


async def test_a_clock_that_is_set_back_holds_nothing_up(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2")
    await put("b1", to="other:b")
    post, other = (
        Moody(RetryLater(30, "slow down"), "a1"),
        Moody(RetryLater(9, "", host=True), "b1"),
    )
    out = courier(store, clock, post, other=other)
    await out.tick()
    post.error = other.error = None

    clock.advance(-3600)
    await out.tick()
    assert await out.next_due() == clock() + 9_000, "as long as before"
    clock.advance(30)
    await out.tick()

    assert post.sent == ["a1", "a1", "a2"]
    assert other.sent == ["b1", "b1"]


async def test_one_that_was_set_back_while_we_were_away_does_not_either(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2")
    clock.advance(-3600)
    post = Post()
    await courier(store, clock, post).tick()
    assert post.sent == ["a1", "a2"]


async def test_what_is_gone_for_good_makes_room_and_is_a_dead_letter(
    store: Store, clock: Clock, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    await put("a1", "a2")
    heard: list[str] = []
    out = Courier(
        store,
        {"room": Moody(Gone("the issue is gone"), "a1")},
        clock,
        PATIENCE,
        on_given_up=lambda: heard.append("one"),
    )
    await out.tick()
    [letter] = await store.dead_letters()
    assert letter.error == "the issue is gone"
    assert heard == ["one"]
    assert await store.acknowledged("a1") is None
    assert await store.acknowledged("a2") is not None
    assert "is given up: the issue is gone" in caplog.text


async def test_a_weekend_without_a_token_loses_nothing_and_keeps_the_order(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2", "a3")
    post = Moody(RetryLater(None, "401"), "a1", "a2", "a3")
    out = courier(store, clock, post, with_outbox(14))
    await days_pass(out, clock, 3)
    assert set(post.sent) == {"a1"}
    assert len(post.sent) > 20
    post.error = None
    await days_pass(out, clock, 0.1)
    assert post.sent[-3:] == ["a1", "a2", "a3"]
    assert (await store.graveyard()).letters == 0


async def test_pauses_grow_up_to_a_bound(store: Store, clock: Clock, put: Put) -> None:
    await put("a1")
    post = Moody(RetryLater(None, "403"), "a1")
    await days_pass(courier(store, clock, post), clock, 0.99)
    assert 0.99 * DAY / 300 <= len(post.sent) <= DAY / 300 / 0.75 + 12


async def test_patience_ends_and_a_person_has_it_sent_again(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1", "a2")
    post = Moody(RetryLater(None, "403 thrown out of the room"), "a1", "a2")
    out = courier(store, clock, post)
    await days_pass(out, clock, DAYS - 0.1)
    assert (await store.graveyard()).letters == 0
    await days_pass(out, clock, 0.2)
    letters = await store.dead_letters()
    assert [letter.error for letter in letters] == ["403 thrown out of the room"] * 2
    assert await out.next_due() is None
    post.error = None
    assert await store.revive(None, clock()) == 2
    post.sent.clear()
    await out.tick()
    assert post.sent == ["a1", "a2"]
    assert (await store.graveyard()).letters == 0


async def test_what_is_sent_again_has_patience_anew(store: Store, clock: Clock, put: Put) -> None:
    await put("a1")
    out = courier(store, clock, Moody(RetryLater(None, "403"), "a1"))
    await days_pass(out, clock, DAYS + 0.1)
    await store.revive(None, clock())
    await days_pass(out, clock, DAYS - 0.1)
    assert (await store.graveyard()).letters == 0
    await days_pass(out, clock, 0.2)
    assert (await store.graveyard()).letters == 1


async def test_what_is_refused_is_tried_in_order_and_then_set_aside(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("bad", "a2", "a3")
    post = Moody(Refused("500 for this comment"), "bad")
    out = courier(store, clock, post)
    await days_pass(out, clock, 0.01)
    in_order, behind = post.sent.index("a2"), post.sent.index("a3")
    assert post.sent[:in_order] == ["bad"] * 5
    assert behind == in_order + 1
    assert "bad" in post.sent[behind:]
    assert (await trouble(store)).error == "500 for this comment"


async def test_what_was_set_aside_is_delivered_when_it_can_be(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("bad")
    post = Moody(Refused("500"), "bad")
    out = courier(store, clock, post)
    await days_pass(out, clock, 0.5)
    post.error = None
    await days_pass(out, clock, 0.05)
    assert await store.acknowledged("bad") is not None
    assert await store.troubles("room", 1) == []


async def test_what_is_always_refused_is_a_dead_letter_at_the_end(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("bad")
    post = Moody(Refused("500"), "bad")
    await days_pass(courier(store, clock, post), clock, DAYS + 0.1)
    [letter] = await store.dead_letters()
    assert letter.error == "500"
    assert 30 < len(post.sent) < 60


async def test_a_sender_that_breaks_is_treated_like_one_that_refuses(
    store: Store, clock: Clock, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    await put("bad", "good")
    await days_pass(courier(store, clock, Moody(ZeroDivisionError(), "bad")), clock, 0.01)
    assert await store.acknowledged("good") is not None
    assert (await trouble(store)).error == "it broke: ZeroDivisionError"
    assert "Traceback" in caplog.text


async def test_a_journal_that_a_sender_cannot_read_costs_no_effect_its_place(
    store: Store, clock: Clock, put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    """It was told as a bug, and set aside as refused after some tries."""
    await put("bad", "good")
    post = Moody(StoreUnavailable("cannot be read"), "bad")
    out = courier(store, clock, post)
    await days_pass(out, clock, 0.5)
    assert await store.acknowledged("good") is None, "it is behind the other"
    assert (await trouble(store)).error == "cannot be read"
    assert "Traceback" not in caplog.text

    post.error = None
    await days_pass(out, clock, 0.05)
    assert post.sent[-2:] == ["bad", "good"]


# one does not wait for another


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
    out = courier(store, clock, Post(arrives), dead=dead)
    tick = asyncio.create_task(out.tick())
    await arrived.wait()
    assert dead.sent == ["dead0", "dead1", "dead2", "dead3"]  # four at a time
    arrived.clear()
    await put("a2", to="room:a")  # while the dead ones still hang
    out.wake()
    await arrived.wait()
    hanging.set()
    await tick
    assert await out.next_due() is None


async def test_a_thousand_hanging_issues_do_not_keep_a_room_waiting(
    store: Store, clock: Clock
) -> None:
    entries = tuple(
        OutboxEntry(id=f"f{n}", destination=f"forgejo:{n}", kind="k", payload=b"", due_at=clock())
        for n in range(1100)
    )
    last = OutboxEntry(id="said", destination="room:a", kind="k", payload=b"", due_at=clock())
    await store.append(Change(outbox=(*entries, last)))
    arrived = asyncio.Event()

    async def hangs(due: Due) -> str:
        await asyncio.Event().wait()
        return "never"

    async def arrives(due: Due) -> str:
        arrived.set()
        return "ok"

    forge = Post(hangs)
    tick = asyncio.create_task(courier(store, clock, Post(arrives), forgejo=forge).tick())
    await arrived.wait()
    assert len(forge.sent) == 4
    tick.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tick


async def test_a_free_place_is_filled_while_others_are_slow(
    store: Store, clock: Clock, put: Put
) -> None:
    for room in range(8):
        await put(f"a{room}", to=f"room:{room}")
    slow, rest_done = asyncio.Event(), asyncio.Event()

    async def says(due: Due) -> str:
        if due.entry.id == "a0":
            await slow.wait()
        elif due.entry.id == "a7":
            rest_done.set()
        return "ok"

    tick = asyncio.create_task(courier(store, clock, Post(says)).tick())
    await rest_done.wait()
    slow.set()
    await tick


# 429


async def test_a_limit_silences_the_whole_sender_for_as_long_as_it_says(
    store: Store, clock: Clock, put: Put
) -> None:
    names = [f"f{n}" for n in range(50)]
    for name in names:
        await put(name, to=f"forgejo:{name}")
    forge = Moody(RetryLater(60, "429", host=True), *names)
    room = Post()
    out = courier(store, clock, room, forgejo=forge)
    await out.tick()
    asked = len(forge.sent)
    assert asked <= 4
    for _ in range(59):
        clock.advance(1)
        await put(f"r{clock()}")
        await out.tick()
    assert len(forge.sent) == asked
    assert len(room.sent) == 59
    assert await out.next_due() == clock() + 1_000
    forge.error = None
    clock.advance(1)
    await out.tick()
    assert set(forge.sent) == set(names)


async def test_a_limit_without_a_time_pauses_longer_each_time(
    store: Store, clock: Clock, put: Put
) -> None:
    await put("a1")
    out = courier(store, clock, Moody(RetryLater(None, "429", host=True), "a1"))
    pauses = []
    for _ in range(4):
        await out.tick()
        pauses.append((await out.next_due() or 0) - clock())
        clock.advance(pauses[-1] / 1000)
    assert pauses == sorted(pauses)
    assert pauses[0] <= 2_000 < 9_000 <= pauses[3] <= 16_000


# interrupted


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
    out = courier(store, clock, post)
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
    out = courier(store, clock, post)
    tick = asyncio.create_task(out.tick())
    await started.wait()
    tick.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tick
    hangs = False
    await out.tick()
    assert post.sent == ["a1", "a1"]
    assert await store.acknowledged("a1") is not None

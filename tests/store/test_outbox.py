"""The outbox: order per destination, collapse, deferral, and nothing delivered twice."""

from __future__ import annotations

import pytest

from fleetbot.store.interface import Store
from fleetbot.store.records import Backlog, Change, Deferred, Delivered, OutboxEntry

ROOM, FORGE = "matrix:!room", "forgejo:octo/hello-world"
NOW = 1_000


def entry(
    id: str, destination: str = ROOM, *, collapse: str | None = None, due_at: int = NOW
) -> OutboxEntry:
    return OutboxEntry(
        id=id,
        destination=destination,
        kind="notice",
        collapse=collapse,
        payload=id.encode(),
        due_at=due_at,
    )


async def put(store: Store, *entries: OutboxEntry) -> None:
    await store.append(Change(outbox=entries))


async def deliver(store: Store, id: str) -> None:
    await store.append(Change(delivered=(Delivered(id=id, at=NOW, result=f"${id}"),)))


async def defer(store: Store, id: str, due_at: int) -> None:
    await store.append(Change(deferred=(Deferred(id=id, due_at=due_at, error="HTTP 429"),)))


async def due(store: Store, now: int = NOW) -> list[str]:
    return [due.entry.id for due in await store.due(now)]


async def test_an_entry_comes_back_as_it_was_put_in(store: Store) -> None:
    effect = OutboxEntry(
        id="a", destination=ROOM, kind="k", collapse="c", payload=b"\x00", due_at=NOW, seq=4
    )
    await put(store, effect)

    (found,) = await store.due(NOW)

    assert (found.entry, found.attempts) == (effect, 0)


async def test_each_destination_shows_its_first_entry_only(store: Store) -> None:
    await put(store, entry("10"), entry("9"), entry("f1", FORGE), entry("f2", FORGE))

    assert await due(store) == ["10", "f1"]

    await deliver(store, "10")
    assert await due(store) == ["9", "f1"]


async def test_nothing_is_due_before_its_time(store: Store) -> None:
    await put(store, entry("later", due_at=NOW + 5), entry("behind it"))

    assert await due(store) == []
    assert await store.next_due() == NOW + 5
    assert await due(store, NOW + 5) == ["later"]


async def test_an_empty_outbox_waits_for_nothing(store: Store) -> None:
    assert await store.next_due() is None
    assert await store.outbox_stats() == []


async def test_the_same_effect_is_kept_once(store: Store) -> None:
    await put(store, entry("a"))
    await deliver(store, "a")
    await put(store, entry("a"))

    assert await due(store) == []


@pytest.mark.parametrize("at_once", [True, False], ids=["in one change", "one after the other"])
async def test_a_newer_entry_takes_the_place_of_older_ones(store: Store, at_once: bool) -> None:
    entries = [entry("old", collapse="card"), entry("between"), entry("new", collapse="card")]
    for group in [entries] if at_once else [[e] for e in entries]:
        await put(store, *group)

    assert await due(store) == ["between"]
    await deliver(store, "between")
    assert await due(store) == ["new"]
    await deliver(store, "new")
    assert await due(store) == []
    assert await store.delivered("old") is None


async def test_entries_collapse_within_their_destination_only(store: Store) -> None:
    await put(store, entry("room", collapse="card"), entry("forge", FORGE, collapse="card"))

    assert await due(store) == ["room", "forge"]


async def test_what_was_delivered_is_not_superseded(store: Store) -> None:
    await put(store, entry("old", collapse="card"))
    await deliver(store, "old")
    await put(store, entry("new", collapse="card"))

    assert await store.delivered("old") == Delivered(id="old", at=NOW, result="$old")
    assert await due(store) == ["new"]


async def test_a_deferred_entry_holds_its_destination_and_no_other(store: Store) -> None:
    await put(store, entry("a"), entry("b"), entry("f", FORGE))
    await defer(store, "a", NOW + 60)

    assert await due(store) == ["f"]
    await deliver(store, "f")
    assert await store.next_due() == NOW + 60
    (found,) = await store.due(NOW + 60)
    assert (found.entry.id, found.attempts) == ("a", 1)


async def test_failures_are_counted_by_destination_until_one_succeeds(store: Store) -> None:
    await put(store, entry("old", collapse="card"), entry("next"))
    await defer(store, "old", NOW)
    await put(store, entry("new", collapse="card"))
    await defer(store, "next", NOW)

    (found,) = await store.due(NOW)
    assert (found.entry.id, found.attempts) == ("next", 2)

    await deliver(store, "next")
    (found,) = await store.due(NOW)
    assert (found.entry.id, found.attempts) == ("new", 0)


async def test_a_newer_entry_does_not_cut_a_deferral_short(store: Store) -> None:
    await put(store, entry("old", collapse="card"), entry("next"))
    await defer(store, "old", NOW + 60)
    await put(store, entry("new", collapse="card"))

    assert await due(store) == []
    assert await due(store, NOW + 60) == ["next"]


async def test_a_failure_of_a_superseded_entry_still_holds_the_destination(store: Store) -> None:
    await put(store, entry("in flight", collapse="card"))
    await put(store, entry("new", collapse="card"))
    await defer(store, "in flight", NOW + 60)

    assert await due(store) == []
    assert await due(store, NOW + 60) == ["new"]


async def test_a_dead_destination_never_blocks_another(store: Store) -> None:
    await put(store, *(entry(f"dead-{n}", FORGE) for n in range(500)))
    await defer(store, "dead-0", NOW + 10_000)
    await put(store, entry("alive"))

    assert await due(store) == ["alive"]


async def test_the_backlog_tells_what_waits_and_why(store: Store) -> None:
    await put(store, entry("a", due_at=3), entry("b", due_at=7), entry("f", FORGE, due_at=5))
    await defer(store, "a", 60)

    assert await store.outbox_stats() == [
        Backlog(destination=FORGE, pending=1, oldest=5, deferred_until=0, attempts=0, error=""),
        Backlog(
            destination=ROOM, pending=2, oldest=3, deferred_until=60, attempts=1, error="HTTP 429"
        ),
    ]


async def test_prune_forgets_what_is_done_and_old_and_nothing_else(store: Store) -> None:
    await put(store, entry("done", due_at=1), entry("card 1", due_at=2, collapse="card"))
    await put(store, entry("card 2", due_at=3, collapse="card"), entry("new", due_at=100))
    await deliver(store, "done")
    await deliver(store, "new")

    assert await store.prune(before=50) == 2

    assert await store.delivered("done") is None
    assert await store.delivered("new") is not None
    assert await due(store) == ["card 2"]


async def test_prune_takes_as_many_portions_as_it_needs(store: Store) -> None:
    count = 5_000
    await put(store, *(entry(str(n), collapse="card", due_at=1) for n in range(count)))

    assert await store.prune(before=50) == count - 1
    assert await due(store) == [str(count - 1)]


async def test_order_goes_on_after_everything_was_pruned(store: Store) -> None:
    await put(store, entry("a", due_at=1))
    await deliver(store, "a")
    await store.prune(before=50)
    await store.load()
    await put(store, entry("b"), entry("c"))

    assert await due(store) == ["b"]

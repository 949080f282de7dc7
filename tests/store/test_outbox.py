"""The outbox: order per destination, collapse, deferral, dead letters, and nothing sent twice."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fleetbot.store.interface import Store
from fleetbot.store.records import (
    Acknowledged,
    Backlog,
    Change,
    Deferred,
    GivenUp,
    Graveyard,
    OutboxEntry,
    QueueTrouble,
)

ROOM, FORGE = "matrix:!room", "forgejo:octo/hello-world"
NOW = 1_000
ROOM_FOR_ALL = {"matrix": 1000, "forgejo": 1000}


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
    await store.append(Change(acknowledged=(Acknowledged(id=id, at=NOW, result=f"${id}"),)))


async def defer(
    store: Store, id: str, due_at: int, *, refused: bool = False, aside: bool = False
) -> None:
    deferred = Deferred(
        id=id, at=NOW, due_at=due_at, error="HTTP 500", refused=refused, aside=aside
    )
    await store.append(Change(deferred=(deferred,)))


async def bury(store: Store, id: str, at: int = NOW) -> None:
    await store.append(Change(given_up=(GivenUp(id=id, at=at, error="it is gone"),)))


async def due(store: Store, now: int = NOW) -> list[str]:
    return [due.entry.id for due in await store.due(now, ROOM_FOR_ALL)]


async def next_due(store: Store) -> int | None:
    times = [await store.next_due(sender) for sender in ROOM_FOR_ALL]
    return min((at for at in times if at is not None), default=None)


async def test_an_entry_comes_back_as_it_was_put_in(store: Store) -> None:
    effect = OutboxEntry(
        id="a", destination=ROOM, kind="k", collapse="c", payload=b"\x00", due_at=NOW, seq=4
    )
    await put(store, effect)

    (found,) = await store.due(NOW, ROOM_FOR_ALL)

    assert (found.entry, found.attempts) == (effect, 0)


async def test_each_destination_shows_its_first_entry_only(store: Store) -> None:
    await put(store, entry("10"), entry("9"), entry("f1", FORGE), entry("f2", FORGE))

    assert await due(store) == ["10", "f1"]

    await deliver(store, "10")
    assert await due(store) == ["9", "f1"]


async def test_nothing_is_due_before_its_time(store: Store) -> None:
    await put(store, entry("later", due_at=NOW + 5), entry("behind it"))

    assert await due(store) == []
    assert await next_due(store) == NOW + 5
    assert await due(store, NOW + 5) == ["later"]


async def test_an_empty_outbox_waits_for_nothing(store: Store) -> None:
    assert await next_due(store) is None
    assert await store.backlog() == []


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
    assert await store.acknowledged("old") is None


SHOWN = OutboxEntry(
    id="first", destination=ROOM, kind="card", collapse="card", payload=b"task-1", due_at=NOW
)
AGAIN = replace(SHOWN, id="again", due_at=NOW + 1)


async def waiting(store: Store) -> int:
    return sum(backlog.pending for backlog in await store.backlog())


@pytest.mark.parametrize("at_once", [True, False], ids=["in one change", "one after the other"])
async def test_what_nobody_has_taken_yet_is_not_kept_twice(store: Store, at_once: bool) -> None:
    for group in [(SHOWN, AGAIN)] if at_once else [(SHOWN,), (AGAIN,)]:
        await put(store, *group)
    await put(store, entry("behind it"))

    assert await due(store, NOW + 1) == ["first"]
    assert await waiting(store) == 2


async def test_what_a_sender_has_in_hand_is_sent_again(store: Store) -> None:
    """It may have been sent already, with the state of before."""
    await put(store, SHOWN)
    assert await due(store) == ["first"]
    await put(store, AGAIN)

    await deliver(store, "first")

    assert await due(store, NOW + 1) == ["again"]


async def test_what_was_given_up_or_said_otherwise_since_is_sent_again(store: Store) -> None:
    await put(store, SHOWN)
    await put(store, replace(SHOWN, id="other", payload=b"task-2"))
    await put(store, AGAIN)
    assert await due(store, NOW + 1) == ["again"]

    await bury(store, "again")
    await put(store, replace(AGAIN, id="and again"))

    assert await due(store, NOW + 1) == ["and again"]


async def test_what_is_due_earlier_or_much_later_stands_for_itself(store: Store) -> None:
    await put(store, replace(SHOWN, id="later", due_at=NOW + 10), SHOWN)
    assert (await due(store), await waiting(store)) == (["first"], 1)

    await put(store, replace(SHOWN, id="new", destination=FORGE))
    much_later = NOW + 60_001
    await put(store, replace(SHOWN, id="newer", destination=FORGE, due_at=much_later))
    assert await due(store, much_later) == ["first", "newer"]


async def test_after_a_restart_nobody_knows_what_was_taken(store: Store) -> None:
    await put(store, SHOWN)
    await store.close()
    await store.load()
    await put(store, AGAIN)

    assert await due(store, NOW + 1) == ["again"]


async def test_entries_collapse_within_their_destination_only(store: Store) -> None:
    await put(store, entry("room", collapse="card"), entry("forge", FORGE, collapse="card"))

    assert await due(store) == ["room", "forge"]


async def test_what_was_delivered_is_not_superseded(store: Store) -> None:
    await put(store, entry("old", collapse="card"))
    await deliver(store, "old")
    await put(store, entry("new", collapse="card"))

    assert await store.acknowledged("old") == Acknowledged(id="old", at=NOW, result="$old")
    assert await due(store) == ["new"]


async def test_a_deferred_entry_holds_its_destination_and_no_other(store: Store) -> None:
    await put(store, entry("a"), entry("b"), entry("f", FORGE))
    await defer(store, "a", NOW + 60)

    assert await due(store) == ["f"]
    await deliver(store, "f")
    assert await next_due(store) == NOW + 60
    (found,) = await store.due(NOW + 60, ROOM_FOR_ALL)
    assert (found.entry.id, found.attempts) == ("a", 1)


async def test_failures_are_counted_by_destination_until_one_succeeds(store: Store) -> None:
    await put(store, entry("old", collapse="card"), entry("next"))
    await defer(store, "old", NOW)
    await put(store, entry("new", collapse="card"))
    await defer(store, "next", NOW)

    (found,) = await store.due(NOW, ROOM_FOR_ALL)
    assert (found.entry.id, found.attempts) == ("next", 2)

    await deliver(store, "next")
    (found,) = await store.due(NOW, ROOM_FOR_ALL)
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


async def test_the_backlog_tells_what_waits_for_whom(store: Store) -> None:
    await put(store, entry("a", due_at=3), entry("b", due_at=7), entry("f", FORGE, due_at=5))

    assert await store.backlog() == [
        Backlog(sender="forgejo", kind="notice", pending=1, oldest=5),
        Backlog(sender="matrix", kind="notice", pending=2, oldest=3),
    ]


async def test_trouble_is_told_from_its_beginning_to_its_end(store: Store) -> None:
    await put(store, entry("a"), entry("f", FORGE))
    await defer(store, "a", NOW + 60)
    await defer(store, "a", NOW + 90)

    assert await store.troubles("forgejo", 10) == []
    assert await store.troubles("matrix", 10) == [
        QueueTrouble(destination=ROOM, attempts=2, error="HTTP 500", since=NOW, held_until=NOW + 90)
    ]
    await deliver(store, "a")
    assert await store.troubles("matrix", 10) == []


# each sender is asked for its own


async def test_a_sender_gets_as_much_as_it_has_room_for(store: Store) -> None:
    await put(store, *(entry(f"f{n}", f"forgejo:{n}") for n in range(5)), entry("r"))

    found = await store.due(NOW, {"forgejo": 2, "matrix": 1})
    assert [due.entry.id for due in found] == ["f0", "f1", "r"]
    found = await store.due(NOW, {"matrix": 1})
    assert [due.entry.id for due in found] == ["r"]


async def test_what_has_been_due_longest_comes_first(store: Store) -> None:
    await put(store, entry("slow", "forgejo:1", due_at=NOW - 9), entry("new", "forgejo:2"))
    await defer(store, "slow", NOW + 1)

    assert await due(store, NOW + 1) == ["new", "slow"]


async def test_a_busy_destination_takes_nobodys_place(store: Store) -> None:
    await put(store, entry("a", "forgejo:1"), entry("b", "forgejo:2"))

    found = await store.due(NOW, {"forgejo": 1}, busy=["forgejo:1"])
    assert [due.entry.id for due in found] == ["b"]


# what is refused


async def test_what_is_set_aside_no_longer_holds_up_what_is_behind_it(store: Store) -> None:
    await put(store, entry("bad"), entry("good"))
    await defer(store, "bad", NOW + 1, refused=True)
    assert await due(store) == []
    await defer(store, "bad", NOW + 60, refused=True, aside=True)

    assert await due(store) == ["good"]
    found = await store.due(NOW + 60, ROOM_FOR_ALL)
    assert [(d.entry.id, d.refusals, d.aside) for d in found] == [
        ("good", 0, False),
        ("bad", 2, True),
    ]
    assert [d.attempts for d in found] == [0, 1]


async def test_what_was_set_aside_waits_for_itself_only(store: Store) -> None:
    await put(store, entry("bad"), entry("good"))
    await defer(store, "bad", NOW + 60, refused=True, aside=True)
    await defer(store, "bad", NOW + 99, refused=True)

    assert await due(store, NOW + 98) == ["good"]
    await deliver(store, "bad")
    assert await due(store, NOW + 99) == ["good"]
    assert await store.troubles("matrix", 9) == []


async def test_a_newer_entry_takes_the_place_of_one_that_was_set_aside(store: Store) -> None:
    await put(store, entry("old", collapse="card"))
    await defer(store, "old", NOW, refused=True, aside=True)
    await put(store, entry("new", collapse="card"))

    assert await due(store) == ["new"]


async def test_a_destination_that_is_released_is_tried_at_once(store: Store) -> None:
    """The bot was let into the room again, for example."""
    await put(store, entry("bad"), entry("next"), entry("elsewhere", "matrix:!other"))
    await defer(store, "bad", NOW + 60, refused=True, aside=True)
    await defer(store, "next", NOW + 60)
    await defer(store, "elsewhere", NOW + 60)
    await store.append(Change(released=(ROOM,)))

    assert await due(store) == ["bad", "next"]
    assert [trouble.destination for trouble in await store.troubles("matrix", 9)] == [
        "matrix:!other"
    ]


# dead letters


async def test_a_dead_letter_makes_room_and_is_never_taken_for_delivered(store: Store) -> None:
    await put(store, entry("dead"), entry("next"))
    await defer(store, "dead", NOW + 60)
    await bury(store, "dead", at=NOW + 60)

    assert await due(store) == ["next"]
    assert await store.acknowledged("dead") is None
    [letter] = await store.dead_letters()
    assert (letter.destination, letter.payload, letter.error) == (ROOM, b"dead", "it is gone")
    assert (letter.due_at, letter.given_up_at) == (NOW, NOW + 60)
    assert await store.graveyard() == Graveyard(letters=1, oldest=NOW + 60, newest=NOW + 60)


async def test_a_dead_letter_outlives_the_delivered(store: Store) -> None:
    await put(store, entry("dead", due_at=1), entry("done", due_at=1))
    await bury(store, "dead")
    await deliver(store, "done")

    assert await store.prune(before=50) == 1
    assert (await store.graveyard()).letters == 1


async def test_a_dead_letter_is_sent_again_before_what_came_after_it(store: Store) -> None:
    await put(store, entry("a", due_at=1), entry("b", due_at=1))
    for id in ("a", "b"):
        await defer(store, id, NOW, refused=True)
        await bury(store, id)
    [a, b] = await store.dead_letters()
    await put(store, entry("c"))

    assert await store.revive(a.number, NOW) == 1
    assert await store.revive(a.number, NOW) == 0
    [found] = await store.due(NOW, ROOM_FOR_ALL)
    assert (found.entry.id, found.entry.due_at, found.refusals) == ("a", NOW, 0)
    assert [letter.number for letter in await store.dead_letters(after=a.number)] == [b.number]
    assert await store.revive(None, NOW) == 1
    assert (await store.graveyard()).letters == 0


async def test_a_dead_letter_can_be_let_go(store: Store) -> None:
    await put(store, *(entry(id, due_at=1) for id in "abc"))
    for id in "abc":
        await bury(store, id)
    [a, _, _] = await store.dead_letters()

    assert await store.dismiss(a.number) == 1
    assert await store.dismiss(None) == 2
    assert await store.graveyard() == Graveyard(letters=0, oldest=None, newest=None)
    assert await due(store) == []
    assert await store.prune(before=50) == 3


async def test_a_newer_entry_takes_the_place_of_a_dead_letter(store: Store) -> None:
    await put(store, entry("old", collapse="card"))
    await bury(store, "old")
    await put(store, entry("new", collapse="card"))

    assert (await store.graveyard()).letters == 0
    assert await due(store) == ["new"]


async def test_dead_letters_are_counted_up_to_a_limit(store: Store) -> None:
    await put(store, *(entry(str(n)) for n in range(5)))
    for n in range(5):
        await bury(store, str(n), at=NOW + n)

    assert await store.graveyard(limit=3) == Graveyard(letters=3, oldest=NOW, newest=NOW + 4)


async def test_the_fates_of_a_destination_are_known(store: Store) -> None:
    await put(store, entry("done"), entry("aside"), entry("waits"), entry("x", ROOM + "!"))
    await deliver(store, "done")
    await defer(store, "aside", NOW, refused=True, aside=True)

    assert await store.fates(ROOM) == {("notice", "acknowledged"), ("notice", "pending")}
    assert await store.fates("matrix:!other") == frozenset()


async def test_prune_forgets_what_is_done_and_old_and_nothing_else(store: Store) -> None:
    await put(store, entry("done", due_at=1), entry("card 1", due_at=2, collapse="card"))
    await put(store, entry("card 2", due_at=3, collapse="card"), entry("new", due_at=100))
    await deliver(store, "done")
    await deliver(store, "new")

    assert await store.prune(before=50) == 2

    assert await store.acknowledged("done") is None
    assert await store.acknowledged("new") is not None
    assert await due(store) == ["card 2"]


async def test_prune_takes_as_many_portions_as_it_needs(store: Store) -> None:
    count = 2_500
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

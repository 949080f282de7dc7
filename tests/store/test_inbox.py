"""The inbox: what has come in is remembered by its key, and acted on once."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from fleetbot.store.interface import Store
from fleetbot.store.records import Arrival, Change, Handled, PutOff
from tests.store.history import History

DELIVERY = Arrival(key="delivery:1", kind="forgejo", at=10, body=b'{"action":1}', meta="issues")
NOW = 1_000


async def test_an_arrival_waits_until_it_is_handled(store: Store, history: History) -> None:
    await store.append(Change(arrivals=(DELIVERY,)))
    assert await store.arrivals_due("forgejo", NOW) == [DELIVERY]

    done = (Handled(key=DELIVERY.key, answer=b"t1"),)
    await store.append(replace(history.created("t1"), handled=done))

    assert await store.arrivals_due("forgejo", NOW) == []
    assert await store.arrival(DELIVERY.key) == replace(DELIVERY, body=None, answer=b"t1")


async def test_the_first_of_two_arrivals_with_one_key_counts(store: Store) -> None:
    await store.append(Change(arrivals=(DELIVERY,)))
    await store.append(Change(arrivals=(replace(DELIVERY, body=b"other", at=11),)))

    assert await store.arrivals_due("forgejo", NOW) == [DELIVERY]


async def test_of_what_comes_at_once_the_first_with_a_key_is_new(store: Store) -> None:
    await store.append(Change(arrivals=(DELIVERY,)))
    first = replace(DELIVERY, key="delivery:2", body=b"first")
    coming = (DELIVERY, first, replace(first, body=b"second"), replace(DELIVERY, key="delivery:3"))

    new = await asyncio.gather(*(store.keep(arrival) for arrival in coming))

    assert new == [False, True, False, True]
    assert await store.arrival(first.key) == first


async def test_a_replay_of_a_handled_arrival_does_not_wake_it(store: Store) -> None:
    await store.append(Change(arrivals=(DELIVERY,), handled=(Handled(key=DELIVERY.key),)))
    await store.append(Change(arrivals=(DELIVERY,)))

    assert await store.arrivals_due("forgejo", NOW) == []


async def test_arrivals_are_due_by_kind_in_the_order_of_their_coming(store: Store) -> None:
    second = replace(DELIVERY, key="delivery:0", at=11)
    other = replace(DELIVERY, key="x", kind="other")
    await store.append(Change(arrivals=(second, DELIVERY, other)))

    assert await store.arrivals_due("forgejo", NOW) == [DELIVERY, second]
    assert await store.arrivals_due("forgejo", NOW, limit=1) == [DELIVERY]


async def test_what_is_put_off_stands_behind_what_came_in_meanwhile(store: Store) -> None:
    second = replace(DELIVERY, key="delivery:2", at=11)
    await store.append(Change(arrivals=(DELIVERY, second)))
    await store.append(Change(put_off=(PutOff(key=DELIVERY.key, due_at=NOW + 1, tries=1),)))
    waits = replace(DELIVERY, due_at=NOW + 1, tries=1)

    assert await store.arrivals_due("forgejo", NOW) == [second]
    assert await store.arrivals_due("forgejo", NOW + 1) == [second, waits]
    assert await store.next_arrival("forgejo") == 0
    await store.append(Change(handled=(Handled(key=second.key),)))
    assert await store.next_arrival("forgejo") == NOW + 1
    assert await store.next_arrival("other") is None


async def test_an_answer_is_kept_with_the_change_that_caused_it(
    store: Store, history: History
) -> None:
    claim = Arrival(key="claim:1", kind="claim", at=1, answer=b'{"run":"r1"}')
    await store.append(replace(history.created("t1"), arrivals=(claim,)))

    assert await store.arrival("claim:1") == claim
    assert await store.arrival("claim:2") is None


async def test_prune_keeps_what_is_not_handled(store: Store) -> None:
    handled = replace(DELIVERY, key="delivery:2", body=None)
    recent = replace(handled, key="delivery:3", at=100)
    await store.append(Change(arrivals=(DELIVERY, handled, recent)))

    assert await store.prune(before=50) == 1

    assert await store.arrival("delivery:2") is None
    assert await store.arrival("delivery:3") == recent
    assert await store.arrivals_due("forgejo", NOW) == [DELIVERY]

"""Who leads on Postgres: one at a time, while its lease is renewed, and the next one soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fleetbot.store.interface import Deposed, StoreUnavailable
from fleetbot.store.lock import DatabaseInUse
from fleetbot.store.migrate import NewerSchema
from fleetbot.store.postgres.address import Address
from fleetbot.store.postgres.leadership import LEADING, Candidate, locked
from fleetbot.store.postgres.seat import PostgresSeat
from tests.store.backend import PostgresBackend
from tests.store.history import History

LEASE = 10.0


class Clock:
    """Seconds, of one machine."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Seats:
    """Candidates for one schema, each with a clock of its own."""

    def __init__(self, backend: PostgresBackend) -> None:
        self.backend = backend
        self.address = Address(backend.url, backend.schema)
        self.made: list[PostgresSeat] = []

    def make(self, name: str, clock: Callable[[], float]) -> PostgresSeat:
        candidate = Candidate(name, f"http://{name}/fleet", place=f"{name}:/var/lib/maubot")
        seat = PostgresSeat(self.backend.url, self.backend.schema, candidate, clock)
        self.made.append(seat)
        return seat

    def cut_off(self) -> None:
        """The leader's session is over, and it does not know: its machine has lost its network."""
        self.backend.tamper(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE application_name = '{LEADING}'"
        )


@pytest.fixture
async def seats(postgres_backend: PostgresBackend) -> AsyncIterator[Seats]:
    seats = Seats(postgres_backend)
    yield seats
    for seat in seats.made:
        await seat.leave()


@pytest.fixture
def here() -> Clock:
    return Clock(1_000.0)


@pytest.fixture
def there() -> Clock:
    return Clock(77.0)


async def leading(seat: PostgresSeat) -> PostgresSeat:
    await seat.take(LEASE)
    await seat.store.load()
    assert seat.leads
    return seat


async def test_the_second_is_told_who_leads_and_since_when(
    seats: Seats, here: Clock, there: Clock
) -> None:
    await leading(seats.make("a", here))
    second = seats.make("b", there)

    with pytest.raises(DatabaseInUse) as refusal:
        await second.take(LEASE)

    assert (refusal.value.name, refusal.value.address) == ("a", "http://a/fleet")
    assert refusal.value.since > 0
    assert not second.leads


def test_who_was_not_told_of_a_lease_yet_is_in_no_hurry(seats: Seats, here: Clock) -> None:
    seat = seats.make("a", here)

    assert min(seat.look_every, seat.renew_every) > 0.5


async def test_who_leaves_is_followed_at_once(seats: Seats, here: Clock, there: Clock) -> None:
    first = await leading(seats.make("a", here))
    await first.leave()
    assert not first.leads

    await leading(seats.make("b", there))


async def test_a_frozen_one_is_deposed_after_a_lease_and_can_write_nothing(
    seats: Seats, here: Clock, there: Clock, history: History
) -> None:
    first, second = await leading(seats.make("a", here)), seats.make("b", there)
    for moment in (0.0, 5.0, LEASE - 0.1):
        there.now = 77.0 + moment
        with pytest.raises(DatabaseInUse):
            await second.take(LEASE)
    assert second.look_every == pytest.approx(0.1), "it looks again when the lease is over"

    here.now += LEASE
    assert not first.leads, "by its own clock, without a word from anybody"
    there.now += 0.2
    await leading(second)

    with pytest.raises(Deposed):
        await first.store.load()
    with pytest.raises(StoreUnavailable):
        await first.store.append(history.created("t1"))
    with pytest.raises(Deposed, match="b leads since"):
        await first.renew()
    assert not first.leads
    await second.store.append(History().created("t1"))


async def test_one_that_renews_is_never_deposed(seats: Seats, here: Clock, there: Clock) -> None:
    first, second = await leading(seats.make("a", here)), seats.make("b", there)
    for _ in range(4):
        with pytest.raises(DatabaseInUse):
            await second.take(LEASE)
        here.now += first.renew_every * 2
        there.now += first.renew_every * 2
        await first.renew()
        assert first.leads


async def test_one_whose_session_has_ended_may_still_believe_to_lead(
    seats: Seats, here: Clock, there: Clock
) -> None:
    first, second = await leading(seats.make("a", here)), seats.make("b", there)
    with pytest.raises(DatabaseInUse):
        await second.take(LEASE)
    here.now, there.now = here.now + LEASE / 2, there.now + LEASE / 2
    seats.cut_off()

    with pytest.raises(DatabaseInUse, match="a at http://a/fleet"):
        await second.take(LEASE)
    assert first.leads

    here.now, there.now = here.now + LEASE / 2, there.now + LEASE / 2
    await leading(second)
    assert not first.leads


async def test_one_that_comes_back_in_time_leads_on(
    seats: Seats, here: Clock, history: History
) -> None:
    first = await leading(seats.make("a", here))
    seats.cut_off()
    with pytest.raises(Exception, match="failed"):
        await first.store.append(history.created("t1"))

    await first.store.load()
    await first.renew()

    assert first.leads
    await first.store.append(History().created("t1"))


async def test_one_that_was_killed_is_followed_at_once_where_it_was(
    seats: Seats, here: Clock, there: Clock
) -> None:
    """No two can run there: a restart does not wait for the lease."""
    await leading(seats.make("a", here))
    seats.cut_off()

    await leading(seats.make("a", there))


async def test_a_session_without_a_lease_is_left_alone(seats: Seats, there: Clock) -> None:
    second = seats.make("b", there)
    migrating = await asyncio.to_thread(locked, seats.address)
    for _ in range(3):
        with pytest.raises(DatabaseInUse):
            await second.take(LEASE)
        there.now += LEASE
    await asyncio.to_thread(migrating.__exit__)
    await leading(second)


async def test_the_lease_that_counts_is_that_of_the_one_that_leads(
    seats: Seats, here: Clock, there: Clock
) -> None:
    first, second = await leading(seats.make("a", here)), seats.make("b", there)
    await first.take(3 * LEASE)  # settings that were changed
    await first.renew()

    for _ in range(3):
        with pytest.raises(DatabaseInUse):
            await second.take(LEASE)
        there.now += LEASE
    here.now += 2.9 * LEASE
    assert first.leads
    here.now += 0.1 * LEASE
    await leading(second)


async def test_an_older_version_refuses_a_newer_schema_and_lets_go(
    seats: Seats, here: Clock, there: Clock
) -> None:
    newer = "('abc', '9999-later', '2026-01-01')"
    seats.backend.tamper(
        f"INSERT INTO _yoyo_migration (migration_hash, migration_id, applied_at_utc) VALUES {newer}"
    )
    try:
        with pytest.raises(NewerSchema, match="newer fleetbot"):
            await seats.make("a", here).take(LEASE)
    finally:
        seats.backend.tamper("DELETE FROM _yoyo_migration WHERE migration_id = '9999-later'")

    await leading(seats.make("b", there))

"""Never two that may speak: whatever is slow, and however different their clocks are."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from fleetbot.domain.leadership import Tenure, Vigil

LEASE = 10


def test_a_lease_counts_from_what_was_begun_not_from_when_it_was_known() -> None:
    tenure = Tenure()
    assert not tenure.holds(0), "nobody leads who has not begun to"

    tenure.renewed(begun=5, lease=LEASE)  # and it was told at 14, say
    assert [tenure.holds(now) for now in (14, 14.9, 15, 400)] == [True, True, False, False]

    tenure.renewed(begun=20, lease=LEASE)
    assert tenure.holds(29)
    tenure.end()
    assert not tenure.holds(20)


def test_a_lease_that_was_made_shorter_is_over_sooner() -> None:
    tenure = Tenure()
    tenure.renewed(0, 100)
    tenure.renewed(1, 2)

    assert not tenure.holds(3)


def test_who_stands_by_waits_for_a_lease_of_its_own_clock_from_each_renewal_it_sees() -> None:
    vigil = Vigil()
    looks = [(0, 1, "a"), (10, 11, "a"), (11, 12, "a")]
    assert [vigil.is_over(seen, LEASE, *at) for *at, seen in looks] == [False, False, True]

    assert not vigil.is_over("b", LEASE, 12, 13)
    assert vigil.left(15) == 8
    assert vigil.left(40) == 0
    assert vigil.is_over("b", LEASE, 23, 24)


def test_who_has_no_lease_is_not_waited_for() -> None:
    assert Vigil().is_over("resigned", 0, 0, 1)


def has_taken_over(looks: list[tuple[int, int, int]], renewals: list[tuple[int, int]]) -> int:
    """When the second is sure; never is far away. Looks are asked, read and answered; of renewals
    the newest that was durable when it looked is read."""
    vigil = Vigil()
    for asked, read, answered in looks:
        seen = max((n for n, (_, durable) in enumerate(renewals) if durable <= read), default=-1)
        if vigil.is_over(seen, LEASE, asked + 1_000, answered + 1_000):  # another clock
            return answered
    return 10**9


def speaks_until(renewals: list[tuple[int, int]], end: int) -> float:
    """Until when the first may speak that can renew until the second takes over."""
    tenure, begun = Tenure(), 0
    for begun, durable in renewals:
        if durable < end:
            tenure.renewed(begun, LEASE)
    moments = (moment / 2 for moment in range(2 * (begun + 3 * LEASE)))
    return max((moment for moment in moments if tenure.holds(moment)), default=-1.0)


Gaps = st.lists(st.tuples(*[st.integers(0, 2 * LEASE)] * 3), min_size=1, max_size=12)


@given(looks=Gaps, renewals=Gaps)
def test_the_first_is_silent_before_the_second_begins(
    looks: list[tuple[int, int, int]], renewals: list[tuple[int, int, int]]
) -> None:
    now, looked = 0, []
    for rest, one, other in looks:
        looked.append((now + rest, now + rest + one, now + rest + one + other))
        now += rest + one + other
    now, renewed = 0, [(0, 0)]
    for rest, takes, _ in renewals:
        renewed.append((now + rest, now + rest + takes))
        now += rest + takes

    at = has_taken_over(looked, renewed)

    assert speaks_until(renewed, at) < at


def test_so_it_is_at_every_moment_of_a_freeze() -> None:
    """All pairs of when the first stops and how the second looks, while it renews every third."""
    for stops, offset, every in product(range(LEASE), range(4), (1, 3, 4)):
        renewals = [(at, at + 1) for at in range(0, stops + 1, 3)]
        looks = [(at, at, at) for at in range(offset, 6 * LEASE, every)]

        at = has_taken_over(looks, renewals)

        assert speaks_until(renewals, at) < at
        assert at <= renewals[-1][1] + LEASE + 2 * every + offset, "nor does it wait for long"

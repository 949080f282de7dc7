"""What is known of a homeserver's limit, against a bucket that has one."""

from __future__ import annotations

import pytest

from fleetbot.chat.speaking.allowance import Allowance


class Bucket:
    """Synapse's: `rate` a second, up to `burst`."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.level, self.now = burst, 0

    def later(self, seconds: float) -> None:
        self.level = min(self.burst, self.level + seconds * self.rate)
        self.now += round(seconds * 1000)

    def takes(self) -> float:
        """Seconds until it would take one; 0 if it has taken it."""
        if self.level < 1 - 1e-9:
            return (1 - self.level) / self.rate
        self.level -= 1
        return 0


class Talker:
    """Sends whenever it may, and leaves `spare` of the burst."""

    def __init__(self, bucket: Bucket, spare: float = 0.5) -> None:
        self.bucket, self.spare = bucket, spare
        self.allowance = Allowance(bucket.now)
        self.sent = self.refused = 0

    def talk(self, seconds: float, every: float = 0.1) -> None:
        for _ in range(round(seconds / every)):
            if self.allowance.wait(self.spare, 0, self.bucket.now) == 0:
                self._try()
            self.bucket.later(every)

    def _try(self) -> None:
        wait = self.bucket.takes()
        if wait:
            self.refused += 1
            self.allowance.refused(wait, self.bucket.now)
        else:
            self.sent += 1
            self.allowance.sent(self.bucket.now)


def test_without_a_limit_nothing_waits() -> None:
    talker = Talker(Bucket(rate=1000, burst=1000))
    talker.talk(60)
    assert talker.sent == 600
    assert talker.allowance.rate is None


def test_synapses_own_limit_is_known_after_the_first_refusal() -> None:
    talker = Talker(Bucket(rate=0.2, burst=10))
    talker.talk(120)
    assert talker.refused == 1
    assert talker.allowance.rate == pytest.approx(0.2, rel=0.1)
    assert talker.bucket.level >= 4  # what is left for a person

    talker.talk(300)
    assert talker.refused == 1
    assert talker.bucket.level >= 4


@pytest.mark.parametrize(("rate", "burst"), [(0.05, 2), (0.1, 20), (1, 10), (5, 100)])
def test_any_other_limit_is_learnt_from_the_refusals(rate: float, burst: float) -> None:
    talker = Talker(Bucket(rate, burst))
    talker.talk(1800)
    talker.sent = talker.refused = 0
    talker.talk(600)

    assert talker.refused <= 2
    assert rate * 600 * 0.4 <= talker.sent <= rate * 600 + burst


def test_a_limit_that_was_lifted_is_found_out() -> None:
    talker = Talker(Bucket(rate=0.2, burst=10))
    talker.talk(120)
    talker.bucket.rate = talker.bucket.burst = 1000
    talker.talk(2 * 3600, every=1)

    talker.sent = 0
    talker.talk(60)
    assert talker.sent > 60


def test_a_limit_that_stays_is_tried_seldom() -> None:
    talker = Talker(Bucket(rate=0.2, burst=10))
    talker.talk(8 * 3600, every=1)
    assert talker.refused <= 12

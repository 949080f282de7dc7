"""How what is tried again waits, and when it ends: one value for all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from fleetbot.domain.model import Policy, Task
from fleetbot.domain.reasons import REASONS, Owner, ReasonCode

_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000
NO_END = 2**62
LONGEST_WAIT_MS = 8 * 24 * _HOUR  # a weekly limit, and a day


class Patience(NamedTuple):
    """Waits double from `base_ms` up to `cap_ms`; it is over after `give_up` tries, or when it has
    lasted `lasts_ms`."""

    base_ms: int
    cap_ms: int
    give_up: int = NO_END
    lasts_ms: int = NO_END

    def wait(self, tries: int, salt: str) -> int:
        """Milliseconds; the jitter (up to a quarter) comes from `salt`, so that it is pure."""
        wait = int(min(self.cap_ms, self.base_ms * 2 ** min(tries, 30)))
        return wait - int(wait * 0.25 * share(salt))

    def is_over(self, tries: int, waited_ms: int = 0) -> bool:
        return tries >= self.give_up or waited_ms >= self.lasts_ms


WITH_DISK = Patience(_SECOND, _MINUTE)  # for ever: without it nothing can be done at all
WITH_DELIVERY = Patience(2 * _SECOND, 5 * _MINUTE, give_up=300)  # a day, of a webhook's
WITH_ANSWER = Patience(_SECOND, 30 * _SECOND, give_up=4)  # to a person, who looks at the room


def share(salt: str) -> float:
    """A number from 0 to 1 that is the same for the same `salt`."""
    digest = hashlib.sha256(salt.encode()).digest()
    return int.from_bytes(digest[:4]) / (2**32 - 1)


def with_task(policy: Policy) -> Patience:
    """What the task owns: each try is an attempt at it."""
    return Patience(policy.retry_base_ms, policy.retry_cap_ms, policy.max_attempts)


def with_check(policy: Policy, *, soon: bool) -> Patience:
    """A check that could not be made, until its receipt's deadline; `soon`: Forgejo is about to
    show what it needs."""
    base = policy.recheck_soon_ms if soon else policy.recheck_base_ms
    return Patience(base, policy.recheck_cap_ms)


def with_outbox(days: float) -> Patience:
    """An effect that could not be delivered: only time ends it, and that is told."""
    return Patience(2 * _SECOND, 5 * _MINUTE, lasts_ms=int(days * 24 * _HOUR))


def with_fault(reason: ReasonCode, policy: Policy) -> Patience:
    """What the task does not own: how its agent pauses, and how often the task is excused.

    Settings may make it shorter, for all of it: a fleet that retries quickly does so here too.
    """
    its = _OF_REASON.get(reason) or _OF_OWNER[REASONS[reason].owner]
    return its._replace(
        base_ms=min(its.base_ms, policy.retry_base_ms), cap_ms=min(its.cap_ms, policy.retry_cap_ms)
    )


def with_owner(owner: Owner) -> Patience | None:
    """The bounds of all reasons of the owner; None for the task, whose are settings."""
    return _OF_OWNER.get(owner)


def times_excused(task: Task, reason: ReasonCode) -> int:
    """How often the task was let off for `reason` since a person last asked for it."""
    return next((excuse.times for excuse in task.excused if excuse.reason is reason), 0)


_OF_OWNER: Mapping[Owner, Patience] = {
    Owner.AGENT: Patience(30 * _SECOND, _HOUR, give_up=10),
    Owner.ACCOUNT: Patience(30 * _SECOND, _HOUR, give_up=10),
    Owner.PROVIDER: Patience(30 * _SECOND, 15 * _MINUTE, give_up=100),  # a day
    Owner.FORGE: Patience(10 * _SECOND, 2 * _MINUTE, give_up=720),  # a day
    Owner.RUNNER: Patience(30 * _SECOND, _HOUR, give_up=3),
}
_OF_REASON: Mapping[ReasonCode, Patience] = {
    # A task may be what takes its agents down.
    ReasonCode.AGENT_LOST: Patience(30 * _SECOND, _HOUR, give_up=3),
    ReasonCode.LEASE_EXPIRED: Patience(30 * _SECOND, _HOUR, give_up=3),
    ReasonCode.RUNNER_RESTARTED: Patience(30 * _SECOND, _HOUR, give_up=3),
    ReasonCode.BILLING: Patience(30 * _SECOND, _HOUR, give_up=200),  # a week
}

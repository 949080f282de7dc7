"""What a live run's log and time say of it: signs that it does not get on. They end nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from fleetbot.domain.model import Policy, Run
from fleetbot.domain.waits import WaitReason

LOOPS = 8  # so often the same call, with no other between
STALLED_MS = 8 * 60_000
_SAMPLES = 20  # fewer runs say nothing of what is usual
_QUICK_MS = 10 * 60_000
_TOOL = "tool"


class Sign(NamedTuple):
    """`since`: when it began, epoch ms."""

    reason: WaitReason
    since: int


class Activity:
    """What a run's log has told, as far as it matters here; in memory, and of one size.

    `call` is the latest tool call, made `times` times in a row since `call_since`; `in_flight`: no
    word has come since. `upto`: so many lines of the log were heard.
    """

    __slots__ = ("call", "call_since", "heard_at", "in_flight", "times", "upto")

    def __init__(self, heard_at: int) -> None:
        self.heard_at = heard_at
        self.call = self.times = self.call_since = self.upto = 0
        self.in_flight = False

    def hear(self, lines: Collection[tuple[str, str]], upto: int, now: int) -> None:
        """Lines as (kind, text) that end at line `upto`; those that were sent again say nothing."""
        new = list(lines)[max(0, len(lines) - max(0, upto - self.upto)) :]
        self.upto = max(self.upto, upto)
        for kind, text in new:
            self.heard_at, self.in_flight = now, kind == _TOOL
            if self.in_flight:
                self._call(hash(text), now)

    def _call(self, call: int, now: int) -> None:
        again = call == self.call
        self.times = self.times + 1 if again else 1
        self.call, self.call_since = call, self.call_since if again else now


def signs(
    run: Run,
    activity: Activity | None,
    took: Sequence[int],
    moved_at: int,
    now: int,
    policy: Policy,
) -> tuple[Sign, ...]:
    """Of a run that is at work. `took` are the milliseconds that others took, `moved_at` is when
    something last happened to its task."""
    found = []
    if activity and activity.times >= LOOPS:
        found.append(Sign(WaitReason.LOOPING, activity.call_since))
    quiet = max(moved_at, activity.heard_at if activity else 0)
    if now - quiet >= STALLED_MS and not (activity and activity.in_flight):
        found.append(Sign(WaitReason.STALLED, quiet))
    late = run.started_at + run.checked_ms + usual(took, policy)
    if now >= late:
        found.append(Sign(WaitReason.SLOW, late))
    return tuple(found)


def usual(took: Sequence[int], policy: Policy) -> int:
    """Milliseconds within which most runs are done: twice what nineteen of twenty took, and half of
    what a run may take at the most."""
    half = policy.run_timeout_ms // 2
    if len(took) < _SAMPLES:
        return half
    return min(half, max(_QUICK_MS, 2 * sorted(took)[len(took) * 19 // 20]))

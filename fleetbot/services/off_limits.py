"""The paths that may not be changed in a task's run, which its round may add to."""

from __future__ import annotations

from collections.abc import Collection

from fleetbot.domain.forbidden import CI_CONFIGURATION, not_in
from fleetbot.domain.model import Task, Verdict
from fleetbot.domain.pulls import RoundKind
from fleetbot.services.fleet import Fleet


async def off_limits(fleet: Fleet, task: Task, always: Collection[str]) -> tuple[str, ...]:
    """`always`, and for who mends CI its configuration, but for what was verified with it changed:
    there the task is about that. Raises StoreUnavailable."""
    if task.round is None or RoundKind.CI not in task.round.kinds:
        return tuple(always)
    filed = await fleet.store.receipts_of(task.id)
    verified = (one.receipt.files for one in filed if one.verdict is Verdict.VERIFIED)
    changed = {path for files in verified for path in files}
    return (*always, *not_in(changed, CI_CONFIGURATION))

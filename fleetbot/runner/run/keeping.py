"""What a run leaves that ends without being verified: kept on the forge for the next attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import RunFailed, unexpected
from fleetbot.runner.git.worktree import Worktree
from fleetbot.runner.run.setup import Setup
from fleetbot.runner.run.wording import subject_of
from fleetbot.wire import SUPERSEDED, Assignment

_SECONDS = 60.0
_FENCED = frozenset(
    {
        SUPERSEDED,
        ReasonCode.AGENT_LOST,
        ReasonCode.LEASE_EXPIRED,
        ReasonCode.NOT_ACKNOWLEDGED,
        ReasonCode.AGENT_DEREGISTERED,
    }
)


def is_fenced(reason: str | None) -> bool:
    """Whether a run that was taken away for this may be another's by now, who speaks for the task.

    It then writes nothing to the forge any more, not even to keep its work.
    """
    return reason in _FENCED


async def keep(
    tree: Worktree, setup: Setup, order: Assignment, env: Mapping[str, str]
) -> Sequence[str]:
    """Keep what there is, and say where that is now. Raises RunFailed."""
    try:
        kept = await tree.keep(
            subject_of(order.title, order.issue),
            secrets=setup.uncommittable(env),
            forbidden=order.forbidden_paths,
        )
    except RunFailed:
        raise
    except Exception as problem:  # whatever it is, the run's own end is to be told
        raise unexpected(problem) from problem
    if kept is None:
        return ()
    return (*([f"kept as {kept.ref}"] if kept.ref else []), *kept.notes)


async def forget(tree: Worktree, say: Callable[[str], None]) -> None:
    """The work was verified: what earlier attempts kept is not needed any more."""
    try:
        async with asyncio.timeout(_SECONDS):
            await tree.forget_kept()
    except (RunFailed, TimeoutError) as problem:
        say(f"what earlier attempts kept is still on the forge: {problem}")

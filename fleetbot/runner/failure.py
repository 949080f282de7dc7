"""Why a run ends without a receipt."""

from __future__ import annotations

import errno
import traceback
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_PACKAGE = Path(__file__).parents[1]


class RunFailed(Exception):
    """The run cannot go on: a reason code, and a line that says what happened and what to do.

    `until` is when a limit resets, in epoch milliseconds.
    """

    def __init__(self, reason: ReasonCode, detail: str, *, until: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.until = until


class NotFound(RunFailed):
    """The forge has no such thing under the name that it was asked for; it may have another now."""


def first_error(problem: BaseException) -> BaseException:
    """The first error itself of a group, which may hold groups."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem


def unexpected(problem: BaseException) -> RunFailed:
    """An exception that nobody expected, by its kind and place: its words may hold secrets."""
    if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
        return RunFailed(
            ReasonCode.DISK_FULL, "the disk is full; free some of it, or move runner.root"
        )
    kind = type(problem).__name__
    if isinstance(problem, OSError) and problem.strerror:
        kind = f"{kind} ({problem.strerror})"
    return RunFailed(ReasonCode.RUNNER_FAILED, f"{kind} in {_place(problem)}; this is a bug")


def _place(problem: BaseException) -> str:
    """The last line of ours that it went through."""
    frames = traceback.extract_tb(problem.__traceback__)
    ours = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents] or frames
    if not ours:
        return "an unknown place"
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno} ({ours[-1].name})"

"""Why a run ends without a receipt."""

from __future__ import annotations

from fleetbot.domain.reasons import ReasonCode


class RunFailed(Exception):
    """The run cannot go on: a reason code, and a line that says what happened and what to do.

    `until` is when a limit resets, in epoch milliseconds.
    """

    def __init__(self, reason: ReasonCode, detail: str, *, until: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.until = until


def first_error(problem: BaseException) -> BaseException:
    """The first error itself of a group, which may hold groups."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem

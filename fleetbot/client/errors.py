"""Why a call came to nothing, and what helps."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbot.wire import Problem

REMEDIES: Mapping[str, str] = {
    "malformed": "mend the request: it is not what /openapi.json describes",
    "unauthorized": "give a token that fleetbot knows; one that was replaced is known no longer",
    "forbidden": "use a token that may do this: of an operator, or of the agent that it is about",
    "not_found": "look at what there is: ids and names are as fleetbot has told them",
    "method_not_allowed": "use the method that /openapi.json describes",
    "too_slow": "send the request faster, or a smaller one",
    "conflict": "look at how things stand now, then decide anew",
    "superseded": "let go of the run: what has replaced it is named",
    "log_gap": "send the log again from the line that is named",
    "too_large": "send less at once",
    "unknown_encoding": "send it plain, or packed with gzip",
    "invalid": "mend the part of the request that is named",
    "internal": "look into fleetbot's log: this is a bug, or its machine is not well",
    "forge_refused": "look at what Forgejo said, and at the rights of fleetbot's account there",
    "unavailable": "ask again later",
    "forge_unavailable": "ask again later: Forgejo does not answer fleetbot",
    "degraded": "see which of its checks is not ok",
    "busy": "ask again later, and less often",
    "not_configured": "save a valid configuration in maubot's management interface",
    "standby": "ask the one that leads",
}
"""By the problem's code."""


class CallError(Exception):
    """A call that the orchestrator did not carry out."""


class Unreachable(CallError):
    """No answer of fleetbot's: network, restart, proxy. Asking again later helps."""


class ProblemError(CallError):
    """fleetbot's own word; `code` names it for programs, `remedy` says what helps."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def remedy(self) -> str:
        return REMEDIES.get(self.code, "")


class Unauthorized(ProblemError):
    """The token is not (or no longer) known."""


class Superseded(ProblemError):
    """The run is no longer ours; `replaced_by` says what has taken its place."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.replaced_by = problem.replaced_by or ""


class Refused(ProblemError):
    """The orchestrator understood and says no; asking again does not help."""

    def __str__(self) -> str:
        field = f"{self.problem.field}: " if self.problem.field else ""
        return f"{field}{super().__str__()} ({self.problem.status})"


class Unable(Unreachable, ProblemError):
    """It cannot do so now, or stands by; asking again later helps."""

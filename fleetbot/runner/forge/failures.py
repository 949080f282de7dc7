"""What a refusal of the forge means for a run: its reason, and what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.errors import ForgeError, ForgeNotFound, ForgeUnavailable, Unauthorized
from fleetbot.runner.failure import NotFound, RunFailed

_ARCHIVED = 423
_ADVICE = {
    401: "it does not know the runner's token, which was revoked or has expired: give it a new one",
    403: "the runner's account or its token may not do this: it needs write access to the "
    "repository, and the scopes write:repository and write:issue",
    404: "it does not exist, or the runner's account cannot see it: make it a collaborator",
    _ARCHIVED: "the repository is archived: take it out of the archive",
}


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """Errors of the forge as a reason why the run fails; `doing` names the attempt."""
    try:
        yield
    except ForgeError as problem:
        raise failure(problem, doing) from None


def failure(problem: ForgeError, doing: str) -> RunFailed:
    """By the status alone: what Forgejo says goes with it, and decides nothing."""
    answered = f"answered {problem.status}" if problem.status else "did not answer"
    parts = (f"the forge {answered}", problem.message, _ADVICE.get(problem.status, ""))
    detail = f"{doing}: {'; '.join(filter(None, parts))}"
    if isinstance(problem, ForgeUnavailable):
        return RunFailed(ReasonCode.FORGE_UNAVAILABLE, detail)
    if isinstance(problem, Unauthorized):
        return RunFailed(ReasonCode.FORGE_LOGIN_FAILED, detail)
    if problem.status == _ARCHIVED:
        return RunFailed(ReasonCode.REPO_ARCHIVED, detail)
    if isinstance(problem, ForgeNotFound):
        return NotFound(ReasonCode.FORGE_REFUSED, detail)
    return RunFailed(ReasonCode.FORGE_REFUSED, detail)

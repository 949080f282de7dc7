"""What became of a git command that failed: told by its structure, never by the words of others."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.failure import NotFound, RunFailed
from fleetbot.runner.git.command import GitFailed

_NO_SPACE = re.compile(re.escape(os.strerror(28)))
_LED_ON = "the repository or the forge has moved; use its new name or address"
_MISSING = "check that the repository exists and that the runner's account can see it"
_FORBIDDEN = (
    "check that the runner's account may write to the repository, that its token has the scope "
    "write:repository, and that the repository is not archived"
)
_LEAST_BYTES = 16 * 2**20
_REJECTED = re.compile(r"^!\t[^\t]*\t(.*)$", re.MULTILINE)


def forge_failure(
    problem: GitFailed, doing: str, unknown: ReasonCode = ReasonCode.FORGE_UNAVAILABLE
) -> RunFailed:
    """Why a git command that talked to the forge failed; `unknown` where no answer tells."""
    said = f"{doing}: {problem.text}"
    status = problem.http_status
    if _NO_SPACE.search(problem.text):
        return RunFailed(ReasonCode.DISK_FULL, f"{said}; free some of this machine's disk")
    if status is None:
        return RunFailed(unknown, said)
    if status == 401:
        return RunFailed(
            ReasonCode.FORGE_LOGIN_FAILED, f"{said}; give the runner a token that is valid"
        )
    if status >= 500 or status in (408, 425, 429):
        return RunFailed(ReasonCode.FORGE_UNAVAILABLE, said)
    if status == 404:
        return NotFound(ReasonCode.FORGE_REFUSED, f"{said}; {_MISSING}")
    if 300 <= status < 400:
        return NotFound(ReasonCode.FORGE_REFUSED, f"{said}; {_LED_ON}")
    return RunFailed(ReasonCode.FORGE_REFUSED, f"{said}; {_FORBIDDEN}")


def local_failure(problem: Exception, doing: str, where: Path) -> RunFailed:
    """Why something failed that has nothing to do with the forge."""
    full = isinstance(problem, OSError) and problem.errno in (28, 122)
    text = problem.text if isinstance(problem, GitFailed) else str(problem)
    if full or _NO_SPACE.search(text) or _is_full(where):
        return RunFailed(ReasonCode.DISK_FULL, f"{doing}: {text}; free some of this machine's disk")
    return RunFailed(ReasonCode.WORKSPACE_FAILED, f"{doing}: {text}")


def _is_full(where: Path) -> bool:
    try:
        return shutil.disk_usage(where).free < _LEAST_BYTES
    except OSError:
        return False


def rejection(problem: GitFailed) -> str:
    """What `push --porcelain` says of a ref that was not taken; empty if it came to none."""
    return "; ".join(_REJECTED.findall(problem.stdout))

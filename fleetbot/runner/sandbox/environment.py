"""The environment of a child: built from nothing, marked with its run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from fleetbot.runner.sandbox import folders

MARKER = "FLEETBOT_RUN"
"""The variable that holds the run's id."""


class EnvironmentRefused(ValueError):
    """A variable that must not reach an agent program was asked for."""

    def __init__(self, name: str) -> None:
        self.detail = f"{name} would hand one of the runner's own secrets to the agent"
        self.remedy = "remove it from the agent's env settings"
        super().__init__(f"environment: {self.detail}; {self.remedy}")


def build_env(
    *,
    run: str,
    home: Path,
    passed: Collection[str] = (),
    extra: Mapping[str, str] | None = None,
    source: Mapping[str, str] = os.environ,
    secrets: Collection[str] = (),
) -> dict[str, str]:
    """Build a child's whole environment from nothing.

    `passed` names variables taken over from `source`, `extra` adds more; `home` becomes HOME and
    holds TMPDIR, the run's own (created; see `remove_temporary`). Raises EnvironmentRefused if a
    value contains one of the runner's own `secrets` (the forge token, the agent token).
    """
    tmp = folders.make(home, "tmp", run)
    env = {
        "PATH": source.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "GIT_TERMINAL_PROMPT": "0",
        "CI": "true",
    }
    env.update({name: source[name] for name in passed if name in source})
    env.update(extra or {})
    env[MARKER] = run
    for name, value in env.items():
        if any(secret and secret in value for secret in secrets):
            raise EnvironmentRefused(name)
    return env


async def remove_temporary(env: Mapping[str, str]) -> None:
    """Remove the TMPDIR that `build_env` made for a run; best effort, no link is followed."""
    await asyncio.to_thread(folders.remove, Path(env["HOME"]), "tmp", env[MARKER])

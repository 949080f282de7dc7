"""The hooks of `[workspace.hooks]`: commands of the person who runs the runner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import Hook, HooksConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.git.slot import Slot
from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable

Wrap = Callable[[Sequence[str], Path], Awaitable[Sequence[str]]]
"""The command that runs a command inside the agent's sandbox, with this HOME to write."""
_OUTPUT_LIMIT = 2000


class Hooks:
    """Runs hooks with a HOME of the task's own, in which no agent can have left settings.

    A hook may run what a repository says (`npm ci`): what that leaves there is for the hooks of
    the same task only.
    """

    def __init__(self, config: HooksConfig, quota: Quota | None = None) -> None:
        self._config = config
        self._quota = quota

    def has(self, name: str) -> bool:
        return getattr(self._config, name) is not None

    async def run(
        self, name: str, slot: Slot, env: Mapping[str, str], wrap: Wrap | None = None
    ) -> None:
        """Run a hook in the worktree, if it is configured. Raises RunFailed(hook_failed)."""
        hook: Hook | None = getattr(self._config, name)
        if hook is None:
            return
        try:
            home = await asyncio.to_thread(slot.hooks_home, sandboxed=wrap is not None)
            argv: Sequence[str] = ["/bin/sh", "-c", hook.run]
            if wrap is not None:
                argv = await wrap(argv, home)
            own = _environment(env, home)
            seconds, quota = hook.timeout_seconds, self._quota
            done = await complete(argv, cwd=slot.worktree, env=own, timeout=seconds, quota=quota)
        except SandboxUnavailable as problem:
            raise RunFailed(ReasonCode.SANDBOX_UNAVAILABLE, f"hook {name}: {problem}") from None
        except TimeoutError:
            said = f"took longer than {hook.timeout_seconds:g} s"
            raise RunFailed(ReasonCode.HOOK_FAILED, f"hook {name}: {said}") from None
        except OSError as problem:
            raise RunFailed(ReasonCode.HOOK_FAILED, f"hook {name}: {problem}") from None
        if done.status != 0:
            said = (done.stderr + done.stdout).strip()[-_OUTPUT_LIMIT:]
            raise RunFailed(
                ReasonCode.HOOK_FAILED, f"hook {name}: exit status {done.status}: {said}"
            )


def _environment(env: Mapping[str, str], home: Path) -> dict[str, str]:
    """The run's, without what leads into the agent's HOME."""
    agents = env.get("HOME", "")
    kept = {
        name: value
        for name, value in env.items()
        if name == "PATH" or not agents or not value.startswith(agents)
    }
    return kept | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }

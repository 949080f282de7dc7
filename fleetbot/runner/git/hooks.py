"""The hooks of `[workspace.hooks]`: commands of the person who runs the runner."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from fleetbot.domain.reasons import ReasonCode
from fleetbot.runner.config import Hook, HooksConfig
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.sandbox.cgroup import Quota
from fleetbot.runner.sandbox.complete import complete
from fleetbot.runner.sandbox.unavailable import SandboxUnavailable

Wrap = Callable[[Sequence[str], Path], Awaitable[Sequence[str]]]
"""The command that runs a command inside the agent's sandbox, with this HOME to write."""
_OUTPUT_LIMIT = 2000


class Hooks:
    """Runs hooks with a HOME of their own, in which no agent can have left settings.

    What runs inside a sandbox has another HOME than what runs outside.
    """

    def __init__(self, config: HooksConfig, homes: Path, quota: Quota | None = None) -> None:
        self._config = config
        self._homes = homes
        self._quota = quota

    def has(self, name: str) -> bool:
        return getattr(self._config, name) is not None

    async def run(
        self, name: str, path: Path, env: Mapping[str, str], wrap: Wrap | None = None
    ) -> None:
        """Run a hook, if it is configured. Raises RunFailed(hook_failed)."""
        hook: Hook | None = getattr(self._config, name)
        if hook is None:
            return
        try:
            home = self._home(sandboxed=wrap is not None)
            argv: Sequence[str] = ["/bin/sh", "-c", hook.run]
            if wrap is not None:
                argv = await wrap(argv, home)
            own = _environment(env, home)
            seconds, quota = hook.timeout_seconds, self._quota
            done = await complete(argv, cwd=path, env=own, timeout=seconds, quota=quota)
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

    def _home(self, *, sandboxed: bool) -> Path:
        home = self._homes / ("sandboxed" if sandboxed else "plain")
        (home / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        return home


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

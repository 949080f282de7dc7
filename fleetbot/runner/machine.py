"""The machine that the runner is on, as the orchestrator is told of it."""

from __future__ import annotations

import os
import platform
import re
import shutil

from fleetbot import __version__
from fleetbot.domain.machine import MachineFacts
from fleetbot.runner.config import AgentConfig, Config

_VERSION = re.compile(r"\d+(\.\d+)+")


def look(config: Config, agent: AgentConfig, git: str) -> MachineFacts:
    """What is so now; `git` is what git has said of its version. Costs one call of the system."""
    version = _VERSION.search(git)
    return MachineFacts(
        fleetbot=__version__,
        python=platform.python_version(),
        git=version[0] if version else "",
        system=f"{platform.system()} {platform.release()}"[:200],
        sandbox=agent.sandbox,
        is_root=os.geteuid() == 0,
        disk_free=_free(config),
        least_free=int(config.workspace.min_free_gb * 10**9),
    )


def _free(config: Config) -> int | None:
    try:
        return shutil.disk_usage(config.root.path).free
    except OSError:
        return None

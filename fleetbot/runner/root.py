"""What the runner keeps on its machine, and where: the one place that knows the layout.

<root>/lock                          held by the one runner that uses this root
<root>/tokens/<agent>                the agent's own token, 0600
<root>/spool/<run>/                  what a run still owes the orchestrator
<root>/sessions/<agent>/             what an agent remembers of a task between attempts
<root>/homes/<agent>/                HOME of the agent's program, and in tmp/ its runs' TMPDIRs
<root>/programs/                     what agents are offered to start: `fleetbot reply`
<root>/repositories/<owner>/<name>/  what the forge has, cached; in tasks/ the runner's own
                                     repository (desk) of each task; in id which one it is
<root>/workspaces/<owner>/<name>/    the tasks' worktrees, each with the repository of its agent

A repository's folders are called as it was when it came here (see `git/repositories.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Root:
    """The folders of one runner; `path` is absolute."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def repositories(self) -> Path:
        return self.path / "repositories"

    @property
    def workspaces(self) -> Path:
        return self.path / "workspaces"

    @property
    def programs(self) -> Path:
        return self.path / "programs"

    @property
    def homes(self) -> Path:
        return self.path / "homes"

    def token(self, agent: str) -> Path:
        return self.path / "tokens" / agent

    def sessions(self, agent: str) -> Path:
        return self.path / "sessions" / agent

    def home(self, agent: str) -> Path:
        return self.homes / agent

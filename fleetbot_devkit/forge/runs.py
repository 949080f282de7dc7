"""Runs of workflows, as the development forge remembers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from fleetbot_devkit.forge.accounts import Account

ENDED = frozenset({"success", "failure", "cancelled", "skipped"})


@dataclass
class Job:
    """Of a run; ``log`` is None where it has none, or not any more."""

    id: int
    name: str
    status: str
    log: str | None = None
    attempt: int = 1


@dataclass
class Run:
    """A workflow that ran for a commit."""

    id: int
    number: int
    workflow: str
    event: str
    sha: str
    ref: str
    status: str
    title: str
    doer: Account
    created: datetime
    jobs: list[Job] = field(default_factory=list)

    def context(self, job: Job) -> str:
        """What the commit's status is called."""
        return f"{self.workflow} / {job.name} ({self.event})"

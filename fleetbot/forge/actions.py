"""Runs of Forgejo's own CI. Source: ``modules/structs/action.go``."""

from __future__ import annotations

from datetime import datetime

from fleetbot.forge.models import Object, Repository, User


class ActionRun(Object, frozen=True):
    """A workflow file that ran for a commit. ``status``: unknown, waiting, running, success,
    failure, cancelled, skipped or blocked. ``index_in_repo`` is the number people see.

    ``need_approval``: that of a fork waits for a person, for ever.
    """

    id: int
    title: str = ""
    workflow_id: str = ""
    index_in_repo: int = 0
    status: str = ""
    event: str = ""
    commit_sha: str = ""
    prettyref: str = ""
    need_approval: bool = False
    html_url: str = ""
    trigger_user: User | None = None
    repository: Repository | None = None
    started: datetime | None = None
    stopped: datetime | None = None


class ActionJob(Object, frozen=True):
    """One job of a run; a new ``attempt`` of it has the same id."""

    id: int
    run_id: int = 0
    name: str = ""
    status: str = ""
    attempt: int = 0

"""Rows of some repositories only: the condition, for a query that knows `tasks`."""

from __future__ import annotations

from collections.abc import Collection

from fleetbot.domain.model import Repo
from fleetbot.store.snapshot import marks

Repos = Collection[Repo] | None  # None: of all


def of_repos(repos: Collection[Repo]) -> tuple[str, list[object]]:
    """By id, or by any of their names where a task has no id yet; of no repositories, nothing."""
    ids = [repo.id for repo in repos if repo.id]
    names = [name for repo in repos for name in repo.names]
    condition = f"""(
        tasks.repo_id IN ({marks(ids)})
        OR tasks.repo_id = 0 AND tasks.repo COLLATE NOCASE IN ({marks(names)})
    )"""
    return condition, [*ids, *names]

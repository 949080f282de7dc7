"""Rows of some repositories only: the condition, for a query that knows `tasks`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from fleetbot.domain.model import Repo

_json = msgspec.json.Encoder()

Repos = Collection[Repo] | None  # None: of all


def of_repos(repos: Collection[Repo]) -> tuple[str, list[object]]:
    """By id, or by any of their names where a task has no id yet; of no repositories, nothing."""
    ids = [repo.id for repo in repos if repo.id]
    names = [name for repo in repos for name in repo.names]
    condition = f"""(
        tasks.repo_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
        OR tasks.repo_id = 0 AND {named("tasks.repo")}
    )"""
    return condition, [as_list(ids), as_list(names)]


def named(column: str) -> str:
    """The condition for its being one of a list of names, in whatever case."""
    return f"lower({column}) IN (SELECT lower(value) FROM json_each(?))"


def as_list(values: Iterable[object]) -> str:
    """A list as a value to fill in: as JSON, for `json_each(?)`."""
    return _json.encode(list(values)).decode()

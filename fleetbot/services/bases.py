"""The branch that work on an issue starts from, as Forgejo shows it now."""

from __future__ import annotations

from typing import NamedTuple

from fleetbot.domain.model import Repo
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.models import Issue

_MAX_NAME = 100
_WAY_OUT = "Name a branch there (the issue's ref), or none for the default branch."


class Base(NamedTuple):
    """`problem`: why nobody can start from it, in words for people; "" where one can."""

    branch: str
    problem: str = ""


async def base_of(client: ForgeClient, repo: Repo, issue: Issue) -> Base:
    """The branch that the issue names, or the repository's default. Raises the client's errors."""
    if not issue.ref:
        return await _default(client, repo)
    branch = issue.ref.removeprefix("refs/heads/")
    shown = f"`{branch.removeprefix('refs/tags/')[:_MAX_NAME]}`"
    if branch.startswith("refs/"):
        return Base(branch, f"The issue names {shown}, which is a tag and not a branch. {_WAY_OUT}")
    if await client.branch(repo.name, branch) is None:
        await _must_be_shown(client, repo)
        return Base(
            branch,
            f"The issue names {shown}, and {repo.name} has no such branch: it may be gone,"
            f" or be a tag or a commit. {_WAY_OUT}",
        )
    return Base(branch)


async def _default(client: ForgeClient, repo: Repo) -> Base:
    """An empty repository has the name of a branch only."""
    branch = repo.default_branch
    if await client.branch(repo.name, branch) is not None:
        return Base(branch)
    await _must_be_shown(client, repo)
    return Base(
        branch,
        f"{repo.name} has no branch `{branch[:_MAX_NAME]}`, which is its default: push a first"
        " commit there, or make another the default.",
    )


async def _must_be_shown(client: ForgeClient, repo: Repo) -> None:
    """Raises where it is the repository that is not shown."""
    await client.repo_by_id(repo.id)

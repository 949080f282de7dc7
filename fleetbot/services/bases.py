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
        await client.repo_by_id(repo.id)  # raises where it is the repository that is not shown
        return Base(
            branch,
            f"The issue names {shown}, and {repo.name} has no such branch: it may be gone,"
            f" or be a tag or a commit. {_WAY_OUT}",
        )
    return Base(branch)


async def _default(client: ForgeClient, repo: Repo) -> Base:
    """An empty repository has the name of a branch only; that may have changed a moment ago."""
    if await client.branch(repo.name, repo.default_branch) is not None:
        return Base(repo.default_branch)
    shown = await client.repo_by_id(repo.id)  # raises where it is the repository that is not shown
    branch = shown.default_branch
    if branch != repo.default_branch and await client.branch(shown.full_name, branch) is not None:
        return Base(branch)
    return Base(
        branch,
        f"{shown.full_name} has no branch `{branch[:_MAX_NAME]}`, which is its default: push a"
        " first commit there, or make another the default.",
    )

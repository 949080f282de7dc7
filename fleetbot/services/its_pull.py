"""A pull request of a task's own repository: never that of another which has taken the name."""

from __future__ import annotations

from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeNotFound, UnexpectedAnswer
from fleetbot.forge.models import PullRequest


class OfAnother(UnexpectedAnswer):
    """What bears the name by now is another repository: reconciliation finds out what its own is
    called."""

    def __init__(self, repo: str) -> None:
        super().__init__(200, "GET", repo, "it is another repository by now")


async def its_pull(client: ForgeClient, repo: str, repo_id: int, number: int) -> PullRequest | None:
    """None only where Forgejo shows the repository's pull requests, and no such one among them:
    what the token cannot see, and what is switched off, is a 404 as well. Raises the client's
    errors, and `OfAnother`. `repo_id` is 0 where only the name is known."""
    try:
        pull = await client.pull(repo, number)
    except ForgeNotFound:
        _must_be(repo, repo_id, (await client.repo(repo)).id)
        async for _ in client.iter_pulls(repo):
            break
        return None
    _must_be(repo, repo_id, pull.base.repo_id)
    return pull


def _must_be(repo: str, repo_id: int, seen: int) -> None:
    if repo_id not in (0, seen):
        raise OfAnother(repo)

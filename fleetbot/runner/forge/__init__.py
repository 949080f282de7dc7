"""What a run asks of the forge: fleetbot's client of it, with failures that end or delay a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import aiohttp

from fleetbot.domain.reasons import ReasonCode
from fleetbot.forge.client import ForgeClient
from fleetbot.forge.errors import ForgeForbidden, ForgeNotFound
from fleetbot.forge.exposure import exposed, remedy
from fleetbot.forge.issue_calls import is_marked
from fleetbot.forge.models import Comment, Issue, PullRequest, Repository
from fleetbot.runner.failure import RunFailed
from fleetbot.runner.forge.failures import told
from fleetbot.runner.forge.people import Trust, trust
from fleetbot.runner.forge.pulls import Pulls
from fleetbot.runner.forge.refs import Refs

__all__ = ["Comment", "Forge", "Issue", "PullRequest", "Trust"]

_SECONDS = 20.0
_AT_ONCE = 16
_LONGEST_WAIT = 30.0  # seconds; who asks to be left alone for longer is away


class Forge:
    """The runner's account on the forge. Methods raise RunFailed.

    `token` is asked for at every call: it may have been replaced. `trusted`: logins whose words
    agents may follow. `delays`: seconds to wait before each further try of a call that got no
    answer.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        token: Callable[[], str],
        *,
        trusted: Sequence[str] = (),
        delays: Sequence[float] = (1, 3, 10),
    ) -> None:
        self.url = url
        self._client = ForgeClient(
            url,
            token,
            session=http,
            timeout=_SECONDS,
            concurrency=_AT_ONCE,
            delays=delays,
            longest_wait=_LONGEST_WAIT,
        )
        self._trusted = trusted
        self.pulls = Pulls(self._client)
        self.refs = Refs(self._client)

    async def login(self) -> str:
        """Whose token it is; empty where the token may not ask (it is limited to repositories)."""
        with told("asking who the token belongs to"):
            try:
                return (await self._client.current_user()).login
            except ForgeForbidden:
                return ""

    async def check_scopes(self, owner: str, absent: str) -> None:
        """Prove that the token may write, by asking for a change of a repository that is not there.

        Forgejo looks at a token's scopes before it looks for the repository: 404 is a yes.
        """
        client, repo = self._client, f"{owner}/{absent}"
        not_there = contextlib.suppress(ForgeNotFound)
        with told("trying the scope write:repository"), not_there:
            await client.create_pull(repo, head="", base="", title="")
        with told("trying the scope write:issue"), not_there:
            await client.create_issue(repo, "")

    async def repository(self, repo: str, repo_id: int = 0) -> Repository:
        """By its id, where that is known, under the name that it has now; if it can be pushed to.

        What takes over the name of a repository that was renamed is another.
        """
        with told(f"looking for {repo}"):
            client = self._client
            found = await (client.repo_by_id(repo_id) if repo_id else client.repo(repo))
        if found.archived:
            raise RunFailed(
                ReasonCode.REPO_ARCHIVED,
                f"nothing can be pushed to {found.full_name}; take it out of the archive",
            )
        if found.permissions is not None and not found.permissions.push:
            raise RunFailed(
                ReasonCode.FORGE_REFUSED,
                f"the runner's account may read {found.full_name} but not push to it; make it a "
                "collaborator with write access, then retry",
            )
        return found

    async def exposure(self, repo_id: int, login: str) -> str:
        """What the account could do by itself to the branch that work goes to, with the clicks that
        mend it; "" where that is nothing, or there is no such repository any more."""
        client = self._client
        with told(f"looking at the branches of repository {repo_id}"):
            try:
                repo = await client.repo_by_id(repo_id)
                branch = await client.branch(repo.full_name, repo.default_branch)
            except ForgeNotFound:
                return ""
        found = exposed(branch, None, login) if branch else []
        if not found or branch is None:
            return ""
        clicks = remedy(self.url, repo.full_name, branch.name)
        return f"{repo.full_name}: {'; '.join(found)}. {clicks}"

    async def issue(self, repo: str, number: int) -> Issue:
        with told(f"reading {repo}#{number}"):
            return await self._client.issue(repo, number)

    async def comments(self, repo: str, number: int) -> list[Comment]:
        """The issue's comments, oldest first, without fleetbot's own."""
        with told(f"reading the comments of {repo}#{number}"):
            comments = self._client.iter_comments(repo, number)
            return [comment async for comment in comments if not is_marked(comment.body)]

    async def trust(self, repo: str, logins: Sequence[str]) -> Trust:
        """Who of these people may tell agents what to do."""
        with told(f"asking who may write to {repo}"):
            return await trust(self._client, repo, logins, self._trusted)

"""The runner's own small link to the forge: issues, who is trusted, pull requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import aiohttp

from fleetbot.runner.forge.http import Calls, repo_path
from fleetbot.runner.forge.people import People, Trust
from fleetbot.runner.forge.pulls import Pulls
from fleetbot.runner.forge.refs import Refs
from fleetbot.runner.forge.shapes import Comment, Issue, PullRequest, User

__all__ = ["Comment", "Forge", "Issue", "PullRequest", "Trust"]


class Forge:
    """A few calls of Forgejo's API. Methods raise RunFailed.

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
        self._calls = Calls(http, url, token, delays=delays)
        self._people = People(self._calls, trusted)
        self.pulls = Pulls(self._calls)
        self.refs = Refs(self._calls)

    async def login(self) -> str:
        """Whose token it is; empty where the token may not ask (it is limited to repositories)."""
        answer = await self._calls.ask("GET", "/user")
        if answer.status == 403:
            return ""
        return self._calls.read(answer, User, "asking who the token belongs to").login

    async def check_scopes(self, owner: str, absent: str) -> None:
        """Prove that the token may write, by asking for a change of a repository that is not there.

        Forgejo looks at a token's scopes before it looks for the repository: 404 is a yes.
        """
        for scope, what in (("write:repository", "pulls"), ("write:issue", "issues")):
            path = f"{repo_path(f'{owner}/{absent}')}/{what}"
            answer = await self._calls.ask("POST", path, {})
            if answer.status != 404:
                raise self._calls.refused(answer, f"trying the scope {scope}")

    async def issue(self, repo: str, number: int) -> Issue:
        path = f"{repo_path(repo)}/issues/{number}"
        return await self._calls.get(Issue, path, f"reading {repo}#{number}")

    async def comments(self, repo: str, number: int) -> list[Comment]:
        """The issue's comments, oldest first, without fleetbot's own."""
        path = f"{repo_path(repo)}/issues/{number}/comments"
        doing = f"reading the comments of {repo}#{number}"
        comments = await self._calls.get(list[Comment], path, doing)
        return [comment for comment in comments if not comment.is_ours]

    async def trust(self, repo: str, logins: Sequence[str]) -> Trust:
        """Who of these people may tell agents what to do."""
        return await self._people.trust(repo, logins)
